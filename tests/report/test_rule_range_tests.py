"""Range tests in a study: what they predict, beside what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.report.labels import Axis
from orchestrator.report.results import Results, candidates
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.rules.range_test import range_test_section
from tests.report.rules import SCHEDULES, Chosen, bowl, name_of, noise
from tests.report.stores import RATES, plant

TESTED = [float(rate) for rate in np.logspace(-4, 1, 51)]


def course(chosen: Chosen, seed: int, final: float) -> list[dict[str, float]]:
    """A range test's loss falls fastest at 0.03 and rises above all from 0.9."""
    if name_of(chosen) != "range_test":
        return [{"valid/loss": final}, {"valid/loss": final}]
    falls = [1 + 1 / (1 + (rate / 0.03) ** 2) for rate in TESTED]
    return [
        {"lr": rate, "train/loss": 1e3 if rate > 0.9 else fall, "valid/loss": fall}
        for rate, fall in zip(TESTED, falls, strict=True)
    ]


def with_tests(folder: Path, best: float) -> Results:
    """Peaks with a best one, and range tests that end at the largest of them."""

    def planted(chosen: Chosen, seed: int) -> float | str:
        if name_of(chosen) == "range_test":
            return "diverged" if chosen["optimizer.lr"] == 10 else "pending"
        return bowl(chosen, best) + noise(name_of(chosen), chosen["optimizer.lr"], seed)

    schedules = [*SCHEDULES, {"name": "range_test"}]
    rates = {"optimizer.lr": [0.003, *RATES, 3.0, 10.0], "schedule": schedules}
    results = plant(folder, planted, rates, seeds=3, curve=course)
    return replace(results, runs=results.runs[results.runs["status"] != "pending"])


@pytest.mark.parametrize(("best", "inside"), [(0.03, True), (3.0, False)])
def test_predictions_beside_what_was_measured(tmp_path: Path, best: float, inside: bool) -> None:
    section = range_test_section(with_tests(tmp_path, best))
    assert section is not None
    # The loss of an interval belongs to its middle, a twentieth of a decade before.
    assert section.finding.startswith(
        "Steepest descent predicts 0.028 (95 % interval 0.028 to 0.028); a tenth of the edge "
        "predicts 0.071"
    )
    assert "The edge is at 0.71" in section.finding
    assert f"Measured best is {best:g}, with" in section.finding
    how_many = 3 if inside else 0
    assert f"in the 10 % basin of {how_many} of 3 rules" in section.finding
    near = "the nearest peak swept is the best one" in section.finding
    assert near == inside
    assert ("at the nearest peak swept, 0.03" in section.finding) == (not inside)
    marks = section.figures[0].chart.to_dict()
    assert "measured best" in str(marks["datasets"])


def test_range_tests_do_not_compete(tmp_path: Path) -> None:
    results = with_tests(tmp_path, 0.1)
    left = candidates(results)
    assert len(left.runs) == len(results.runs) - 3
    lr: Axis = next(axis for axis in left.axes if axis.path == "optimizer.lr")
    assert 10.0 in lr.texts  # others were tried there, too
    sections = {section.title: section for section in sections_of(results)}
    told = [
        "The best configurations", "Which schedule", "The learning-rate basin", "The whole grid"
    ]  # fmt: skip
    assert all("range_test" not in sections[title].finding for title in told)
    assert "What the range test predicts" in sections
    assert "range_test" in str(sections["The schedules"].figures[0].data["group"].unique())
    assert "3 runs diverged" in sections["What did not complete"].finding


def test_range_tests_alone(tmp_path: Path) -> None:
    schedules = [{"name": "range_test"}]
    results = plant(
        tmp_path, lambda c, s: 1.0, {"schedule": schedules, "optimizer.lr": [10.0]}, curve=course
    )
    assert candidates(results) is results
    section = range_test_section(results)
    assert section is not None
    assert "No grid of peaks was measured to compare it with." in section.finding
