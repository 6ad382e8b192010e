"""Runs a study on Ray: what is missing in the store is planned, packed and trained."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.launch.check import LaunchError, check, load_data
from orchestrator.launch.extend import Extension, extension_of
from orchestrator.launch.facts import machine
from orchestrator.launch.folder import now
from orchestrator.launch.in_order import waiting, without_orphans
from orchestrator.launch.leftovers import tidy
from orchestrator.launch.local_ray import cpus_of_nodes, prepare_environment, ray_cluster
from orchestrator.launch.planned import (
    is_on_demand,
    left_of,
    planned_runs,
    suggestions_left,
    unfinished,
)
from orchestrator.launch.rounds import in_rounds
from orchestrator.launch.saved_runs import saved_runs
from orchestrator.launch.searching import check_search
from orchestrator.plan import by_kind
from orchestrator.plan.in_words import study_in_words
from orchestrator.plan.packs import steps_per_epoch, work
from orchestrator.plan.trees import first_batch, lanes_at_once
from orchestrator.progress import Tally, display, say
from orchestrator.search.advisor import SearchError
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.configs.function_run import Run
from trainables.data import DataSet


@dataclass(frozen=True, slots=True)
class Finish:
    """How a launch ended."""

    folder: Path
    statuses: Mapping[str, int]
    interrupted: bool
    seconds: float
    saved: str
    """A sentence on what early stopping has saved; empty where no run was stopped."""
    faults: Mapping[str, int] = field(default_factory=dict)
    """kind → how often, of all that the study has come through."""


def checked_data(study: Study, store: Store) -> dict[str, DataSet]:
    """The data of all runs that the store does not hold yet, once everything fits together.

    Of a search that suggests its points a sample of its space is looked at. A training of the
    user's own has data of its own, and there is none of it here.

    Raises:
        LaunchError: the study does not fit its data, a user's model does not work, or the
            search cannot be made.
    """
    sys.path.insert(0, str(study.path.resolve().parent))
    runs = planned_runs(study, store)
    left = [*by_kind(left_of(runs, store))[0].values()]
    if study.adaptive and (left or suggestions_left(study, store)):
        left += check_search(study)
    # Rules of early stopping compare with runs that have ended, and measure these, too.
    whole = [*by_kind(runs)[0].values(), *left] if left and study.early_stopping else left
    data = load_data(whole)
    check(left, data)
    return data


def train(study: Study, store: Store, data: Mapping[str, DataSet]) -> Finish:
    """Trains every run of the study that the store does not hold yet; failed ones again.

    Args:
        data: as ``checked_data`` gives it.

    Raises:
        LaunchError: a pack asks for more than the cluster has.
    """
    job = _job(study, store, data)
    before = store.meta().get("wall_seconds", 0.0)
    todo = bool(job.left) or suggestions_left(study, store) > 0
    interrupted = todo and _train(job)
    if not interrupted:
        tidy(store)
    store.set_meta(
        finished=None if interrupted else now(),
        wall_seconds=before + job.tally.seconds,
        strategies=_strategies(store),
        saved=store.saved(),
    )
    statuses = Counter(store.statuses().values())
    return Finish(
        store.folder,
        dict(statuses),
        interrupted,
        job.tally.seconds,
        store.saved(),
        store.fault_counts(),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be trained."""

    study: Study
    store: Store
    runs: Mapping[str, Run]
    """All that are planned."""
    left: Mapping[str, Run]
    data: Mapping[str, DataSet]
    tally: Tally


def _job(study: Study, store: Store, data: Mapping[str, DataSet]) -> _Job:
    runs = planned_runs(study, store)
    # What a search will ask for is not known: its runs are counted, not their steps.
    known = {} if study.adaptive else by_kind(runs)[0]
    lengths = {name: work(run) for name, run in known.items()}
    starts = {name: first_batch(run, steps_per_epoch(run) or 1) for name, run in known.items()}
    expected = study.size * len(study.seeds)
    tally = Tally(study.objective, lengths, store.outcomes(), expected, starts)
    return _Job(study, store, runs, left_of(runs, store), data, tally)


