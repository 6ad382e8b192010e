"""A search over a training of the user's own: a trial for each run, made when a slot is free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.launch.own_training import own_task
from orchestrator.launch.pack_searcher import PackSearcher
from orchestrator.launch.searching import make_source
from orchestrator.search.adaptive import AdaptiveSource
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.ray_function import FunctionTask


class RunSearcher(PackSearcher):
    """Suggests a run with its task, which no worker can know beforehand."""

    def _begin(self, trial_id: str, task: Any) -> dict[str, Any]:
        return {**super()._begin(trial_id, task), "task": task}


def search_own(
    study: Study, store: Store, slots: int, *, over: Callable[[], bool]
) -> tuple[RunSearcher, AdaptiveSource, dict[str, FunctionTask]]:
    """The searcher for Tune, the source behind it, and the tasks that it has made so far.

    Runs of an earlier launch that have not ended come first, and go on from their checkpoints.

    Raises:
        SearchError: the study's searcher cannot be made.
    """
    tasks: dict[str, FunctionTask] = {}
    store.plan_packs([])
    seeds = len(study.seeds)
    # With several seeds one suggestion more: its runs take the slots that the last seeds free.
    outstanding = math.ceil(slots / seeds) + (seeds > 1)
    source = make_source(study, store, {}, training=frozenset(), outstanding=outstanding)

    def make(runs: Mapping[str, Any]) -> Any:
        ((run_id, run),) = runs.items()
        task: FunctionTask = own_task(study, store, run_id, run)
        store.add_pack(task.pack_id, [run_id], {})
        tasks[task.pack_id] = task
        return task

    searcher = RunSearcher(source, make, resumed=[], lanes=1, slots=slots, over=over)
    return searcher, source, tasks
