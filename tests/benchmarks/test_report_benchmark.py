"""Reports of large studies: what is measured, that it is drawn in few points, and the limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import Cost, in_words, make_store, measured
from orchestrator.report.results import load_results
from orchestrator.report.sections.model import Figure
from orchestrator.report.sections.scatter import scatter_section
from orchestrator.store import Store


def test_the_store_that_is_measured(tmp_path: Path) -> None:
    make_store(tmp_path, runs=200, rows=7, drawn=False)
    with Store.open(tmp_path) as store:
        runs, history = store.runs(), store.history()
    assert len(runs) == 200
    assert runs["status"].value_counts().to_dict() == {
        "completed": 168,
        "stopped": 20,
        "diverged": 10,
        "failed": 2,
    }
    assert len(history) == 168 * 7 + 32 * 2
    assert history.groupby("run_id").size().max() == 7


def points(figure: Figure) -> int:
    return sum(len(rows) for rows in figure.spec({})["datasets"].values())


def test_a_large_study_is_drawn_in_few_points(tmp_path: Path) -> None:
    """3,000 configurations: 2,000 of those with a value are drawn, the CSV has all, it is said."""
    make_store(tmp_path, runs=3000, rows=1, drawn=True)
    figures = scatter_section(load_results(tmp_path)).figures
    assert max(points(figure) for figure in figures) < 2600
    (along,) = (figure for figure in figures if figure.name == "along_optimizer_lr")
    assert len(along.data) == 2970
    assert "Drawn: 2,450 of 2,970 points" in along.caption
    best = along.data["value"].nsmallest(500)
    (drawn, *_) = sorted(along.spec({})["datasets"].values(), key=len, reverse=True)
    assert set(best) <= {row.get("value") for row in drawn}


def test_words() -> None:
    cost = Cost(wall=12.34, processor=5.67, memory=1.5 * 2**30)
    assert in_words(cost) == "12.3 s, 5.7 s of a processor, 1.50 GiB"


@pytest.mark.chaos
@pytest.mark.parametrize("drawn", [False, True])
def test_limits_of_a_large_report(tmp_path: Path, drawn: bool) -> None:
    """10,000 runs × 100 evaluations, in seconds of the processor: a machine may be shared."""
    folder = tmp_path / "large"
    make_store(folder, runs=10_000, rows=100, drawn=drawn)
    status = measured(["status", str(folder)])
    assert status.processor < 1
    report = measured(["report", str(folder)])
    assert report.processor < 20
    assert report.memory < 2e9
    assert (folder / "report.html").stat().st_size < 15e6
