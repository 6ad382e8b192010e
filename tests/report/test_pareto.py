"""Pareto fronts against brute force, and what a report says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.report.pareto import pareto_front
from orchestrator.report.results import Results, load_results
from orchestrator.report.sections.front import front_section
from orchestrator.store import Store
from tests.report.stores import plant

Points = npt.NDArray[np.float64]


def dominates(a: Points, b: Points) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


def brute_front(points: Points) -> list[bool]:
    return [not any(dominates(other, point) for other in points) for point in points]


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
@pytest.mark.parametrize("levels", [3, 1000])
def test_the_front_is_that_of_brute_force(objectives: int, levels: int) -> None:
    rng = np.random.default_rng(levels + objectives)
    for size in (1, 2, 7, 53):
        points = rng.integers(0, levels, (size, objectives)).astype(float)
        assert pareto_front(points).tolist() == brute_front(points)


def test_equal_points_are_on_the_front_together() -> None:
    points = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
    assert pareto_front(points).tolist() == [True, True, True, False]


OBJECTIVES = [
    {"metric": "valid/loss", "mode": "min"},
    {"metric": "valid/accuracy", "mode": "max"},
]


def two(folder: Path, accuracies: list[float], **more: Any) -> Results:
    """Losses 1 … n with these accuracies."""
    results = plant(
        folder,
        lambda chosen, seed: chosen["optimizer.lr"],
        {"optimizer.lr": [float(k + 1) for k in range(len(accuracies))]},
        objectives=OBJECTIVES,
        **more,
    )
    with Store.create(folder) as store:
        for outcome in store.outcomes():
            accuracy = accuracies[int(outcome.final["valid/loss"]) - 1]
            final = {"valid/loss": outcome.final["valid/loss"], "valid/accuracy": accuracy}
            fields = {name: getattr(outcome, name) for name in outcome.__slots__}
            store.record("pack", [], [type(outcome)(**fields | {"final": final})])
    assert results.objectives[1].metric == "valid/accuracy"
    return load_results(folder)


def test_the_front_is_found_and_drawn(tmp_path: Path) -> None:
    section = front_section(two(tmp_path, [0.1, 0.5, 0.3, 0.5, 0.9]))
    assert section is not None
    assert section.finding == (
        "3 of 5 configurations are on the front, from lr 1 (validation loss 1,"
        " validation accuracy 0.1) to lr 5 (validation loss 5, validation accuracy 0.9)."
    )
    assert [row[0] for row in section.tables[0].rows] == ["lr 1", "lr 2", "lr 5"]
    data = section.figures[0].data
    assert (data["kind"] == "on the front").tolist() == [True, True, False, False, True]
    assert data["y"].tolist() == pytest.approx([0.1, 0.5, 0.3, 0.5, 0.9])


def test_one_that_is_best_in_everything(tmp_path: Path) -> None:
    section = front_section(two(tmp_path, [0.9, 0.5, 0.3], seeds=1))
    assert section is not None
    assert section.finding.startswith("One of 3 configurations is best in everything: lr 1 (")


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    assert front_section(plant(tmp_path, lambda chosen, seed: 1.0)) is None


def test_nothing_has_completed(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda chosen, seed: "pending", objectives=OBJECTIVES)
    section = front_section(results)
    assert section is not None
    assert section.finding == "No configuration has completed with every seed yet."
