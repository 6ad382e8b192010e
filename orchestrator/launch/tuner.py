"""One ``ray.tune.Tuner`` for all that is left of a study."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray import tune

from orchestrator.spec.study import Study
from orchestrator.store import Store

UNBOUNDED = -1
"""Deaths that Tune lets a trial have, where the recorder counts them and ends the trial."""


def fit(
    study: Study,
    store: Store,
    trainable: Any,
    tasks: Sequence[Any],
    asked: Callable[[Any], Mapping[str, float]],
    recorder: tune.Callback,
    *,
    checkpoints: tune.CheckpointConfig,
    reuse_actors: bool,
    worker_deaths: int,
    search: Any = None,
    stopper: tune.Stopper | None = None,
    **shared: Any,
) -> None:
    """Runs a trial for each task: it finds its own at ``config["pack"]``.

    Args:
        tasks: unless they are made on the way.
        asked: (``config["pack"]``) → what the trial takes of the cluster.
        worker_deaths: after so many a trial is started again; one more ends it.
        search: a searcher that suggests ``{"pack": …}``; None: a trial for each of ``tasks``.
        stopper: ends trials early.
        shared: further arguments of the trainable's ``setup``, the same for all.
    """
    scratch = store.folder / ".tune"
    with_tasks = tune.with_parameters(trainable, tasks=tasks, **shared)
    tuner = tune.Tuner(
        tune.with_resources(with_tasks, lambda config: _bundle(asked(config["pack"]))),
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
            failure_config=tune.FailureConfig(max_failures=worker_deaths),
            callbacks=[recorder],
            stop=stopper,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _bundle(asked: Mapping[str, float]) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{kind: amount for kind, amount in asked.items() if amount}])
