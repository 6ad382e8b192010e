"""A pack as a Ray Tune trial. PyTorch is imported by the worker, never by the driver."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from trainables.configs.run import RunConfig

if TYPE_CHECKING:
    from trainables.session import PackSession, Settings

_SECONDS_BETWEEN_CHECKPOINTS = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PackTask:
    """One pack to train: what a trial gets."""

    pack_id: str
    runs: tuple[tuple[str, RunConfig], ...]
    """(run_id, configuration) in the order of the lanes."""
    settings: Mapping[str, Any]
    """Fields of ``session.Settings``."""
    folder: Path
    """Where the pack keeps its checkpoints, and the ways it chose."""
    checkpoint_every: int | None
    """Evaluations between checkpoints; None: about every 30 seconds."""
    import_from: str
    """Folder of the study, from where its ``module:callable`` are imported."""
    ancestors: tuple[Path, ...] = ()
    """Folders of the packs that this one was split off, the nearest first: it starts from the
    first checkpoint found there while it has none of its own."""


class RayPack(tune.Trainable):  # type: ignore[misc]  # ray has no types
    """Trains the pack ``config["pack"]``, one evaluation a Tune result.

    A result is processed by the driver before the next step begins. A checkpoint is taken
    at the beginning of a step, so it never runs ahead of what the store has committed.
    Actors are reused: the next pack starts without a new process. What is left of a pack that
    kept killing its worker comes as parts (``config["parts"]``), trained one after the other.
    """

    # Declared here, since the base class has no types.
    _tasks: Sequence[PackTask]
    _task: PackTask
    _later: list[PackTask]
    _session: PackSession
    _evaluations: int
    _checkpointed: float
    _skipped: list[str]
    _idle: bool

    def setup(
        self, config: dict[str, Any], tasks: Sequence[PackTask], data: Mapping[str, Any]
    ) -> None:
        import torch

        # Momentum of dead units decays into denormals, which are slow on CPUs.
        torch.set_flush_denormal(True)
        self._tasks = tasks
        self._data = data
        self._begin_trial(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin_trial(new_config)
        return True

    def _begin_trial(self, config: dict[str, Any]) -> None:
        from trainables.parts import tasks_in

        self._later = tasks_in(self._tasks[config["pack"]], config)
        self._skipped = []
        self._idle = not self._later
        if self._later:
            self._begin(self._later.pop(0))

    def _begin(self, task: PackTask) -> None:
        import torch

        from trainables.session import PackSession

        self._task = task
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        saved = self._saved()
        self._session = (
            PackSession(self._task.runs, self._data, settings)
            if saved is None
            else PackSession.restore(saved, self._task.runs, self._data, settings)
        )
        self._attempt(self._write_ways)
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    def _saved(self) -> dict[str, Any] | None:
        """The pack's last checkpoint, or its runs' part of that of the pack it was split off."""
        from trainables import checkpoint
        from trainables.parts import checkpoint_of

        saved = checkpoint.load(self._state_path)
        for folder in self._task.ancestors:
            if saved is None and (whole := checkpoint.load(folder / "state.pt")) is not None:
                saved = checkpoint_of(whole, [run_id for run_id, _ in self._task.runs])
        return saved

    @property
    def _state_path(self) -> Path:
        return self._task.folder / "state.pt"

    @property
    def _ways_path(self) -> Path:
        return self._task.folder / "ways.json"

    def _settings(self) -> Settings:
        """As the task says, stacked as an earlier attempt chose: same bits again."""
        from trainables.session import Settings
        from trainables.stack_width import Way

        ways = self._task.settings["ways"]
        for folder in (self._task.folder, *self._task.ancestors):
            if ways is None and (folder / "ways.json").exists():
                ways = json.loads((folder / "ways.json").read_text())
        chosen = None if ways is None else tuple(Way(*way) for way in ways)
        return Settings(**{**self._task.settings, "ways": chosen})

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        part.write_text(json.dumps([choice.way for choice in self._session.choices]))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        if self._idle:  # every part of the pack has failed
            return {"rows": [], "progress": [], "choices": [], "finished": True, "done": True}
        if self._session.finished and self._later:
            self._begin(self._later.pop(0))
        if self._checkpoint_due():
            self._attempt(self._save)
            self._checkpointed = time.monotonic()
        self._evaluations += 1
        report = self._session.advance()
        return {
            "pack_id": self._task.pack_id,
            "rows": report.rows,
            "progress": report.progress,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "evaluation": self._evaluations,
            "finished": self._session.finished,
            "done": self._session.finished and not self._later,
            **self._warnings(),
        }

    def _save(self) -> None:
        from trainables import checkpoint

        checkpoint.save(self._state_path, self._session.state_dict())

    def _attempt(self, write: Callable[[], None]) -> None:
        """Training is worth more than a checkpoint: what cannot be written is left out."""
        try:
            write()
        except (OSError, RuntimeError) as error:  # RuntimeError: PyTorch's writer, disk full
            self._skipped.append(f"{type(error).__name__}: {error}".splitlines()[0])

    def _warnings(self) -> dict[str, Any]:
        """What the driver is to note of this step, once."""
        skipped, self._skipped = self._skipped, []
        return {"checkpoints_skipped": skipped} if skipped else {}

    def _checkpoint_due(self) -> bool:
        if self._evaluations == 0:
            return False
        every = self._task.checkpoint_every
        if every is not None:
            return self._evaluations % every == 0
        return time.monotonic() - self._checkpointed > _SECONDS_BETWEEN_CHECKPOINTS
