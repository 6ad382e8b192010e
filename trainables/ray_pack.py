"""A pack as a Ray Tune trial. PyTorch is imported by the worker, never by the driver."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from trainables.configs.run import RunConfig

CHECKPOINT_SKIPPED, FELL_BACK = "checkpoint skipped", "fell back"
"""Kinds of notes: see ``orchestrator.store.faults``."""

if TYPE_CHECKING:
    from trainables.procedures.lottery import Archive
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
    asked: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    """What it takes of the cluster."""
    at_once: int = 1
    """Packs that train at the same time, it included."""
    ancestors: tuple[Path, ...] = ()
    """Folders of the packs that this one was split off, the nearest first: it starts from the
    newest checkpoint found there while it has none of its own."""


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
    _free: int
    """Bytes of the device's memory that were free when this process began."""
    _notes: dict[str, list[str]]
    """What went wrong and was made good, by its kind in the store, for the next report."""
    _idle: bool

    def setup(
        self,
        config: dict[str, Any],
        tasks: Sequence[PackTask],
        data: Mapping[str, Any],
        mailbox: Any = None,
    ) -> None:
        import torch

        from trainables import memory

        # Momentum of dead units decays into denormals, which are slow on CPUs.
        torch.set_flush_denormal(True)
        memory.keep_freed()
        self._tasks = tasks
        self._data = data
        self._mailbox = mailbox
        self._free = 0
        self._begin_trial(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin_trial(new_config)
        return True

    def _begin_trial(self, config: dict[str, Any]) -> None:
        self._later = self._tasks_of(config)
        self._notes = {}
        self._idle = not self._later
        if self._later:
            self._begin(self._later.pop(0))

    def _tasks_of(self, config: dict[str, Any]) -> list[PackTask]:
        from trainables.parts import tasks_in

        if self._mailbox is None:
            return tasks_in(self._tasks[config["pack"]], config)
        packs = [part["pack_id"] for part in config.get("parts", [{"pack_id": config["pack"]}])]
        found: list[PackTask] = ray.get([self._mailbox.task.remote(pack) for pack in packs])
        return found

    def _begin(self, task: PackTask) -> None:
        import torch

        self._task = task
        if self._task.import_from not in sys.path:
            sys.path.insert(0, self._task.import_from)
        settings = self._settings()
        torch.set_num_threads(settings.threads)
        self._session = self._resumed_session(settings) or self._new_session(settings)
        self._attempt(self._write_ways)
        self._evaluations = 0
        self._checkpointed = time.monotonic()

    def _resumed_session(self, settings: Settings) -> PackSession | None:
        """The session of the newest checkpoint that is whole; reports since are made again.

        Where the pack has none, its runs' part of that of the pack it was split off.
        """
        import torch

        from trainables import checkpoint

        folders = (self._task.folder, *self._task.ancestors)
        for path in (path for folder in folders for path in checkpoint.numbered(folder)):
            try:
                return self._session_of(checkpoint.load(path), settings, path.parent)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # damaged, or of another version in any way
                self._note(FELL_BACK, f"{path.name} cannot be used ({error}): the one before is")
                if checkpoint.is_damaged(error):
                    path.unlink(missing_ok=True)
        return None

    def _session_of(self, saved: dict[str, Any], settings: Settings, folder: Path) -> PackSession:
        from trainables.parts import checkpoint_of
        from trainables.session import PackSession

        runs = (*self._task.runs, *self._task.joined)
        if folder == self._task.folder:
            return PackSession.restore(
                saved, runs, self._data, settings, self._keep_ended(), self._archive()
            )
        part = checkpoint_of(saved, [run_id for run_id, _ in self._task.runs])
        session = PackSession.restore(
            part, runs, self._data, settings, self._keep_ended(), self._archive()
        )
        later = [(run_id, run) for run_id, run in self._task.runs if run_id not in part["progress"]]
        if later:  # they had joined after the checkpoint
            session.join(later)
        return session

    def _new_session(self, settings: Settings) -> PackSession:
        from trainables import saved_run
        from trainables.checkpoint import CheckpointError
        from trainables.session import PackSession

        starts, runs = {}, dict(self._task.runs)
        for run_id, origin in self._task.settings.get("continues", {}).items():
            if run_id not in runs:
                continue
            try:
                starts[run_id] = saved_run.load_start(
                    self._task.runs_folder, origin["run"], origin["best"], origin["seconds"]
                )
            except CheckpointError as error:
                self._note(FELL_BACK, f"run {run_id} starts anew: {origin['run']}.pt: {error}")
        return PackSession(
            self._task.runs, self._data, settings, starts, self._keep_ended(), self._archive()
        )

    def _keep_ended(self) -> Ended | None:
        from trainables import saved_run

        folder = self._task.runs_folder
        return functools.partial(saved_run.save, folder) if self._task.save else None

    def _archive(self) -> Archive:
        from trainables import saved_run
        from trainables.procedures.lottery import Archive

        folder = self._task.runs_folder

        def keep(run_id: str, at: int, lane: Mapping[str, Any]) -> None:
            self._attempt(functools.partial(saved_run.save_lane, folder, run_id, at, lane))

        return Archive(keep, functools.partial(saved_run.load_lane, folder))

    @property
    def _ways_path(self) -> Path:
        return self._task.folder / "ways.json"

    def _settings(self) -> Settings:
        """As the task says, stacked as an earlier attempt chose: same bits again."""
        import torch

        from trainables import memory, ram
        from trainables.parts import uncompiled
        from trainables.session import Settings
        from trainables.stack_width import Way

        settings = {k: v for k, v in self._task.settings.items() if k != "continues"}
        chosen = self._read_ways()
        # The file is written before the store hears of a way.
        if len(chosen.get("ways", ())) > len(settings["ways"] or ()):
            settings |= chosen
        if settings["ways"] is not None:
            settings["ways"] = tuple(Way(*way) for way in settings["ways"])
        if self._task.ancestors:
            settings |= uncompiled(settings["ways"])
        at_once = self._task.at_once
        sharing = at_once if at_once == 1 else min(at_once, _packs_sharing(self._task.asked))
        free = memory.free(torch.device(settings["device"]))
        # Packs start together, so that each finds at first about all that they will share.
        self._free = self._free or free
        free = min(self._free // sharing, free)
        return Settings(**{**settings, "memory": int(ram.SHARE * free)})

    def _read_ways(self) -> dict[str, Any]:
        """The ways and threads that an earlier attempt chose, or the pack it was split off."""
        for folder in (self._task.folder, *self._task.ancestors):
            try:
                found = json.loads((folder / self._ways_path.name).read_text())
                return {"ways": found["ways"], "threads": found["threads"]}
            except (OSError, ValueError, KeyError, TypeError):  # not chosen yet, or lost
                continue
        return {}

    def _write_ways(self) -> None:
        self._task.folder.mkdir(parents=True, exist_ok=True)
        part = self._ways_path.with_suffix(".part")
        ways = [choice.way for choice in self._session.choices]
        part.write_text(json.dumps({"threads": self._session.threads, "ways": ways}))
        part.replace(self._ways_path)

    def step(self) -> dict[str, Any]:
        if self._idle:  # every part of the pack has failed
            return {"rows": [], "progress": [], "choices": [], "finished": True, "done": True}
        if self._session.finished and self._later:
            self._begin(self._later.pop(0))
        if self._checkpoint_due():
            self._attempt(self._save)
            self._checkpointed = time.monotonic()
        self._obey()
        self._evaluations += 1
        report = self._session.advance()
        notes, self._notes = self._notes, {}
        return {
            "pack_id": self._task.pack_id,
            "report": self._session.reports,
            "rows": report.rows,
            "progress": report.progress,
            "events": report.events,
            "probes": report.probes,
            "threads": self._session.threads,
            "choices": [dataclasses.asdict(choice) for choice in self._session.choices],
            "notes": notes,
            "finished": self._session.finished,
            "done": self._session.finished and not self._later,
        }

    def _save(self) -> None:
        from trainables import checkpoint

        state = self._session.state_dict()
        checkpoint.save_next(self._task.folder, state, keep=self._task.keep)

    def _attempt(self, write: Callable[[], None]) -> None:
        """Training is worth more than a checkpoint: what cannot be written is left out."""
        try:
            write()
        except (OSError, RuntimeError) as error:  # RuntimeError: PyTorch's writer, disk full
            self._note(CHECKPOINT_SKIPPED, f"{type(error).__name__}: {error}".splitlines()[0])

    def _note(self, kind: str, detail: str) -> None:
        self._notes.setdefault(kind, []).append(detail)

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
            self._attempt(self._write_ways)

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
