"""Runs a study on Ray: what is missing in the store is planned, packed and trained."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.launch.check import check, load_data
from orchestrator.launch.extend import extension_of
from orchestrator.launch.facts import machine
from orchestrator.launch.folder import now
from orchestrator.launch.leftovers import tidy
from orchestrator.launch.local_ray import cpus_of_nodes, prepare_environment, ray_cluster
from orchestrator.launch.rounds import in_rounds
from orchestrator.launch.saved_runs import saved_runs
from orchestrator.plan import by_kind, unique_runs
from orchestrator.plan.packs import work
from orchestrator.progress import Tally, display
from orchestrator.spec.study import Study
from orchestrator.store import SETTLED, Store
from trainables.configs.function_run import FunctionRun
from trainables.configs.run import RunConfig
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

    A training of the user's own has data of its own, and there is none of it here.

    Raises:
        LaunchError: the study does not fit its data, or a user's model does not work.
    """
    sys.path.insert(0, str(study.path.resolve().parent))
    left = by_kind(_left(study, store))[0]
    # Rules of early stopping compare with runs that have ended, and measure these, too.
    whole = by_kind(unique_runs(study.runs()))[0] if left and study.early_stopping else left
    data = load_data(whole.values())
    check(left.values(), data)
    return data


def _left(study: Study, store: Store) -> dict[str, RunConfig | FunctionRun]:
    runs = unique_runs(study.runs())
    return {name: runs[name] for name, s in store.statuses().items() if s not in SETTLED}


def train(study: Study, store: Store, data: Mapping[str, DataSet]) -> Finish:
    """Trains every run of the study that the store does not hold yet; failed ones again.

    Args:
        data: as ``checked_data`` gives it.

    Raises:
        LaunchError: a pack asks for more than the cluster has.
    """
    runs = unique_runs(study.runs())
    left = _left(study, store)
    lengths = {name: work(run) for name, run in by_kind(runs)[0].items()}
    tally = Tally(study.objective, lengths, store.outcomes())
    before = store.meta().get("wall_seconds", 0.0)
    interrupted = bool(left) and (
        _train(study, store, by_kind(runs)[0], by_kind(left)[0], data, tally)
        if study.trainable is None
        else _train_own(study, store, by_kind(left)[1], tally)
    )
    if not interrupted:
        tidy(store)
    store.set_meta(
        finished=None if interrupted else now(),
        wall_seconds=before + tally.seconds,
        strategies=_strategies(store),
        saved=store.saved(),
    )
    statuses = Counter(store.statuses().values())
    return Finish(
        store.folder,
        dict(statuses),
        interrupted,
        tally.seconds,
        store.saved(),
        store.fault_counts(),
    )


def _train(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    data: Mapping[str, DataSet],
    tally: Tally,
) -> bool:
    """Trains the runs that are left; True where the user interrupted it."""
    prepare_environment()
    try:
        with display(tally, study.name):

            def tune(remaining: Mapping[str, RunConfig]) -> None:
                with ray_cluster() as resources:
                    _tune(study, store, runs, remaining, data, resources, tally)

            in_rounds(store, left, tune)
    except KeyboardInterrupt:
        return True
    return False


def _train_own(study: Study, store: Store, left: Mapping[str, FunctionRun], tally: Tally) -> bool:
    """The same for a training of the user's own, which Ray's workers import, too."""
    folder = str(study.path.resolve().parent)
    sys.path.insert(0, folder)
    # Before anything of the user's is imported: that imports Ray, as a rule.
    prepare_environment()
    # These import Ray, so they wait until its environment is prepared.
    from orchestrator.launch.own_training import check_trainable, tune_own

    check_trainable(study)
    try:
        with display(tally, study.name):

            def tune(remaining: Mapping[str, FunctionRun]) -> None:
                with ray_cluster(import_from=folder) as resources:
                    tune_own(study, store, remaining, resources, tally)

            in_rounds(store, left, tune)
    except KeyboardInterrupt:
        return True
    return False


def _tune(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    data: Mapping[str, DataSet],
    resources: dict[str, float],
    tally: Tally,
) -> None:
    from ray import tune

    # These import Ray, so they wait until its environment is prepared.
    from orchestrator.launch.on_demand import is_on_demand, tune_on_demand
    from orchestrator.launch.recorder import Recorder
    from orchestrator.launch.tasks import asked_resources, count_slots, make_tasks
    from orchestrator.launch.tuner import UNBOUNDED, fit
    from trainables.ray_pack import RayPack

    if is_on_demand(study, store):
        tune_on_demand(study, store, runs, left, data, resources, tally)
        return
    extension = extension_of(store, runs, left)
    if extension.line:
        print(f"{study.name}: {extension.line}", flush=True)  # noqa: T201 - before it begins
    asked = asked_resources(study, resources)
    slots = count_slots(study, asked, resources)
    tasks = make_tasks(study, store, runs, left, slots, asked, cpus_of_nodes(), extension)
    store.set_meta(machine=machine(resources), slots=slots)
    fit(
        study,
        store,
        RayPack,
        tasks,
        [task.asked for task in tasks].__getitem__,
        Recorder(store, dict(enumerate(tasks)), tally.observe, best=saved_runs(study, store)),
        # Packs keep checkpoints of their own; Tune is not to ask for any.
        checkpoints=tune.CheckpointConfig(checkpoint_at_end=False),
        reuse_actors=True,
        worker_deaths=UNBOUNDED,
        data=dict(data),
    )


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
