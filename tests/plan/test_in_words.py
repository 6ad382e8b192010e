"""A launch says in a line what it is about to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.plan.in_words import at_a_time, study_in_words
from orchestrator.spec import load_study

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.mark.parametrize(
    ("name", "changed", "text"),
    [
        ("asha", [], "108 runs of a grid design, 54 at a time; early stopping: asha"),
        ("optuna", [], "60 runs of search optuna (tpe), 16 at a time"),
        ("pbt", [], "3 populations of 16 members, which copy better ones every 2 epochs"),
        ("pbt", ["seeds=1", "search.interval.epochs=1"],
         "1 population of 16 members, which copy better ones every epoch"),
        ("lr_schedules", [], "180 runs of a grid design, 54 at a time"),
    ],
)  # fmt: skip
def test_what_a_study_does_is_said(name: str, changed: list[str], text: str) -> None:
    study = load_study(SWEEPS / f"{name}.yaml", changed)
    lanes = at_a_time(study, 2) if study.adaptive else 54
    assert study_in_words(study, study.size * len(study.seeds), lanes) == text


def test_what_is_left_is_said() -> None:
    study = load_study(SWEEPS / "asha.yaml")
    text = "7 of 108 runs of a grid design, 7 at a time; early stopping: asha"
    assert study_in_words(study, 7, 54) == text
