"""One mirror at work: what it holds, from lock to shutdown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from orchestrator.spec.study import Tracking
from orchestrator.tracking import client, state
from orchestrator.tracking.state import Mode


class Sent(NamedTuple):
    """How a run stands where W&B has all of it."""

    rows: int
    mark: str


@dataclass(kw_only=True, slots=True)
class Session:
    """What one mirror knows while it works."""

    folder: Path
    tracking: Tracking
    mode: Mode
    marks: dict[str, str]
    """W&B run id → how it stood when it was mirrored."""
    opened: dict[str, client.OpenRun] = field(default_factory=dict)
    """Online runs that are still training, by run_id."""
    sent: dict[str, Sent] = field(default_factory=dict)
    """Runs that were written whole, and of which the server has not said that it has them."""
    asked: bool = False
    """Whether the server was asked what it holds from before this session."""
    written: int = 0
    """Runs brought up to the store so far."""

    def close(self, run_id: str, sent: Sent) -> None:
        """A run was written whole: offline it is there, online the server has the last word."""
        if self.mode == "online":
            self.sent[run_id] = sent
        else:
            self.mark(run_id, sent.mark)
        self.alive()

    def mark(self, run_id: str, mark: str) -> None:
        """Remembers that W&B took the run as it stands; on disk with ``save``."""
        self.marks[run_id] = mark
        self.written += 1

    def alive(self) -> None:
        """Shows the launcher that this mirror gets on."""
        state.beat(self.folder)

    def save(self) -> None:
        state.write_marks(self.folder, state.target(self.tracking, self.mode), self.marks)


@contextmanager
def session(folder: Path, tracking: Tracking, mode: Mode, *, wait: bool) -> Iterator[Session]:
    """A session that has the study to itself.

    Raises:
        MirrorError: another process mirrors the study, and ``wait`` is false.
    """
    with state.exclusive(folder, wait=wait), _environment(folder, mode):
        marks = state.read_marks(folder, state.target(tracking, mode))
        try:
            yield Session(folder=folder, tracking=tracking, mode=mode, marks=marks)
        finally:
            client.shut_down()


@contextmanager
def _environment(folder: Path, mode: Mode) -> Iterator[None]:
    """What wandb takes from the environment only, where the user has not chosen.

    Tables are staged in the study's folder, not in the home; an offline mirror does not
    use the network to report wandb's own errors.
    """
    wanted = {"WANDB_DATA_DIR": str((folder / "wandb").resolve())}
    if mode == "offline":
        wanted["WANDB_ERROR_REPORTING"] = "false"
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
