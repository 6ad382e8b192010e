"""Tune's results into the store, as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune

from orchestrator.launch.bisect import as_parts, give_up, is_at_fault, without_orphans
from orchestrator.launch.deaths import death_of_trial
from orchestrator.launch.decider import Decider, pack_lanes
from orchestrator.launch.leftovers import sweep
from orchestrator.launch.saved_runs import BestRuns
from orchestrator.store import Outcome, Store
from orchestrator.store.faults import NODE_LOST
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
    """Commits each report before Tune goes on; splits a pack that keeps killing its worker."""

    # Declared here, since the base class has no types.
    _tasks: Mapping[Any, PackTask]
    _store: Store
    _watch: Watcher
    _decider: Decider | None
    _best: BestRuns | None
    _groups: dict[str, int]
    _furthest: dict[str, int]
    _split: dict[str, PackTask]
    """Parts of packs that were split in this launch, by their ids."""

    def __init__(
        self,
        store: Store,
        tasks: Mapping[Any, PackTask],
        watch: Watcher,
        decider: Decider | None = None,
        best: BestRuns | None = None,
    ) -> None:
        """
        Args:
            tasks: by what a trial has as ``config["pack"]``; may grow.
            decider: of a study whose lanes can be stopped and joined.
            best: is shown ended runs, where only the best ones' final states are kept.
        """
        self._store = store
        self._tasks = tasks
        self._watch = watch
        self._decider = decider
        self._best = best
        self._groups = {}
        self._furthest = {outcome.run_id: outcome.steps for outcome in store.outcomes()}
        self._split = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, which Regatta does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if (task := self._task(trial)) is not None:
            self._start(task)

    def _start(self, task: PackTask) -> None:
        self._store.start_pack(task.pack_id, pack_lanes(task, self._store), task.settings)
        self._groups[task.pack_id] = 0
        if self._decider is not None:
            self._decider.begin(task)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        task = self._task(trial)
        if task is None:
            return
        outcomes = [Outcome(**progress) for progress in result["progress"]]
        if self._groups[task.pack_id] < len(result["choices"]):
            self._groups[task.pack_id] = len(result["choices"])
            self._store.set_pack(task.pack_id, status="running", settings=_settings(task, result))
        if self._decider is None:
            self._store.record(
                task.pack_id,
                result["rows"],
                outcomes,
                events=result["events"],
                measured=result["probes"],
            )
        else:
            outcomes = self._decider.take_in(
                task,
                result["report"],
                result["rows"],
                outcomes,
                done=result["finished"],
                measured=result["probes"],
            )
        for outcome in outcomes:
            self._furthest[outcome.run_id] = max(
                outcome.steps, self._furthest.get(outcome.run_id, 0)
            )
        for kind, details in result["notes"].items():
            for detail in details:
                self._store.note(kind, task.pack_id, detail)
        if self._best is not None:
            self._best.observe(outcomes)
        self._watch(result["rows"], outcomes)
        if result["finished"]:
            self._complete(trial, task, result)

    def _complete(self, trial: Any, task: PackTask, result: Mapping[str, Any]) -> None:
        """The pack is trained; in the same trial the next part may follow."""
        self._store.set_pack(task.pack_id, status="completed", settings=_settings(task, result))
        sweep(self._store, task.folder, task.ancestors)
        if self._best is not None:
            self._best.sweep(pack_lanes(task, self._store))
        later = self._parts(trial)[1:]
        self._set_parts(trial, later)
        if later:
            self._start(later[0])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died, and Tune is about to start another for the trial."""
        parts = self._parts(trial)
        if not parts:
            return
        task, death = parts[0], death_of_trial(trial)
        lanes = pack_lanes(task, self._store)
        reached = sum(self._furthest.get(run_id, 0) for run_id in lanes)
        deaths = self._store.note_death(task.pack_id, death.kind, death.detail, reached)
        if death.kind == NODE_LOST or not is_at_fault(self._store, task, deaths):
            return
        halves, outcomes = give_up(self._store, task, deaths, death)
        failed = [o.run_id for o in outcomes if o.status == "failed"]
        later, orphaned = without_orphans(self._store, parts[1:], failed)
        outcomes += orphaned
        self._split |= {part.pack_id: part for part in (*halves, *later)}
        self._set_parts(trial, [*halves, *later])
        if self._best is not None:
            self._best.observe(outcomes)
        self._watch([], outcomes)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune has given a trial up, which none of our own bounds lets it come to."""
        error = Path(trial.error_file).read_text() if trial.error_file else "the worker died"
        for task in self._parts(trial):
            outcomes = self._store.fail_runs(pack_lanes(task, self._store), error)
            self._store.set_pack(task.pack_id, status="failed", settings=task.settings)
            sweep(self._store, task.folder, task.ancestors)
            self._watch([], outcomes)

    def _parts(self, trial: Any) -> list[PackTask]:
        """What a trial has still to train: its pack, or parts of it."""
        parts = trial.config.get("parts")
        if parts is None:
            return [self._tasks[trial.config["pack"]]]
        return [self._split[part["pack_id"]] for part in parts]

    def _task(self, trial: Any) -> PackTask | None:
        return next(iter(self._parts(trial)), None)

    def _set_parts(self, trial: Any, parts: Sequence[PackTask]) -> None:
        """What the trial's next worker trains, should there be one."""
        trial.set_config({**trial.config, "parts": as_parts(parts)})


def _settings(task: PackTask, result: Mapping[str, Any]) -> dict[str, Any]:
    """What decided the pack's bits, with the ways of stacking that were chosen."""
    choices = result["choices"]
    ways = [(choice["width"], choice["unfold"], choice["compiled"]) for choice in choices]
    return {**task.settings, "threads": result["threads"], "ways": ways, "choices": choices}
