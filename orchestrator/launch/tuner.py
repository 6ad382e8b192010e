"""One ``ray.tune.Tuner`` for all that is left of a study."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
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
    asked: Mapping[str, float],
    recorder: tune.Callback,
    *,
    checkpoints: tune.CheckpointConfig,
    reuse_actors: bool,
    worker_deaths: int,
    **shared: Any,
) -> None:
    """Runs a trial for each task: it finds its own at ``config["pack"]``.

    Args:
        asked: what a trial takes of the cluster.
        worker_deaths: after so many a trial is started again; one more ends it.
        shared: further arguments of the trainable's ``setup``, the same for all.
    """
    scratch = store.folder / ".tune"
    with_tasks = tune.with_parameters(trainable, tasks=tasks, **shared)
    tuner = tune.Tuner(
        tune.with_resources(with_tasks, dict(asked)),
        param_space={"pack": tune.grid_search(list(range(len(tasks))))},
        tune_config=tune.TuneConfig(
            reuse_actors=reuse_actors, max_concurrent_trials=study.resources.max_concurrent or 0
        ),
        run_config=tune.RunConfig(
            name="packs",
            storage_path=str(scratch),
            verbose=0,
            checkpoint_config=checkpoints,
            failure_config=tune.FailureConfig(max_failures=worker_deaths),
            callbacks=[recorder],
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
