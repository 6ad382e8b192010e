"""Results of a user's own training into the store, as they come."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from orchestrator.launch.bisect import MOST_DEATHS, MOST_DEATHS_IN_A_ROW
from orchestrator.launch.deaths import Death, death_of_trial
from orchestrator.launch.own_stopper import OwnStopper
from orchestrator.launch.recorder import Watcher
from orchestrator.spec.study import OwnObjective
from orchestrator.store import Outcome, Store, StoreError
from orchestrator.store.faults import NODE_LOST
from trainables.ray_function import CHECKPOINT, FAILURE, FunctionTask, saved_state
from trainables.reports import has_diverged, numbers

_CLOCK = ("step", "epoch", "examples")
"""What a function may report of its progress; the rest are metrics."""

DEATHS_FORGIVEN = MOST_DEATHS_IN_A_ROW - 1
"""Of a run's worker, with nothing new reported between them, before the next one fails it."""


@dataclass(slots=True)
class Progress:
    """How a run stands."""

    status: str = "running"
    reason: str = ""
    steps: int = 0
    epochs: float = 0.0
    examples: int = 0
    wall_seconds: float = 0.0
    final: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)

    def take(self, result: Mapping[str, Any], objective: OwnObjective) -> dict[str, float]:
        """Takes in one report; returns its metrics."""
        metrics = numbers(result)
        clock = {key: metrics.pop(key) for key in _CLOCK if _counts(metrics.get(key))}
        self.steps = int(clock.get("step", result["training_iteration"]))
        self.epochs = clock.get("epoch", self.epochs)
        self.examples = int(clock.get("examples", self.examples))
        self.wall_seconds = float(result["time_total_s"])
        self.final |= metrics
        value = metrics.get(objective.metric, math.nan)
        if math.isfinite(value):
            sign = 1 if objective.mode == "max" else -1
            known = self.best.get(objective.metric, value)
            self.best = {objective.metric: max(known, value, key=lambda x: sign * x)}
        if has_diverged(metrics, objective.metric):
            self.status, self.reason = "diverged", f"{objective.metric} is {value:g}"
        return metrics

    def complete(self, objective: OwnObjective) -> None:
        """The function has ended by itself."""
        if self.status == "running":
            self.status = "completed"
            if objective.metric not in self.final:
                self.reason = f"{objective.metric} was never reported"

    def outcome(self, run_id: str) -> Outcome:
        return Outcome(run_id=run_id, lane=0, **dataclasses.asdict(self))


def _counts(value: float | None) -> bool:
    """Whether it can be a number of steps, epochs or examples that SQLite holds."""
    return value is not None and 0 <= value < 2**63


class OwnRecorder(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Commits each report before Tune goes on, and keeps each run's last checkpoint."""

    # Declared here, since the base class has no types.
    _store: Store
    _tasks: Mapping[Any, FunctionTask]
    _objective: OwnObjective
    _watch: Watcher
    _progress: dict[str, Progress]
    _stopper: OwnStopper
    _furthest: dict[str, int]

    def __init__(
        self,
        store: Store,
        tasks: Mapping[Any, FunctionTask],
        objective: OwnObjective,
        watch: Watcher,
        stopper: OwnStopper,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._objective = objective
        self._watch = watch
        self._progress = {}
        self._stopper = stopper
        self._furthest = {outcome.run_id: outcome.steps for outcome in store.outcomes()}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, which Regatta does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        saved = saved_state(task.folder)
        progress = Progress(**saved["progress"]) if saved else Progress()
        self._progress[task.run_id] = progress
        self._stopper.runs[trial.trial_id] = task.run_id
        self._store.start_pack(task.pack_id, [task.run_id], {})
        self._store.discard_history(task.run_id, after=progress.steps if saved else -1)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        task = self._task(trial)
        progress = self._progress[task.run_id]
        if progress.status == "failed":
            return
        if FAILURE in result:
            self._fail(task, result[FAILURE])
            return
        metrics = progress.take(result, self._objective)
        if progress.status == "running" and task.run_id in self._stopper.reasons:
            progress.status, progress.reason = "stopped", self._stopper.reasons[task.run_id]
        try:
            columns = self._store.as_columns(metrics)
        except StoreError as error:
            self._fail(task, str(error))
            return
        row = {
            "run_id": task.run_id,
            "level": 0,
            "step": progress.steps,
            "epoch": progress.epochs,
            "examples": progress.examples,
            "seconds": progress.wall_seconds,
            **columns,
        }
        self._commit(task, [row])
        if progress.steps > self._furthest.get(task.run_id, 0):
            self._furthest[task.run_id] = progress.steps
            # Tune counts a trial's deaths; those before something new are forgiven.
            trial.max_failures = min(trial.num_failures + DEATHS_FORGIVEN, MOST_DEATHS)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died, and Tune is about to start another for the run."""
        if self._note_death(trial).kind == NODE_LOST:
            trial.max_failures += 1

    def _note_death(self, trial: Any) -> Death:
        task, death = self._task(trial), death_of_trial(trial)
        reached = self._furthest.get(task.run_id, 0)
        self._store.note_death(task.pack_id, death.kind, death.detail, reached)
        return death

    def on_checkpoint(
        self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any
    ) -> None:
        task = self._task(trial)
        result = trial.last_result
        counters = {key: result[key] for key in ("training_iteration", "time_total_s")}
        progress = dataclasses.asdict(self._progress[task.run_id])
        keep_checkpoint(task.folder, Path(checkpoint.path), counters, progress)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        progress = self._progress[task.run_id]
        if progress.status == "running" and not progress.steps:
            self._fail(task, "nothing was reported; call ray.tune.report({...}) in the function")
        progress.complete(self._objective)
        if progress.status != "failed":
            self._commit(task, [])
        self._end(task, "failed" if progress.status == "failed" else "completed")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task, death = self._task(trial), self._note_death(trial)
        count = trial.num_failures
        self._fail(task, f"{death.error}\nkilled its worker {count} times: {death.detail}")
        self._end(task, "failed")

    def _commit(self, task: FunctionTask, rows: list[dict[str, Any]]) -> None:
        outcomes = [self._progress[task.run_id].outcome(task.run_id)]
        self._store.record(task.pack_id, rows, outcomes)
        self._watch(rows, outcomes)

    def _fail(self, task: FunctionTask, error: str) -> None:
        self._progress[task.run_id].status = "failed"
        self._watch([], self._store.fail_runs([task.run_id], error))

    def _end(self, task: FunctionTask, status: str) -> None:
        self._store.set_pack(task.pack_id, status=status, settings={})
        shutil.rmtree(task.folder, ignore_errors=True)

    def _task(self, trial: Any) -> FunctionTask:
        task: FunctionTask = self._tasks[trial.config["pack"]]
        return task


def keep_checkpoint(
    folder: Path, checkpoint: Path, counters: Mapping[str, float], progress: Mapping[str, Any]
) -> None:
    """Makes a checkpoint of Tune's the run's own: whole or not at all, the one before it gone.

    Tune's scratch folder ends with the launch. Files are linked where the system can.
    """
    name = f"checkpoint-{counters['training_iteration']}"
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(checkpoint, folder / name, copy_function=_link_or_copy)
    part = folder / f"{CHECKPOINT}.part"
    state = {"folder": name, "counters": counters, "progress": progress}
    part.write_text(json.dumps(state), encoding="utf-8")
    part.replace(folder / CHECKPOINT)
    for other in folder.glob("checkpoint-*"):
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
