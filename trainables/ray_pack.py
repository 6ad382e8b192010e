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

import ray
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
    joined: tuple[tuple[str, RunConfig], ...] = ()
    """Runs that joined the pack in earlier attempts, likewise."""
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
    asked: Mapping[str, float]
    """What it takes of the cluster."""
    at_once: int
    """Packs that train at the same time, it included."""


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
    _free: int
    """Bytes of the device's memory that were free when this process began."""
    _notes: list[str]
    """What went wrong and was made good, for the next report."""

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
        self._free = 0
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        import torch

        self._task = self._find_task(config["pack"])
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        self._notes = []
        self._session = self._resumed_session(settings) or self._new_session(settings)
        self._write_ways()
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    def _find_task(self, pack: Any) -> PackTask:
        known = self._mailbox is None
        task: PackTask = self._tasks[pack] if known else ray.get(self._mailbox.task.remote(pack))
        return task

    def _resumed_session(self, settings: Settings) -> PackSession | None:
        """The session of the newest checkpoint that is whole; reports since are made again."""
        import torch

        from trainables import checkpoint
        from trainables.session import PackSession

        runs = (*self._task.runs, *self._task.joined)
        for path in checkpoint.numbered(self._task.folder):
            try:
                saved = checkpoint.load(path)
                return PackSession.restore(saved, runs, self._data, settings, self._keep_ended())
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
        import torch

        from trainables import memory
        from trainables.session import Settings
        from trainables.stack_width import Way

        settings = {k: v for k, v in self._task.settings.items() if k != "continues"}
        chosen = self._read_ways()
        # The file is written before the store hears of a way.
        if len(chosen.get("ways", ())) > len(settings["ways"] or ()):
            settings |= chosen
        if settings["ways"] is not None:
            settings["ways"] = tuple(Way(*way) for way in settings["ways"])
        sharing = min(self._task.at_once, _packs_sharing(self._task.asked))
        free = memory.free(torch.device(settings["device"]))
        # Packs start together, so that each finds at first about all that they will share.
        self._free = self._free or free
        free = min(self._free // sharing, free)
        return Settings(**{**settings, "memory": int(memory.SHARE * free)})

    def _read_ways(self) -> dict[str, Any]:
        """The ways and threads that an earlier attempt chose."""
        try:
            found = json.loads(self._ways_path.read_text())
            return {"ways": found["ways"], "threads": found["threads"]}
        except (OSError, ValueError, KeyError, TypeError):  # not chosen yet, or lost: chosen anew
            return {}

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        ways = [choice.way for choice in self._session.choices]
        part.write_text(json.dumps({"threads": self._session.threads, "ways": ways}))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        from trainables import checkpoint

        if self._checkpoint_due():
            state = self._session.state_dict()
            checkpoint.save_next(self._task.folder, state, keep=self._task.keep)
            self._checkpointed = time.monotonic()
        self._obey()
        self._evaluations += 1
        report = self._session.advance()
        notes, self._notes = self._notes, []
        return {
            "pack_id": self._task.pack_id,
            "report": self._session.reports,
            "rows": report.rows,
            "progress": report.progress,
            "threads": self._session.threads,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "notes": notes,
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
        return time.monotonic() - self._checkpointed > self._task.checkpoint_seconds


def _packs_sharing(asked: Mapping[str, float]) -> int:
    """How many packs that ask for as much fit a GPU, or, where they take none, this machine."""
    if asked.get("GPU"):
        return max(1, int(1 / asked["GPU"]))
    here = ray.get_runtime_context().get_node_id()
    cores = next(n["Resources"].get("CPU", 1.0) for n in ray.nodes() if n["NodeID"] == here)
    return max(1, int(cores / asked["CPU"]))
