"""Reports of studies that stop runs early: who is ranked, and how the others are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.results import Results, load_results
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.headline import headline_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.setup import setup_section
from orchestrator.store import Outcome, Store, is_whole

BEHIND = "asha: not among the best third at step 36"
MAX = "asha: max is reached at step 108"
PATIENCE = "patience: valid/loss has not improved for 3 evaluations at step 72"
RATES = [0.001, 0.01, 0.1, 1.0]


def planted(folder: Path, ends: list[tuple[str, str, float, float]], **meta: Any) -> Results:
    """A run for each rate: (status, reason, epochs, last loss)."""
    names = [f"run{number}" for number in range(len(ends))]
    runs = [
        (name, 0, {"optimizer": {"name": "sgd", "lr": rate}, "seed": 0})
        for name, rate in zip(names, RATES, strict=True)
    ]
    outcomes = [
        Outcome(
            run_id=name,
            lane=0,
            status=status,
            reason=reason,
            steps=int(36 * epochs),
            epochs=epochs,
            examples=7,
            wall_seconds=1.0,
            final={"valid/loss": loss},
            best={"valid/loss": loss},
        )
        for name, (status, reason, epochs, loss) in zip(names, ends, strict=True)
    ]
    with Store.create(folder) as store:
        store.set_meta(
            study="stopped",
            axes={"optimizer.lr": RATES},
            seeds=[0],
            objective={"metric": "valid/loss", "mode": "min"},
            **meta,
        )
        store.plan_runs(runs)
        store.record("pack", [], outcomes)
    return load_results(folder)


def strips(section: Section) -> list[str]:
    """What is marked along the top of the first figure."""
    spec = section.figures[0].chart.to_dict()
    shown = [layer for layer in spec["layer"] if layer["mark"]["type"] == "text"]
    return [spec["datasets"][layer["data"]["name"]][0]["text"] for layer in shown]


@pytest.mark.parametrize(
    ("status", "reason", "whole"),
    [
        ("completed", "trained to the end", True),
        ("stopped", MAX, True),
        ("stopped", PATIENCE, True),
        ("stopped", BEHIND, False),
        ("stopped", "median: worse than the median of the other runs at step 3", False),
        ("stopped", "budget: 3 s of training are used up at step 7", False),
        ("diverged", PATIENCE, False),
        ("running", "", False),
    ],
)
def test_who_has_had_all_of_the_training(status: str, reason: str, whole: bool) -> None:
    assert is_whole(status, reason) is whole


def test_runs_that_reach_ashas_max_are_ranked(tmp_path: Path) -> None:
    ends = [
        ("stopped", BEHIND, 1.0, 0.1),
        ("stopped", MAX, 3.0, 0.4),
        ("stopped", MAX, 3.0, 0.3),
        ("stopped", PATIENCE, 2.0, 0.2),
    ]
    results = planted(tmp_path, ends)
    assert list(results.ranked().index) == ["lr 1", "lr 0.1", "lr 0.01"]
    section = headline_section(results)
    assert section.finding.startswith("Best: lr 1, validation loss 0.2")
    ranked, stopped = section.tables
    assert ranked.head[-3:-1] == ["epochs", "seeds"]
    assert [row[-3] for row in ranked.rows] == ["2", "3", "3"]
    assert stopped.head[2:4] == ["epochs", "validation loss then"]
    assert stopped.rows == [["stopped", "lr 0.001", "1", "0.100", "1", BEHIND]]
    notes = " ".join(section.notes)
    assert (
        "Ranked: 3 configurations trained to the end. Not ranked: 1 stopped early, since" in notes
    )
    assert "and ranked: 3 runs." in notes


def test_the_stopped_ones_that_came_furthest_are_shown(tmp_path: Path) -> None:
    ends = [("stopped", BEHIND, epochs, loss) for epochs, loss in [(1, 0.9), (3, 0.8), (3, 0.7)]]
    results = planted(tmp_path, [*ends, ("diverged", "loss above 1e6", 1, 9.0)], report={"top": 2})
    section = headline_section(results)
    assert section.finding.startswith("No configuration has been trained to its end yet")
    (table,) = section.tables
    assert [row[1] for row in table.rows] == ["lr 0.1", "lr 0.01"]
    assert "the 2 of 3 that came furthest" in table.caption


def test_no_claims_on_curves_of_survivors(tmp_path: Path) -> None:
    ends = [("stopped", BEHIND, 1.0, 0.9)] * 2
    whole = [("completed", "trained to the end", 3.0, loss) for loss in (0.3, 0.5)]
    section = basin_section(planted(tmp_path, [*ends, *whole]))
    assert "inside" not in section.finding
    assert "decades" not in section.finding
    assert "2 of the 4 runs were stopped early" in section.finding
    assert section.tables[0].rows[0][3] == "not known"
    assert strips(section) == ["stopped"]


def test_equal_values_are_said_to_be_equal(tmp_path: Path) -> None:
    whole = [("completed", "trained to the end", 3.0, loss) for loss in (0.3, 0.3, 0.5, 0.5)]
    assert "The runner-up, lr 0.01, is equal to it;" in headline_section(
        planted(tmp_path, whole)
    ).finding  # fmt: skip


def test_drawn_studies_mark_what_was_stopped(tmp_path: Path) -> None:
    ends = [("stopped", BEHIND, 1.0, 0.9)] * 2
    whole = [("completed", "trained to the end", 3.0, loss) for loss in (0.3, 0.5)]
    results = planted(tmp_path, [*ends, *whole], search={"name": "random"})
    assert heat_map_section(results) is None
    section = basin_section(results)
    (figure,) = section.figures
    assert "Along the top: stopped ones" in figure.caption
    assert figure.data["value"].isna().sum() == 2
    assert strips(section) == ["stopped"]


def test_what_a_search_has_not_suggested_is_counted(tmp_path: Path) -> None:
    ends = [("completed", "trained to the end", 3.0, loss) for loss in (0.3, 0.4, 0.5, 0.6)]
    results = planted(tmp_path / "a", ends, search={"name": "optuna", "runs": 11})
    finding = setup_section(results).finding
    assert finding.startswith("The study is not finished: 4 of 11 runs are done")
    assert "4 runs: 4 completed and 7 not suggested yet" in finding
    design = planted(tmp_path / "c", ends, search={"name": "random", "runs": 11})
    assert "4 runs: 4 completed." in setup_section(design).finding, "equal points are one"
    over = planted(tmp_path / "b", ends, search={"name": "optuna", "runs": 11}, finished="now")
    assert "4 runs: 4 completed." in setup_section(over).finding, "the space was exhausted"
