"""A pack as a Ray Tune trial. PyTorch is imported by the worker, never by the driver."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
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
    joined: tuple[tuple[str, RunConfig], ...] = ()
    """Runs that joined the pack in earlier attempts, likewise."""
    settings: Mapping[str, Any]
    """Fields of ``session.Settings``."""
    folder: Path
    """Where the pack keeps its checkpoints, and the ways it chose."""
    checkpoint_every: int | None
    """Evaluations between checkpoints; None: about every 30 seconds."""
    import_from: str
    """Folder of the study, from where its ``module:callable`` are imported."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What the driver has decided upon a report; takes effect right before the next."""

    stop: Mapping[str, str]
    """run_id → why."""
    join: tuple[tuple[str, RunConfig], ...]
    """(run_id, configuration) of runs that begin, in the order of their lanes."""


class RayPack(tune.Trainable):  # type: ignore[misc]  # ray has no types
    """Trains the pack ``config["pack"]``, one evaluation a Tune result.

    Packs that are known from the start are ``tasks``. Those made on the way, whose lanes can be
    stopped and joined, come from the driver's mailbox; it is asked before each step.

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

    def setup(
        self,
        config: dict[str, Any],
        tasks: Sequence[PackTask],
        data: Mapping[str, Any],
        mailbox: Any = None,
    ) -> None:
        import torch

        # Momentum of dead units decays into denormals, which are slow on CPUs.
        torch.set_flush_denormal(True)
        self._tasks = tasks
        self._data = data
        self._mailbox = mailbox
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        import torch

        from trainables import checkpoint
        from trainables.session import PackSession

        self._task = self._find_task(config["pack"])
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        saved = checkpoint.load(self._state_path)
        self._session = (
            PackSession(self._task.runs, self._data, settings)
            if saved is None
            else PackSession.restore(
                saved, (*self._task.runs, *self._task.joined), self._data, settings
            )
        )
        self._write_ways()
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    def _find_task(self, pack: Any) -> PackTask:
        known = self._mailbox is None
        task: PackTask = self._tasks[pack] if known else ray.get(self._mailbox.task.remote(pack))
        return task

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

        ways = self._task.settings["ways"] or []
        if self._ways_path.exists():
            # The file is written before the store hears of a way.
            ways = max(json.loads(self._ways_path.read_text()), ways, key=len)
        chosen = tuple(Way(*way) for way in ways) or None
        return Settings(**{**self._task.settings, "ways": chosen})

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        part.write_text(json.dumps([choice.way for choice in self._session.choices]))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        from trainables import checkpoint

        if self._checkpoint_due():
            checkpoint.save(self._state_path, self._session.state_dict())
            self._checkpointed = time.monotonic()
        self._obey()
        self._evaluations += 1
        report = self._session.advance()
        return {
            "pack_id": self._task.pack_id,
            "report": self._session.reports,
            "rows": report.rows,
            "progress": report.progress,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "done": self._session.finished,
        }

    def _obey(self) -> None:
        """Does what was decided upon the last report, after a checkpoint at this place."""
        if self._mailbox is None or not self._session.reports:
            return
        asked = self._mailbox.ask.remote(self._task.pack_id, self._session.reports)
        orders: Orders | None = ray.get(asked)
        if orders is None:
            return
        self._session.stop(orders.stop)
        if orders.join:
            self._session.join(orders.join)
            self._write_ways()

    def _checkpoint_due(self) -> bool:
        if self._evaluations == 0:
            return False
        every = self._task.checkpoint_every
        if every is not None:
            return self._evaluations % every == 0
        return time.monotonic() - self._checkpointed > _SECONDS_BETWEEN_CHECKPOINTS
