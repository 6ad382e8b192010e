"""Tune's results into the store, as they come."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from orchestrator.launch.decider import Decider, pack_lanes
from orchestrator.store import Outcome, Store
from trainables.ray_pack import PackTask

Watcher = Callable[[Sequence[Mapping[str, Any]], Sequence[Outcome]], None]
"""Is shown every report once the store has it: (history rows, outcomes)."""


def together(*watchers: Watcher) -> Watcher:
    """Shows each report to all of them, in this order."""

    def watch(rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> None:
        for one in watchers:
            one(rows, outcomes)

    return watch


class Recorder(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Commits each report before Tune goes on; a pack that ends in an error fails its runs."""

    # Declared here, since the base class has no types.
    _tasks: Mapping[Any, PackTask]
    _store: Store
    _watch: Watcher
    _decider: Decider | None
    _groups: dict[str, int]

    def __init__(
        self,
        store: Store,
        tasks: Mapping[Any, PackTask],
        watch: Watcher,
        decider: Decider | None = None,
    ) -> None:
        """
        Args:
            tasks: by what a trial has as ``config["pack"]``; may grow.
            decider: of a study whose lanes can be stopped and joined.
        """
        self._store = store
        self._tasks = tasks
        self._watch = watch
        self._decider = decider
        self._groups = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, which Regatta does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        self._store.start_pack(task.pack_id, pack_lanes(task, self._store), task.settings)
        self._groups[task.pack_id] = 0
        if self._decider is not None:
            self._decider.begin(task)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        task = self._task(trial)
        outcomes = [Outcome(**progress) for progress in result["progress"]]
        if self._groups[task.pack_id] < len(result["choices"]):
            self._groups[task.pack_id] = len(result["choices"])
            self._store.set_pack(task.pack_id, status="running", settings=_settings(task, result))
        if self._decider is None:
            self._store.record(task.pack_id, result["rows"], outcomes)
        else:
            outcomes = self._decider.take_in(
                task, result["report"], result["rows"], outcomes, done=result["done"]
            )
        self._watch(result["rows"], outcomes)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        self._store.set_pack(
            task.pack_id, status="completed", settings=_settings(task, trial.last_result)
        )
        shutil.rmtree(task.folder, ignore_errors=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        error = Path(trial.error_file).read_text() if trial.error_file else "the worker died"
        outcomes = self._store.fail_runs(pack_lanes(task, self._store), error)
        self._store.set_pack(task.pack_id, status="failed", settings=task.settings)
        shutil.rmtree(task.folder, ignore_errors=True)
        self._watch([], outcomes)

    def _task(self, trial: Any) -> PackTask:
        task: PackTask = self._tasks[trial.config["pack"]]
        return task


def _settings(task: PackTask, result: Mapping[str, Any]) -> dict[str, Any]:
    """What decided the pack's bits, with the ways of stacking that were chosen."""
    choices = result["choices"]
    ways = [(choice["width"], choice["unfold"]) for choice in choices]
    return {**task.settings, "ways": ways, "choices": choices}
