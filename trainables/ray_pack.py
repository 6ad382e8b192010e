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
    settings: Mapping[str, Any]
    """Fields of ``session.Settings``."""
    folder: Path
    """Where the pack keeps its checkpoints, and the ways it chose."""
    checkpoint_every: int | None
    """Evaluations between checkpoints; None: about every 30 seconds."""
    import_from: str
    """Folder of the study, from where its ``module:callable`` are imported."""
    asked: Mapping[str, float]
    """What it takes of the cluster."""
    at_once: int
    """Packs that train at the same time, it included."""


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
    _free: int
    """Bytes of the device's memory that were free when this process began."""

    def setup(
        self, config: dict[str, Any], tasks: Sequence[PackTask], data: Mapping[str, Any]
    ) -> None:
        import torch

        from trainables import memory

        # Momentum of dead units decays into denormals, which are slow on CPUs.
        torch.set_flush_denormal(True)
        self._tasks = tasks
        self._data = data
        # Packs start together, so that each finds about all that they will share.
        self._free = memory.free(torch.device(tasks[config["pack"]].settings["device"]))
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        import torch

        from trainables import checkpoint
        from trainables.session import PackSession

        self._task = self._tasks[config["pack"]]
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        saved = checkpoint.load(self._state_path)
        self._session = (
            PackSession(self._task.runs, self._data, settings)
            if saved is None
            else PackSession.restore(saved, self._task.runs, self._data, settings)
        )
        self._write_ways()
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    @property
    def _state_path(self) -> Path:
        return self._task.folder / "state.pt"

    @property
    def _ways_path(self) -> Path:
        return self._task.folder / "ways.json"

    def _settings(self) -> Settings:
        """As the task says, stacked as an earlier attempt chose: same bits again."""
        import torch

        from trainables import memory
        from trainables.session import Settings
        from trainables.stack_width import Way

        ways, threads = self._task.settings["ways"], self._task.settings["threads"]
        if ways is None and self._ways_path.exists():
            chosen_before = json.loads(self._ways_path.read_text())
            ways, threads = chosen_before["ways"], chosen_before["threads"]
        chosen = None if ways is None else tuple(Way(*way) for way in ways)
        settings = Settings(**{**self._task.settings, "ways": chosen, "threads": threads})
        sharing = min(self._task.at_once, _packs_sharing(self._task.asked))
        free = min(self._free // sharing, memory.free(torch.device(settings.device)))
        return dataclasses.replace(settings, memory=int(memory.SHARE * free))

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        ways = [choice.way for choice in self._session.choices]
        part.write_text(json.dumps({"threads": self._session.threads, "ways": ways}))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        from trainables import checkpoint

        if self._checkpoint_due():
            checkpoint.save(self._state_path, self._session.state_dict())
            self._checkpointed = time.monotonic()
        self._evaluations += 1
        report = self._session.advance()
        return {
            "pack_id": self._task.pack_id,
            "rows": report.rows,
            "progress": report.progress,
            "threads": self._session.threads,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "done": self._session.finished,
        }

    def _checkpoint_due(self) -> bool:
        if self._evaluations == 0:
            return False
        every = self._task.checkpoint_every
        if every is not None:
            return self._evaluations % every == 0
        return time.monotonic() - self._checkpointed > _SECONDS_BETWEEN_CHECKPOINTS


def _packs_sharing(asked: Mapping[str, float]) -> int:
    """How many packs that ask for as much fit a GPU, or, where they take none, this machine."""
    if asked.get("GPU"):
        return max(1, int(1 / asked["GPU"]))
    here = ray.get_runtime_context().get_node_id()
    cores = next(n["Resources"].get("CPU", 1.0) for n in ray.nodes() if n["NodeID"] == here)
    return max(1, int(cores / asked["CPU"]))