def _train(job: _Job) -> bool:
    """Trains what is left; True where the user interrupted it."""
    study = job.study
    folder = str(study.path.resolve().parent)
    # Before anything of the user's is imported: that imports Ray, as a rule.
    prepare_environment()
    if study.trainable is not None:
        from orchestrator.launch.own_training import check_trainable

        check_trainable(study)
    # Classes of the user's own go to Ray's workers by name.
    import_from = None if study.trainable is None else folder
    try:
        with display(job.tally, study.name):

            def train_round(left: Mapping[str, Run]) -> None:
                if not left and not suggestions_left(study, job.store):
                    return
                now_left = replace(job, runs=planned_runs(study, job.store), left=left)
                with ray_cluster(import_from=import_from) as resources:
                    _WAYS[_way(study, job.store)](now_left, resources)

            in_rounds(job.store, job.left, train_round, lambda: unfinished(study, job.store))
    except KeyboardInterrupt:
        return True
    except SearchError as error:
        raise LaunchError(str(error)) from error
    return False


def _way(study: Study, store: Store) -> str:
    """How the study is launched: see ``_WAYS``."""
    if study.trainable is not None:
        return "own training"
    return "on demand" if is_on_demand(study, store) else "planned packs"


def _tune_planned(job: _Job, resources: dict[str, float]) -> None:
    """Trains packs made beforehand; then networks that come from others of interrupted packs."""
    store, runs = job.store, by_kind(job.runs)[0]
    left = without_orphans(store, runs, by_kind(job.left)[0])
    later = waiting(store, runs, left)
    at_once = {name: run for name, run in left.items() if name not in later}
    _tune_packs(replace(job, left=at_once), resources)
    if later:
        rest = by_kind(unfinished(job.study, store))[0]
        _tune_packs(replace(job, left=without_orphans(store, runs, rest)), resources)


def _tune_packs(job: _Job, resources: dict[str, float]) -> None:
    from ray import tune

    from orchestrator.launch.recorder import Recorder
    from orchestrator.launch.tasks import asked_resources, count_slots, make_tasks
    from orchestrator.launch.tuner import UNBOUNDED, fit
    from trainables.ray_pack import RayPack

    study, store = job.study, job.store
    runs, left = by_kind(job.runs)[0], by_kind(job.left)[0]
    extension = _extension(job, on_demand=False)
    asked = asked_resources(study, resources)
    slots = count_slots(study, asked, resources)
    tasks = make_tasks(study, store, runs, left, slots, asked, cpus_of_nodes(), extension)
    store.set_meta(machine=machine(resources), slots=slots)
    lanes = (lanes_at_once(run for _, run in task.runs) for task in tasks)
    widest = sorted(lanes, reverse=True)
    say(study.name, study_in_words(study, len(left), sum(widest[:slots])))
    fit(
        study,
        store,
        RayPack,
        tasks,
        [task.asked for task in tasks].__getitem__,
        Recorder(store, dict(enumerate(tasks)), job.tally.observe, best=saved_runs(study, store)),
        # Packs keep checkpoints of their own; Tune is not to ask for any.
        checkpoints=tune.CheckpointConfig(checkpoint_at_end=False),
        reuse_actors=True,
        worker_deaths=UNBOUNDED,
        data=dict(job.data),
    )


def _extension(job: _Job, *, on_demand: bool) -> Extension:
    """Which runs go on from shorter ones; says so before they begin."""
    runs, left = by_kind(job.runs)[0], by_kind(job.left)[0]
    extension = extension_of(job.store, runs, left, on_demand=on_demand)
    if extension.line:
        say(job.study.name, extension.line)
    return extension


def _tune_on_demand(job: _Job, resources: dict[str, float]) -> None:
    from orchestrator.launch.on_demand import tune_on_demand

    if not job.study.adaptive:
        _extension(job, on_demand=True)
    runs, left = by_kind(job.runs)[0], by_kind(job.left)[0]
    tune_on_demand(job.study, job.store, runs, left, job.data, resources, job.tally)


def _tune_own(job: _Job, resources: dict[str, float]) -> None:
    from orchestrator.launch.own_training import tune_own

    tune_own(job.study, job.store, by_kind(job.left)[1], resources, job.tally)


_WAYS: dict[str, Callable[[_Job, dict[str, float]], None]] = {
    "planned packs": _tune_planned,
    "on demand": _tune_on_demand,
    "own training": _tune_own,
}
"""How studies are launched: a fixed design in packs made beforehand; packs made on the way, of
what a search suggests or of runs that take the lanes of those that are stopped early; one trial
for each run of a user's own training."""


def _strategies(store: Store) -> list[dict[str, Any]]:
    """How each pack was trained, and how fast, for the report."""
    return [
        {
            "pack_id": pack["pack_id"],
            "lanes": choice["lanes"],
            "strategy": choice["strategy"],
            "width": choice["width"],
            "reason": choice["reason"],
            "steps_per_second": 1 / seconds if (seconds := choice["seconds_per_step"]) else None,
        }
        for pack in store.packs()
        for choice in pack["settings"].get("choices", [])
    ]
