"""One ``ray.tune.Tuner`` for all that is left of a study."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from orchestrator.spec.study import Study
from orchestrator.store import Store

_WORKER_DEATHS = 3
"""How often a pack whose worker died is started again before its runs count as failed."""


def fit(
    study: Study,
    store: Store,
    trainable: Any,
    tasks: Sequence[Any],
    asked: Mapping[str, float],
    recorder: tune.Callback,
    *,
    checkpoints: tune.CheckpointConfig,
    reuse_actors: bool,
    search: Any = None,
    stopper: tune.Stopper | None = None,
    **shared: Any,
) -> None:
    """Runs a trial for each task: it finds its own at ``config["pack"]``.

    Args:
        tasks: unless they are made on the way.
        asked: what a trial takes of the cluster.
        search: a searcher that suggests ``{"pack": …}``; None: a trial for each of ``tasks``.
        stopper: ends trials early.
        shared: further arguments of the trainable's ``setup``, the same for all.
    """
    scratch = store.folder / ".tune"
    with_tasks = tune.with_parameters(trainable, tasks=tasks, **shared)
    tuner = tune.Tuner(
        tune.with_resources(with_tasks, dict(asked)),
        param_space={"pack": tune.grid_search(list(range(len(tasks))))} if search is None else {},
        tune_config=tune.TuneConfig(
            reuse_actors=reuse_actors,
            # A searcher minds it itself, and must not be wrapped in another.
            max_concurrent_trials=0 if search else study.resources.max_concurrent or 0,
            search_alg=search,
            num_samples=-1 if search else 1,
        ),
        run_config=tune.RunConfig(
            name="packs",
            storage_path=str(scratch),
            verbose=0,
            checkpoint_config=checkpoints,
            failure_config=tune.FailureConfig(max_failures=_WORKER_DEATHS),
            callbacks=[recorder],
            stop=stopper,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
