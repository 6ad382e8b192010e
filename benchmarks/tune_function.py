"""Ray Tune as its tutorials have it: a function trainable, a trial for every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ray import tune

from benchmarks.contender import Score, main
from benchmarks.eager import EagerRun, Splits
from trainables.configs.run import RunConfig


def trainable(config: dict[str, Any], runs: Sequence[RunConfig], data: Splits) -> None:
    torch.set_num_threads(1)
    run = EagerRun(runs[config["run"]], data)
    while not run.finished:
        tune.report(run.advance())


def train(runs: Sequence[RunConfig], data: Splits, folder: Path) -> list[Score]:
    return fit(tune.with_parameters(trainable, runs=runs, data=data), len(runs), folder)


def fit(trainable: Any, runs: int, folder: Path, **settings: Any) -> list[Score]:
    """Tunes over the runs by their numbers, one CPU a trial, nearly all else by default.

    Raises:
        RuntimeError: a trial failed.
    """
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"CPU": 1}),
        param_space={"run": tune.grid_search(list(range(runs)))},
        tune_config=tune.TuneConfig(**settings),
        run_config=tune.RunConfig(
            storage_path=str(folder),
            # No contender saves its networks; a class would have to by default.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(f"{results.num_errors} trials failed") from results.errors[0]
    ended: dict[int, Score] = {}
    for result in results:
        metrics = result.metrics
        score = Score(metrics["valid_loss"], metrics["test_accuracy"])
        ended[metrics["config"]["run"]] = score
    return [ended[run] for run in range(runs)]


if __name__ == "__main__":
    main(train)
