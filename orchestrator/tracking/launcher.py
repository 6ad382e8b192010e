"""The launching side: starts the mirror's process and ends it. Cheap to import."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.spec.study import Tracking
from orchestrator.tracking.state import Mode, last_beat, read_marks, resolve_mode, target

_LEAST_PATIENCE = 8.0
_MOST_PATIENCE = 30.0
_TICK_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirror:
    """A running mirror of the study in ``folder``."""

    folder: Path
    tracking: Tracking
    mode: Mode
    process: subprocess.Popen[bytes] | None
    """None where no process could be started."""
    started: float
    """By the monotonic clock."""
    beat: int
    """The last sign of life of a mirror before this one."""

    def finish(self, timeout_seconds: float) -> str:
        """Says that no more comes and waits for the rest to be mirrored.

        Never raises because of W&B. The process is ended after ``timeout_seconds``, or where W&B
        has taken nothing for a twentieth of the time that the study took, at least 8 and at most
        30 seconds: an outage must not hold up a study that is done.

        Returns:
            One sentence for the user.
        """
        if self.process is None:
            return self._behind("could not be started")
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        silent = self._wait(timeout_seconds)
        if silent is not None:
            _end(self.process)
            return self._behind(f"did not answer in {silent:.3g} s")
        whole = self.process.returncode == 0
        return self._whole() if whole else self._behind("did not take everything")

    def _wait(self, timeout_seconds: float) -> float | None:
        """Waits for the end of the process; the seconds waited in vain, None where it ended."""
        assert self.process is not None
        begin = since = time.monotonic()
        beat = last_beat(self.folder)
        patience = min(max((begin - self.started) / 20, _LEAST_PATIENCE), _MOST_PATIENCE)
        while self.process.poll() is None:
            now, seen = time.monotonic(), last_beat(self.folder)
            if seen != beat:
                beat, since = seen, now
            # What it does before its first sign needs no network: it imports.
            starting = self.mode == "offline" or beat == self.beat
            if now - begin > timeout_seconds:
                return timeout_seconds
            if now - since > patience and not starting:
                return now - since
            time.sleep(_TICK_SECONDS)
        return None

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
    process, beat = None, last_beat(folder)
    with contextlib.suppress(OSError), (folder / "wandb.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Mirror(
        folder=folder,
        tracking=tracking,
        mode=mode,
        process=process,
        started=time.monotonic(),
        beat=beat,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the mirror at once: the store has everything, so nothing of it is worth waiting for.

    wandb's own service ends by itself when the mirror is gone.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
