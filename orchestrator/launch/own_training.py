"""A user's own training on Ray: one run a trial, each in a process of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from orchestrator.early_stopping import Clock, make_rules
from orchestrator.launch.check import LaunchError
from orchestrator.launch.facts import machine
from orchestrator.launch.tasks import asked_resources, count_slots
from orchestrator.plan import make_packs
from orchestrator.plan.in_words import study_in_words
from orchestrator.plan.packs import pack_id_of
from orchestrator.progress import Tally, say
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.configs.base import to_plain
from trainables.configs.function_run import FunctionRun
from trainables.user_code import UserCodeError, resolve


def check_trainable(study: Study) -> None:
    """That the user's code can be imported, and that Tune can run it.

    Raises:
        LaunchError: it cannot.
    """
    from trainables.ray_function import is_class

    assert study.trainable is not None
    try:
        found: Any = resolve(study.trainable)
    except UserCodeError as error:
        raise LaunchError(f"trainable: {error}") from error
    if is_class(found):
        return
    if inspect.isclass(found):
        raise LaunchError(
            f"trainable: {study.trainable} is a class, but no subclass of ray.tune.Trainable"
        )
    if study.execution.checkpoint_every is not None:
        raise LaunchError(
            f"execution.checkpoint_every: {study.trainable} is a function, which saves by"
            " ray.tune.report({...}, checkpoint=...); only a tune.Trainable class takes it"
        )
    try:
        inspect.signature(found).bind({})
    except TypeError as error:
        message = f"trainable: {study.trainable} must take one argument, config ({error})"
        raise LaunchError(message) from error


def make_own_tasks(study: Study, store: Store, left: Mapping[str, FunctionRun]) -> list[Any]:
    """The runs that are left, each planned as a pack of its own."""
    packs = make_packs(left, slots=1)
    store.plan_packs((pack.pack_id, pack.run_ids, {}) for pack in packs)
    return [own_task(study, store, pack.run_ids[0], left[pack.run_ids[0]]) for pack in packs]


def own_task(study: Study, store: Store, run_id: str, run: FunctionRun) -> Any:
    """The run as a trial."""
    from trainables.ray_function import FunctionTask

    name = pack_id_of([run_id])
    return FunctionTask(
        pack_id=name,
        run_id=run_id,
        config={**to_plain(run.config), "seed": run.seed},
        metric=study.objective.metric,
        folder=store.folder / "packs" / name,
    )


def tune_own(
    study: Study,
    store: Store,
    left: Mapping[str, FunctionRun],
    resources: dict[str, float],
    tally: Tally,
) -> None:
    """Trains the runs that are left.

    Raises:
        LaunchError: a run asks for more than the cluster has.
    """
    from ray import tune

    from orchestrator.launch.own_recorder import DEATHS_FORGIVEN, OwnRecorder
    from orchestrator.launch.own_search import search_own
    from orchestrator.launch.own_stopper import OwnStopper
    from orchestrator.launch.recorder import Watcher, together
    from orchestrator.launch.tuner import fit
    from trainables.ray_function import as_trainable

    assert study.trainable is not None
    asked = asked_resources(study, resources)
    slots = count_slots(study, asked, resources)
    before = store.meta().get("wall_seconds", 0.0)
    rules = make_rules(
        study.early_stopping,
        {},
        elapsed=lambda: before + tally.seconds,
        gpus=asked["GPU"],
        cpus=asked["CPU"],
        other=Clock(),
    )
    rules.rebuild(store.reports(), store.statuses())
    stopper = OwnStopper(rules, study.objective.metric)
    store.set_meta(machine=machine(resources), slots=slots)
    say(study.name, study_in_words(study, len(left), slots))
    tasks: Any
    search = None
    watch: Watcher = tally.observe
    if study.adaptive:
        search, source, tasks = search_own(study, store, slots, over=stopper.stop_all)
        watch = together(tally.observe, lambda rows, outcomes: source.tell(outcomes, rows))
    else:
        tasks = dict(enumerate(make_own_tasks(study, store, left)))
    fit(
        study,
        store,
        as_trainable(study.trainable),
        [] if study.adaptive else [*tasks.values()],
        lambda pack: asked,
        OwnRecorder(store, tasks, study.objective, watch, stopper),
        checkpoints=tune.CheckpointConfig(
            num_to_keep=1,
            checkpoint_frequency=study.execution.checkpoint_every or 0,
            checkpoint_at_end=False,
        ),
        # Global state that a run leaves behind must not reach the next one.
        reuse_actors=False,
        search=search,
        stopper=stopper if study.early_stopping else None,
        worker_deaths=DEATHS_FORGIVEN,
    )
