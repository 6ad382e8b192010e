"""The section of populations: a planted past is told and drawn as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import replay_study
from orchestrator.report import write_report
from orchestrator.report.results import load_results
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.population import population_section
from orchestrator.store import Outcome, Store, StoreError

COURSES = {"a": [0.5, 0.5, 0.5], "b": [0.1, 0.4, 0.4], "c": [0.9, 0.02, 0.3]}
"""lr of each member in each of three intervals of 10 steps: b and c are copies of a after the
first, c is one of b after the second, and the best."""
COPIES = [
    {"run_id": "b", "step": 10, "source": "a", "values": {"lr": 0.4}},
    {"run_id": "c", "step": 10, "source": "a", "values": {"lr": 0.02}},
    {"run_id": "c", "step": 20, "source": "b", "values": {"lr": 0.3}},
]


def planted(folder: Path, *, ended: bool = True) -> Any:
    with Store.create(folder) as store:
        store.set_meta(
            study="crowd",
            axes={"optimizer.lr": [0.1, 0.5, 0.9]},
            seeds=[0],
            objective={"metric": "valid/loss", "mode": "min"},
        )
        store.plan_runs((name, 0, _config(course[0])) for name, course in COURSES.items())
        store.start_pack("p", list(COURSES), {})
        rows, outcomes = [], []
        for lane, (name, course) in enumerate(COURSES.items()):
            loss = 0.4 - 0.1 * lane
            rows += [_row(name, at, lr, loss) for at, lr in enumerate(course, 1)]
            outcomes.append(_outcome(name, lane, loss))
        store.record("p", rows if ended else [], outcomes if ended else [], events=COPIES)
    return load_results(folder)


def _config(lr: float) -> dict[str, Any]:
    optimizer = {"name": "sgd", "lr": lr}
    return {
        "optimizer": optimizer,
        "train": {"batch_size": 4},
        "population": {"size": 3},
        "seed": 0,
    }


def _row(name: str, at: int, lr: float, loss: float) -> dict[str, Any]:
    return {
        "run_id": name,
        "level": 0,
        "step": 10 * at,
        "epoch": float(at),
        "examples": 40 * at,
        "seconds": 0.1,
        "valid/loss": loss,
        "optimizer.lr": lr,
    }


def _outcome(name: str, lane: int, loss: float) -> Outcome:
    return Outcome(
        run_id=name,
        lane=lane,
        status="completed",
        reason="",
        steps=30,
        epochs=3.0,
        examples=120,
        wall_seconds=0.3,
        final={"valid/loss": loss},
        best={"valid/loss": loss},
    )


def test_the_past_of_the_best_member(tmp_path: Path) -> None:
    section = population_section(planted(tmp_path))
    assert section.finding == (
        "The best of 3 members, run c, came to validation loss 0.2 by 2 copies: optimizer.lr went"
        " from 0.5 to 0.3. Of the 3 that its population began with, 1 has descendants at the end."
    )
    populations, past = section.tables
    assert [row[2:] for row in past.rows] == [["a", "0.5"], ["b", "0.4"], ["c", "0.3"]]
    assert [row[:2] for row in past.rows] == [["0", "0"], ["1", "10"], ["2", "20"]]
    assert populations.rows == [["0", "3", "3", "0.2", "0.3", "–"]]
    (figure,) = section.figures
    of = dict(list(figure.data.groupby("kind")))
    bold = of["the best member's past"]
    assert list(zip(bold["x"], bold["value"], strict=True)) == [
        (0.0, 0.5),
        (1.0, 0.5),
        (2.0, 0.4),
        (3.0, 0.3),
    ]
    dots = of["a copy"]
    assert sorted(zip(dots["member"], dots["x"], dots["value"], strict=True)) == [
        ("b", 1.0, 0.4),
        ("c", 1.0, 0.02),
        ("c", 2.0, 0.3),
    ]
    assert len(of["a member"]) == 3 * 4


def test_the_page_leaves_out_what_moved_and_stands_without_results(tmp_path: Path) -> None:
    titles = [section.title for section in sections_of(planted(tmp_path / "whole"))]
    assert titles[1] == "How hyperparameters moved"
    assert "The best configurations" not in titles
    path = write_report(tmp_path / "whole")
    assert (path.parent / "figures/population_optimizer_lr.png").stat().st_size > 1000
    early = planted(tmp_path / "early", ended=False)
    assert "No member" in population_section(early).finding
    write_report(tmp_path / "early", figures=False)


@pytest.mark.parametrize("line", ["regatta replay"])
def test_the_replay_is_named(tmp_path: Path, line: str) -> None:
    assert line in population_section(planted(tmp_path)).notes[0]


def test_nothing_is_replayed_of_a_study_that_has_completed_no_run(tmp_path: Path) -> None:
    planted(tmp_path, ended=False)
    with pytest.raises(StoreError, match="no run has been completed yet"):
        replay_study(tmp_path)
