"""Studies whose packs are made as they go on: lanes are stopped early, and others take over."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune

from orchestrator.early_stopping import Clock, Rules, make_rules
from orchestrator.launch.decider import Decider
from orchestrator.launch.extend import unfinished_packs
from orchestrator.launch.facts import machine
from orchestrator.launch.local_ray import cpus_of_nodes
from orchestrator.launch.mailbox import start_mailbox
from orchestrator.launch.pack_searcher import PackSearcher
from orchestrator.launch.planned import suggestions_left
from orchestrator.launch.recorder import Recorder
from orchestrator.launch.saved_runs import saved_runs
from orchestrator.launch.searching import make_source
from orchestrator.launch.tasks import (
    asked_resources,
    count_slots,
    fresh_settings,
    make_task,
    offered,
    pack_settings,
)
from orchestrator.launch.tuner import UNBOUNDED, fit
from orchestrator.plan import by_kind, unique_runs
from orchestrator.plan.in_words import study_in_words
from orchestrator.plan.packs import first_lanes, pack_id_of
from orchestrator.plan.searched import sample_runs, search_lanes, suggestions_a_pack
from orchestrator.progress import Tally, say
from orchestrator.search import DesignSource, Source
from orchestrator.spec.study import Study
from orchestrator.store import Outcome, Store
from trainables.configs.function_run import Run, as_columns
from trainables.configs.run import RunConfig, data_key, fusion_key
from trainables.data import DataSet
from trainables.ray_pack import PackTask, RayPack


class PackBook:
    """The packs of a launch by id: those to go on with, and those made on the way."""

    def __init__(self, study: Study, store: Store, asked: Mapping[str, float], slots: int) -> None:
        """
        Args:
            asked: what a pack takes of the cluster.
            slots: packs that train at the same time, at most.
        """
        self._study = study
        self._store = store
        self._asked = asked
        self._slots = slots
        self.tasks: dict[str, PackTask] = {}

    def resume(
        self, runs: Mapping[str, RunConfig], left: Mapping[str, RunConfig]
    ) -> tuple[list[PackTask], set[str]]:
        """The packs that have not ended, and all runs in them; others of the kind are dropped."""
        found = unfinished_packs(self._store, runs, left)
        taken: set[str] = set()
        for name, pack in found.items():
            lanes = {run_id: runs[run_id] for run_id in pack["run_ids"]}
            settings = pack_settings(pack["settings"])
            self.tasks[name] = self.task(name, lanes, settings)
            taken |= {*pack["run_ids"], *pack["joined"]}
        self._store.plan_packs((t.pack_id, [r for r, _ in t.runs], t.settings)
                               for t in self.tasks.values())  # fmt: skip
        return list(self.tasks.values()), taken

    def make(self, runs: Mapping[str, RunConfig]) -> PackTask:
        """A further pack, in the store before it starts."""
        settings = fresh_settings(self._study, self._asked)
        task = self.task(pack_id_of(tuple(runs)), runs, settings)
        self._store.add_runs((name, run.seed, as_columns(run)) for name, run in runs.items())
        self._store.add_pack(task.pack_id, list(runs), settings)
        # A pack of the same runs may have ended in an error: nothing of it is gone on with.
        shutil.rmtree(task.folder, ignore_errors=True)
        self.tasks[task.pack_id] = task
        return task

    def task(
        self, name: str, runs: Mapping[str, RunConfig], settings: Mapping[str, Any]
    ) -> PackTask:
        """See ``make_task``."""
        study, store = self._study, self._store
        return make_task(study, store, name, runs, settings, self._asked, self._slots)


def _lanes_a_pack(study: Study, left: Mapping[str, RunConfig], slots: int) -> int:
    if study.adaptive:
        return search_lanes(study, slots)
    return first_lanes(left, slots=slots, most_lanes=study.execution.lanes)


def tune_on_demand(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    data: Mapping[str, DataSet],
    resources: dict[str, float],
    tally: Tally,
) -> None:
    """Trains the runs that are left.

    Raises:
        LaunchError: a pack asks for more than the cluster has.
    """
    least = asked_resources(study, resources)
    slots = count_slots(study, least, resources)
    store.set_meta(machine=machine(resources), slots=slots)
    lanes = _lanes_a_pack(study, left, slots)
    at_once = packs_at_once(study, store, runs, left, lanes, slots)
    asked = offered(study, least, cpus_of_nodes(), at_once)
    before = store.meta().get("wall_seconds", 0.0)
    clocks = {name: _clock(run, data) for name, run in runs.items()}
    rules = _rules(study, store, clocks, data, asked, lambda: before + tally.seconds)
    book = PackBook(study, store, asked, at_once)
    resumed, taken = book.resume(runs, left)
    best = saved_runs(study, store)

    def begin(suggested: Mapping[str, Run]) -> None:
        trained = by_kind(suggested)[0]
        clocks.update((name, _clock(run, data)) for name, run in trained.items())
        if best is not None:
            best.add(trained)

    source: Source
    if study.adaptive:
        source = make_source(
            study,
            store,
            data,
            training=frozenset(taken),
            outstanding=suggestions_a_pack(study, slots) * slots,
            begin=begin,
        )
    else:
        source = DesignSource({name: run for name, run in left.items() if name not in taken})
    say(study.name, study_in_words(study, len(left), lanes * at_once))
    searcher = PackSearcher(
        source,
        book.make,
        resumed=resumed,
        lanes=lanes,
        slots=at_once,
        over=lambda: rules.used_up() is not None,
    )
    template = book.task("", {}, {})
    decider = Decider(store, rules, source, lambda: before + tally.seconds)

    def watch(rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> None:
        tally.observe(rows, outcomes)
        # A pack that ends in an error makes no report.
        source.tell([o for o in outcomes if o.status == "failed"], [])

    fit(
        study,
        store,
        RayPack,
        [],
        lambda pack: asked,
        Recorder(store, book.tasks, watch, decider, best),
        # Packs keep checkpoints of their own; Tune is not to ask for any.
        checkpoints=tune.CheckpointConfig(checkpoint_at_end=False),
        reuse_actors=True,
        worker_deaths=UNBOUNDED,
        search=searcher,
        data=dict(data),
        mailbox=start_mailbox(template, store.folder),
    )


def packs_at_once(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    lanes: int,
    slots: int,
) -> int:
    """How many packs can be at work: with fewer than slots, each may have more CPUs.

    Args:
        runs: the study's.
        left: those that have not ended.
        lanes: of a new pack.
    """
    groups = Counter(fusion_key(run) for run in left.values())
    packs = sum(math.ceil(count / lanes) for count in groups.values())
    packs += math.ceil(suggestions_left(study, store) * len(study.seeds) / lanes)
    return min(slots, max(1, packs, len(unfinished_packs(store, runs, left))))


def _clock(run: RunConfig, data: Mapping[str, DataSet]) -> Clock:
    return Clock.of(run, len(data[data_key(run)].train_x))


def _rules(
    study: Study,
    store: Store,
    clocks: Mapping[str, Clock],
    data: Mapping[str, DataSet],
    asked: Mapping[str, float],
    elapsed: Callable[[], float],
) -> Rules:
    """The study's rules, as undisturbed launches would have left them.

    Args:
        clocks: of all runs; it may grow.
    """
    sample = by_kind(unique_runs(sample_runs(study, 1)))[0] if study.adaptive else {}
    rules = make_rules(
        study.early_stopping,
        clocks,
        elapsed=elapsed,
        gpus=asked["GPU"],
        cpus=asked["CPU"],
        other=next((_clock(run, data) for run in sample.values()), None),
    )
    rules.rebuild(store.reports(), store.statuses())
    return rules
