"""The study's own run: its charts, and its files as an artifact."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.spec.study import Tracking
from orchestrator.store import Store
from orchestrator.tracking import mirror_once
from orchestrator.tracking.charts import charts
from tests.tracking.conftest import KEY
from tests.tracking.double import Double
from tests.tracking.sweep import study_run

ONLINE = Tracking(wandb="online", project="proj")
Train = Callable[..., None]
LOSS = {"metric": "valid/loss", "mode": "min"}


def frames(rates: list[float], schedules: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One run a pair, with the loss rate + 10 for constant; two rows each."""
    rows = [
        {
            "run_id": f"r{k}",
            "study": "s",
            "seed": 0,
            "status": "completed",
            "config.optimizer.lr": rate,
            "config.schedule.name": schedule,
            "config.seed": 0,
            "final/valid/loss": rate + 10 * (schedule == "constant"),
        }
        for k, (rate, schedule) in enumerate((r, s) for s in schedules for r in rates)
    ]
    runs = pd.DataFrame(rows)
    history = pd.DataFrame(
        {"run_id": run_id, "step": step, "valid/loss": 1.0 / step}
        for run_id in runs["run_id"]
        for step in (7, 14)
    )
    return runs, history


def test_charts_show_axes_ranks_and_curves() -> None:
    runs, history = frames([0.1, 0.3, 0.7], ["constant", "cosine"])
    found = {one.key: one for one in charts(runs, history, LOSS, 2)}
    assert list(found) == ["charts/lr", "charts/schedule", "charts/best", "charts/curves"]
    lr, schedule, best, curves = found.values()
    assert (lr.kind, lr.x, lr.y) == ("scatter", "lr", "valid/loss")
    assert lr.table["lr"].tolist() == [0.1, 0.3, 0.7] * 2
    assert lr.table["valid/loss"].tolist() == [10.1, 10.3, 10.7, 0.1, 0.3, 0.7]
    assert schedule.kind == "bar"
    assert schedule.table.to_numpy().tolist() == [["constant", 10.1], ["cosine", 0.1]]
    names = ["lr=0.1 schedule=cosine", "lr=0.3 schedule=cosine"]
    assert best.table.to_numpy().tolist() == [[names[0], 0.1], [names[1], 0.3]]
    assert curves.table["configuration"].unique().tolist() == names
    assert curves.table["step"].tolist() == [7, 14, 7, 14]


def test_the_best_of_a_value_follows_the_objective() -> None:
    runs, history = frames([0.1, 0.3], ["constant", "cosine"])
    found = charts(runs, history, LOSS | {"mode": "max"}, 1)
    assert found[1].table["valid/loss"].tolist() == [10.3, 0.3]
    assert found[2].table["configuration"].tolist() == ["lr=0.3 schedule=constant"]


def test_nothing_is_drawn_of_a_study_without_numbers() -> None:
    runs, history = frames([0.1, 0.3], ["cosine"])
    assert charts(runs.assign(status="failed"), history, LOSS, 2) == []
    # One configuration: no axis, but its rank and curve.
    keys = [one.key for one in charts(runs.head(1), history, LOSS, 2)]
    assert keys == ["charts/best", "charts/curves"]


@pytest.fixture
def mirrored(study: Path, server: Double, train: Train) -> Path:
    """Four runs, a report with one figure, all of it in W&B."""
    for rate in (0.1, 0.2):
        for seed in (0, 1):
            train(f"r{rate}-{seed}", 2)
    (study / "report.html").write_text("<p>the report</p>", encoding="utf-8")
    (study / "figures").mkdir()
    (study / "figures" / "curves.svg").write_text("<svg/>", encoding="utf-8")
    assert mirror_once(study, ONLINE) == 5
    return study


def test_report_figures_and_tables_are_an_artifact(mirrored: Path, server: Double) -> None:
    (files,) = server.artifacts.of_type("study")
    assert files.name.startswith("study-lr-")
    assert files.files["report.html"] == b"<p>the report</p>"
    assert files.files["figures/curves.svg"] == b"<svg/>"
    with Store.open(mirrored) as store:
        runs, history = store.runs(), store.history()
    for name, table in (("runs", runs), ("history", history)):
        held = pd.read_parquet(io.BytesIO(files.files[f"exports/{name}.parquet"]))
        assert held["run_id"].tolist() == table["run_id"].tolist()
        assert list(held.columns) == list(table.columns)


def test_charts_are_logged_with_their_tables(mirrored: Path, server: Double) -> None:
    (row,) = study_run(server).lines
    assert {"results", "report", "charts/lr_table", "charts/best_table"} <= {*row}
    config = json.dumps([upsert.get("config") for upsert in study_run(server).upserts])
    for preset in ("wandb/scatter/v0", "wandb/bar/v0", "wandb/lineseries/v0"):
        assert preset in config
    assert KEY not in config


def test_what_changed_is_a_new_version_and_the_same_is_none(
    mirrored: Path, server: Double, train: Train
) -> None:
    for forget in (False, True):
        if forget:
            (mirrored / "wandb-mirror.json").unlink()
            # The server says that it has all five.
            assert mirror_once(mirrored, ONLINE) == 5
        else:
            assert mirror_once(mirrored, ONLINE) == 0
        assert len(server.artifacts.of_type("study")) == 1
        assert len(study_run(server).lines) == 1
    train("r0.3-0", 2)
    assert mirror_once(mirrored, ONLINE) == 2
    assert len(server.artifacts.of_type("study")) == 2
    assert len(study_run(server).lines) == 2
