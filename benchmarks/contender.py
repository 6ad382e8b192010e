"""What every contender's process shares: its arguments, its data, and the scores it leaves."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.eager import Splits
from orchestrator.spec import Study, load_study
from trainables.configs.run import RunConfig, run_id
from trainables.data import load


class Score(NamedTuple):
    """Where one run ended."""

    valid_loss: float
    test_accuracy: float


Contender = Callable[[Sequence[RunConfig], Splits, Path], Sequence[Score]]
"""(runs, data, an empty folder) → the score of every run, in order."""


def main(train: Contender) -> None:
    """Trains the runs that the command line names, and writes their scores as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--subset", type=int, default=None)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    runs = spread(trained_runs(load_study(given.study, given.overrides)), given.subset)
    scores = train(runs, Splits.of(load(runs[0].data)), given.folder)
    found = {run_id(run): score for run, score in zip(runs, scores, strict=True)}
    (given.folder / "scores.json").write_text(json.dumps(found))


def trained_runs(study: Study) -> list[RunConfig]:
    """The study's runs, which are none of a user's own function."""
    return [run for run in study.runs() if isinstance(run, RunConfig)]


def spread(runs: Sequence[RunConfig], count: int | None) -> Sequence[RunConfig]:
    """``count`` of the runs, evenly spread over all; None: all."""
    if count is None or count >= len(runs):
        return runs
    return [runs[index * len(runs) // count] for index in range(count)]
