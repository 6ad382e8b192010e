"""A pack as a Ray Tune trial. PyTorch is imported by the worker, never by the driver."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from trainables.configs.run import RunConfig

if TYPE_CHECKING:
    from trainables.session import Ended, PackSession, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class PackTask:
    """One pack to train: what a trial gets."""

    pack_id: str
    runs: tuple[tuple[str, RunConfig], ...]
    """(run_id, configuration) in the order of the lanes."""
    settings: Mapping[str, Any]
    """Fields of ``session.Settings``, and ``continues``: run_id → the shorter ``run`` that it goes
    on from, ``best`` and ``seconds`` of it."""
    folder: Path
    """Where the pack keeps its checkpoints, and the ways it chose."""
    runs_folder: Path
    """Where final states of runs are."""
    checkpoint_every: int | None
    """Evaluations between checkpoints; None: by the clock."""
    checkpoint_seconds: float = 30.0
    keep: int = 2
    """Checkpoints kept."""
    save: bool = False
    """Whether those of this pack's runs are kept."""
    import_from: str
    """Folder of the study, from where its ``module:callable`` are imported."""


class RayPack(tune.Trainable):  # type: ignore[misc]  # ray has no types
    """Trains the pack ``config["pack"]``, one evaluation a Tune result.

    A result is processed by the driver before the next step begins. A checkpoint is taken
    at the beginning of a step, so it never runs ahead of what the store has committed.
    Actors are reused: the next pack starts without a new process.
    """

    # Declared here, since the base class has no types.
    _tasks: Sequence[PackTask]
    _task: PackTask
    _session: PackSession
    _evaluations: int
    _checkpointed: float
    _notes: list[str]
    """What went wrong and was made good, for the next report."""

    def setup(
        self, config: dict[str, Any], tasks: Sequence[PackTask], data: Mapping[str, Any]
    ) -> None:
        import torch

        # Momentum of dead units decays into denormals, which are slow on CPUs.
        torch.set_flush_denormal(True)
        self._tasks = tasks
        self._data = data
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        import torch

        self._task = self._tasks[config["pack"]]
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        self._notes = []
        self._session = self._resumed_session(settings) or self._new_session(settings)
        self._write_ways()
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    def _resumed_session(self, settings: Settings) -> PackSession | None:
        """The session of the newest checkpoint that is whole; reports since are made again."""
        import torch

        from trainables import checkpoint
        from trainables.session import PackSession

        for path in checkpoint.numbered(self._task.folder):
            try:
                saved = checkpoint.load(path)
                return PackSession.restore(
                    saved, self._task.runs, self._data, settings, self._keep_ended()
                )
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # damaged, or of another version in any way
                self._notes.append(f"{path.name} cannot be used ({error}): the one before is")
                if checkpoint.is_damaged(error):
                    path.unlink(missing_ok=True)
        return None

    def _new_session(self, settings: Settings) -> PackSession:
        from trainables import saved_run
        from trainables.checkpoint import CheckpointError
        from trainables.session import PackSession

        starts = {}
        for run_id, origin in self._task.settings.get("continues", {}).items():
            try:
                starts[run_id] = saved_run.load_start(
                    self._task.runs_folder, origin["run"], origin["best"], origin["seconds"]
                )
            except CheckpointError as error:
                self._notes.append(f"run {run_id} starts anew: {origin['run']}.pt: {error}")
        return PackSession(self._task.runs, self._data, settings, starts, self._keep_ended())

    def _keep_ended(self) -> Ended | None:
        from trainables import saved_run

        folder = self._task.runs_folder
        return functools.partial(saved_run.save, folder) if self._task.save else None

    @property
    def _ways_path(self) -> Path:
        return self._task.folder / "ways.json"

    def _settings(self) -> Settings:
        """As the task says, stacked as an earlier attempt chose: same bits again."""
        from trainables.session import Settings
        from trainables.stack_width import Way

        settings = {k: v for k, v in self._task.settings.items() if k != "continues"}
        ways = settings["ways"] or self._read_ways()
        chosen = None if ways is None else tuple(Way(*way) for way in ways)
        return Settings(**{**settings, "ways": chosen})

    def _read_ways(self) -> list[Any] | None:
        try:
            ways: list[Any] = json.loads(self._ways_path.read_text())
        except (OSError, ValueError):  # not chosen yet, or lost: chosen anew
            return None
        return ways

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        part.write_text(json.dumps([choice.way for choice in self._session.choices]))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        from trainables import checkpoint

        if self._checkpoint_due():
            state = self._session.state_dict()
            checkpoint.save_next(self._task.folder, state, keep=self._task.keep)
            self._checkpointed = time.monotonic()
        self._evaluations += 1
        report = self._session.advance()
        notes, self._notes = self._notes, []
        return {
            "pack_id": self._task.pack_id,
            "rows": report.rows,
            "progress": report.progress,
            "events": report.events,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "notes": notes,
            "done": self._session.finished,
        }

    def _checkpoint_due(self) -> bool:
        if self._evaluations == 0:
            return False
        every = self._task.checkpoint_every
        if every is not None:
            return self._evaluations % every == 0
        return time.monotonic() - self._checkpointed > self._task.checkpoint_seconds
