"""The launching side: starts the mirror's process and ends it. Cheap to import."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.spec.study import Tracking
from orchestrator.tracking.state import Mode, read_marks, resolve_mode, target


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirror:
    """A running mirror of the study in ``folder``."""

    folder: Path
    tracking: Tracking
    mode: Mode
    process: subprocess.Popen[bytes] | None
    """None where no process could be started."""

    def finish(self, timeout_seconds: float) -> str:
        """Says that no more comes and waits for the rest to be mirrored.

        Never raises because of W&B. After ``timeout_seconds`` the process is ended.

        Returns:
            One sentence for the user.
        """
        if self.process is None:
            return self._behind("could not be started")
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            code = self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            _end(self.process)
            return self._behind(f"did not answer in {timeout_seconds:g} s")
        return self._whole() if code == 0 else self._behind("did not take everything")

    def _whole(self) -> str:
        count = len(read_marks(self.folder, target(self.tracking, self.mode)))
        runs = "1 run" if count == 1 else f"{count} runs"
        if self.mode == "online":
            return f"W&B (online): {runs} in project {self.tracking.project}"
        place = self.folder / "wandb"
        return f"W&B (offline): {runs} in {place}; upload with `wandb sync {place}/offline-run-*`"

    def _behind(self, what: str) -> str:
        return (
            f"W&B {what} (see {self.folder / 'wandb.log'}): everything is in the store;"
            f" `regatta sync {self.folder}` makes it whole"
        )


def start_mirror(folder: Path, tracking: Tracking) -> Mirror | None:
    """Starts the process that mirrors the store in ``folder``; None where tracking is off.

    The process has a session of its own, so Ctrl-C in the terminal does not stop it in
    mid-write; it ends when ``Mirror.finish`` or the death of this process closes its stdin.
    """
    mode = resolve_mode(tracking)
    if mode is None:
        return None
    settings = json.dumps(dataclasses.asdict(tracking))
    command = [sys.executable, "-m", "orchestrator.tracking", str(folder), mode, settings]
    process = None
    with contextlib.suppress(OSError), (folder / "wandb.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Mirror(folder=folder, tracking=tracking, mode=mode, process=process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the mirror at once: the store has everything, so nothing of it is worth waiting for.

    wandb's own service ends by itself when the mirror is gone.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
