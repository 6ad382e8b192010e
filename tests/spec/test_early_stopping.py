"""What ``early_stopping`` becomes: rules with metric and mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import load_study
from orchestrator.spec.stopping_rules import Asha, Budget, Median, Patience
from tests.spec.malformed import own, study
from trainables.configs.base import Epochs, Steps

FIRST = {"metric": "valid/loss", "mode": "min"}


def _rules(text: str, folder: Path) -> Any:
    (folder / "s.yaml").write_text(text)
    return load_study(folder / "s.yaml").early_stopping


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{name: asha}", (Asha(**FIRST),)),
        (
            "{name: asha, grace: {epochs: 2}, reduction: 4, max: 0.5, brackets: 3, seed: 5}",
            (Asha(grace=Epochs(epochs=2.0), reduction=4, max=0.5, brackets=3, seed=5, **FIRST),),
        ),
        (
            "{name: median, metric: valid/accuracy}",
            (Median(metric="valid/accuracy", mode="max"),),
        ),
        (
            "[{name: patience, evaluations: 3}, {name: budget, hours: 2, run_seconds: 30}]",
            (Patience(evaluations=3, **FIRST), Budget(hours=2, run_seconds=30)),
        ),
        (
            "[{name: patience, evaluations: 3, mode: max},"
            " {name: patience, evaluations: 5, metric: train/loss}]",
            (
                Patience(evaluations=3, metric="valid/loss", mode="max"),
                Patience(evaluations=5, metric="train/loss", mode="min"),
            ),
        ),
    ],
)
def test_metric_and_mode_are_those_of_the_objective_unless_written(
    written: str, expected: Any, tmp_path: Path
) -> None:
    assert _rules(study(f"early_stopping: {written}\n"), tmp_path) == expected


def test_another_objective(tmp_path: Path) -> None:
    text = study("early_stopping: {name: asha}\nobjective: {metric: test/accuracy}\n")
    assert _rules(text, tmp_path) == (Asha(metric="test/accuracy", mode="max"),)


def test_own_training(tmp_path: Path) -> None:
    text = own(
        "early_stopping: [{name: asha, grace: {steps: 2}, max: {steps: 20}},"
        " {name: patience, evaluations: 2, metric: my accuracy}]\n"
    )
    asha = Asha(grace=Steps(steps=2), max=Steps(steps=20), metric="x", mode="min")
    patience = Patience(evaluations=2, metric="my accuracy", mode="max")
    assert _rules(text, tmp_path) == (asha, patience)


def test_there_is_none_by_default(tmp_path: Path) -> None:
    assert _rules(study(), tmp_path) == ()


def test_it_renames_no_run(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(study())
    (tmp_path / "b.yaml").write_text(study("early_stopping: {name: asha}\n"))
    first, second = (load_study(tmp_path / f"{name}.yaml").runs() for name in "ab")
    assert first == second


def test_a_grace_that_is_short_enough_for_one_run_is_right(tmp_path: Path) -> None:
    text = study(
        "early_stopping: {name: asha, grace: {epochs: 3}}\nsweep: {train.epochs: [3, 9]}\n"
    )
    assert len(_rules(text, tmp_path)) == 1
