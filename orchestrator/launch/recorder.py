"""Tune's results into the store, as they come."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from orchestrator.launch.saved_runs import BestRuns
from orchestrator.store import Outcome, Store
from trainables.ray_pack import PackTask

Watcher = Callable[[Sequence[Mapping[str, Any]], Sequence[Outcome]], None]
"""Is shown every report once the store has it: (history rows, outcomes)."""


class Recorder(tune.Callback):  # type: ignore[misc]  # ray has no types
    """Commits each report before Tune goes on; a pack that ends in an error fails its runs."""

    # Declared here, since the base class has no types.
    _tasks: Sequence[PackTask]
    _store: Store
    _watch: Watcher
    _best: BestRuns | None
    """Whom ended runs are shown, where only the best ones' final states are kept."""

    def __init__(
        self,
        store: Store,
        tasks: Sequence[PackTask],
        watch: Watcher,
        best: BestRuns | None = None,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._watch = watch
        self._best = best

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, which Regatta does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        task = self._task(trial)
        self._store.start_pack(task.pack_id, [r for r, _ in task.runs], task.settings)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        task = self._task(trial)
        outcomes = [Outcome(**progress) for progress in result["progress"]]
        if result["training_iteration"] == 1:
            self._store.set_pack(task.pack_id, status="running", settings=_settings(task, result))
        self._store.record(task.pack_id, result["rows"], outcomes, events=result["events"])
        if result["notes"]:
            self._store.note(*(f"pack {task.pack_id}: {note}" for note in result["notes"]))
        if self._best is not None:
            self._best.observe(outcomes)
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
        outcomes = self._store.fail_runs([r for r, _ in task.runs], error)
        self._store.set_pack(task.pack_id, status="failed", settings=task.settings)
        shutil.rmtree(task.folder, ignore_errors=True)
        if self._best is not None:
            self._best.observe(outcomes)
        self._watch([], outcomes)

    def _task(self, trial: Any) -> PackTask:
        task: PackTask = self._tasks[trial.config["pack"]]
        return task


def _settings(task: PackTask, result: Mapping[str, Any]) -> dict[str, Any]:
    """What decided the pack's bits, with the ways of stacking that were chosen."""
    choices = result["choices"]
    ways = [(choice["width"], choice["unfold"]) for choice in choices]
    return {**task.settings, "ways": ways, "choices": choices}
