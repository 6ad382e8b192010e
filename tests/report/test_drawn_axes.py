"""Studies whose values were drawn: points along each axis, labels that can be read."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from orchestrator.report.results import Results, load_results
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.store import Outcome, Store

RUNS = 40


@pytest.fixture
def drawn(tmp_path: Path) -> Results:
    """Log-uniform rates; momentum where the optimizer is sgd; best at lr 0.1, whatever else."""
    draw = random.Random(7)
    runs, outcomes = [], []
    for number in range(RUNS):
        rate = 10 ** draw.uniform(-4, 0)
        optimizer: dict[str, object] = {"name": "adam", "lr": rate, "beta1": 0.9}
        if number % 2:
            optimizer = {"name": "sgd", "lr": rate, "momentum": draw.uniform(0, 1)}
        runs.append((f"run{number:03d}", 0, {"optimizer": optimizer, "seed": 0}))
        final = {"valid/loss": 1 + math.log10(rate / 0.1) ** 2}
        outcomes.append(
            Outcome(
                run_id=f"run{number:03d}",
                lane=0,
                status="completed",
                reason="",
                steps=7,
                epochs=1.0,
                examples=7,
                wall_seconds=1.0,
                final=final,
                best=final,
            )
        )
    with Store.create(tmp_path) as store:
        store.set_meta(
            study="drawn",
            axes={"optimizer.name": ["sgd", "adam"], "optimizer.lr": [], "optimizer.momentum": []},
            conditional=["optimizer.momentum"],
            search={"name": "optuna"},
            seeds=[0],
            objective={"metric": "valid/loss", "mode": "min"},
        )
        store.plan_runs(runs)
        store.record("pack", [], outcomes)
    return load_results(tmp_path)


def test_axes_are_those_of_the_study(drawn: Results) -> None:
    assert [axis.name for axis in drawn.axes] == ["optimizer", "lr", "momentum"]
    assert [axis.gaps for axis in drawn.axes] == [False, False, True]
    assert drawn.drawn


def test_labels_leave_out_what_is_not_there(drawn: Results) -> None:
    labels = dict(zip(drawn.runs["run_id"], drawn.runs["configuration"], strict=True))
    assert labels["run000"].startswith("adam, lr ")
    assert "momentum" not in labels["run000"]
    assert labels["run001"].startswith("sgd, lr ")
    assert ", momentum 0." in labels["run001"]
    assert len(set(labels.values())) == RUNS


def test_points_along_each_axis(drawn: Results) -> None:
    section = basin_section(drawn)
    assert section.title == "Along each axis"
    assert [figure.name for figure in section.figures] == [
        "along_optimizer_lr",
        "along_optimizer_momentum",
    ]
    assert [len(figure.data) for figure in section.figures] == [RUNS, RUNS // 2]
    rates = drawn.runs.assign(gap=(drawn.runs["final/valid/loss"])).nsmallest(4, "gap")
    low, high = rates["axis/optimizer.lr"].min(), rates["axis/optimizer.lr"].max()
    assert f"The best tenth of the configurations (4 of {RUNS})" in section.finding
    assert f"lr from {low:.3g} to {high:.3g}" in section.finding
    assert "optimizer " in section.finding
    assert section.tables[0].rows[0][0] == "optimizer"
    assert section.tables[0].rows[0][3] == f"adam {RUNS // 2} and sgd {RUNS // 2}"
    assert section.tables[0].rows[1][1] == f"{rates['axis/optimizer.lr'].iloc[0]:.3g}"


def test_there_is_no_grid(drawn: Results) -> None:
    assert heat_map_section(drawn) is None
