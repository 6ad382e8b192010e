"""By hand: a loop over the runs in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.contender import Score, main
from benchmarks.eager import EagerRun, Splits
from trainables.configs.run import RunConfig


def train_runs(runs: Sequence[RunConfig], data: Splits) -> list[Score]:
    """One process' share of the runs, one after the other."""
    torch.set_num_threads(1)
    scores = []
    for config in runs:
        run = EagerRun(config, data)
        while not run.finished:
            metrics = run.advance()
        scores.append(Score(metrics["valid_loss"], metrics["test_accuracy"]))
    return scores


def train(runs: Sequence[RunConfig], data: Splits, folder: Path) -> list[Score]:
    processes = os.cpu_count() or 1
    shares = [(runs[rank::processes], data) for rank in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        scores = pool.starmap(train_runs, shares, chunksize=1)
    return [scores[index % processes][index // processes] for index in range(len(runs))]


if __name__ == "__main__":
    main(train)
