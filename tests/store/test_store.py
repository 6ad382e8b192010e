"""The store: what is committed stays, what is replayed counts once, exports follow the contract."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.api import export_results
from orchestrator.store import Outcome, Store, StoreError

RUNS_SCHEMA = [
    *("run_id", "study", "status", "reason", "seed", "pack_id", "lane", "steps", "epochs"),
    *("examples", "wall_seconds", "error"),
]


def _outcome(run_id: str, **values: Any) -> Outcome:
    defaults: dict[str, Any] = {
        "lane": 0,
        "status": "running",
        "reason": "",
        "steps": 10,
        "epochs": 1.0,
        "examples": 640,
        "wall_seconds": 0.5,
        "final": {"valid/loss": 0.25, "lr": 0.1},
        "best": {"valid/loss": 0.25},
    }
    return Outcome(run_id=run_id, **(defaults | values))


def _row(run_id: str, step: int, **metrics: float) -> dict[str, Any]:
    position = {"level": 0, "step": step, "epoch": step / 10, "examples": 64 * step, "seconds": 0.1}
    return {"run_id": run_id, **position, **(metrics or {"valid/loss": 1 / step})}


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "study")
    store.set_meta(study="study")
    config = {"optimizer": {"name": "sgd", "lr": 0.1}, "model": {"hidden": [3, 5]}, "seed": 0}
    store.plan_runs([("a", 0, config), ("b", 1, config | {"seed": 1})])
    store.start_pack("p", ["a", "b"], {"strategy": "auto"})
    return store


def test_exports_follow_the_contract(store: Store, tmp_path: Path) -> None:
    store.record("p", [_row("a", 10)], [_outcome("a", status="completed")])
    written = export_results(store.folder, tmp_path / "out", "csv")
    assert sorted(path.name for path in written) == [
        "history.csv", "history.parquet", "runs.csv", "runs.parquet",
    ]  # fmt: skip
    runs = pd.read_parquet(tmp_path / "out/runs.parquet").set_index("run_id", drop=False)
    assert list(runs.columns[: len(RUNS_SCHEMA)]) == RUNS_SCHEMA
    assert runs.loc["a", "config.optimizer.lr"] == 0.1
    assert runs.loc["a", "config.model.hidden"] == "[3, 5]"
    assert runs.loc["a", "final/valid/loss"] == runs.loc["a", "best/valid/loss"] == 0.25
    assert runs["status"].to_dict() == {"a": "completed", "b": "running"}
    history = pd.read_csv(tmp_path / "out/history.csv")
    assert list(history.columns) == [
        "run_id", "level", "step", "epoch", "examples", "seconds", "valid/loss",
    ]  # fmt: skip


def test_a_replayed_report_counts_once_and_a_finished_run_stays_finished(store: Store) -> None:
    rows = [_row("a", 10), _row("a", 20)]
    store.record("p", rows, [_outcome("a", status="diverged", reason="batch loss nan")])
    store.start_pack("p", ["a", "b"], {})
    store.record("p", rows[:1], [_outcome("a", status="running")])
    assert store.statuses() == {"a": "diverged", "b": "running"}
    assert len(store.history()) == 2
    assert store.packs()[0]["attempts"] == 2


def test_packs_are_planned_before_they_start_and_dropped_when_planned_anew(store: Store) -> None:
    store.plan_packs([("q", ["b"], {"strategy": "fused"})])
    statuses = {pack["pack_id"]: (pack["status"], pack["attempts"]) for pack in store.packs()}
    assert statuses == {"p": ("dropped", 1), "q": ("pending", 0)}
    store.start_pack("q", ["b"], {"strategy": "fused"})
    assert [pack["attempts"] for pack in store.packs()] == [1, 1]


def test_failing_runs_leaves_finished_ones_alone(store: Store) -> None:
    store.record("p", [], [_outcome("a", status="completed")])
    failed = store.fail_runs(["a", "b"], "Traceback\nRayActorError: died")
    assert store.statuses() == {"a": "completed", "b": "failed"}
    assert {o.run_id: o.reason for o in failed}["b"] == "RayActorError: died"


def test_a_new_metric_gets_a_column_and_odd_names_are_quoted(store: Store) -> None:
    store.record("p", [_row("a", 10)], [])
    store.record("p", [_row("a", 20, **{'probe/"x"; DROP TABLE runs': 3.0})], [])
    history = store.history()
    assert history['probe/"x"; DROP TABLE runs'].tolist()[1] == 3.0
    assert pd.isna(history["valid/loss"].tolist()[1])


def test_rows_of_one_report_may_have_different_metrics(store: Store) -> None:
    rows = [_row("a", 10, lr=0.1), _row("b", 10, lr=0.2, momentum=0.9)]
    store.record("p", rows, [_outcome("a"), _outcome("b")])
    history = store.history().set_index("run_id")
    assert history["lr"].to_dict() == {"a": 0.1, "b": 0.2}
    assert history.loc["b", "momentum"] == 0.9
    assert pd.isna(history.loc["a", "momentum"])


def test_a_narrowed_study_hides_but_keeps_old_runs(store: Store) -> None:
    store.record("p", [_row("a", 10)], [_outcome("a", status="completed")])
    store.plan_runs([("b", 1, {})])
    assert list(store.statuses()) == ["b"]
    assert store.history().empty
    store.plan_runs([("a", 0, {}), ("b", 1, {})])
    assert store.statuses()["a"] == "completed"
    assert len(store.history()) == 1


def test_readers_see_commits_while_a_writer_works(store: Store) -> None:
    with Store.open(store.folder) as reader:
        assert reader.statuses()["a"] == "running"
        store.record("p", [_row("a", 10)], [_outcome("a", status="completed")])
        assert reader.statuses()["a"] == "completed"


def test_an_error_in_mid_report_leaves_nothing_of_it(store: Store) -> None:
    with pytest.raises(KeyError):
        store.record("p", [_row("a", 10), {"run_id": "a"}], [])
    assert store.history().empty


def test_missing_damaged_and_newer_stores_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no study here"):
        Store.open(tmp_path / "nothing")
    store.close()
    path = store.folder / "store.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema version 99, this Regatta reads 1 to 3"):
        Store.open(store.folder)
    path.write_bytes(b"not a database at all, but long enough to be one" * 100)
    for method in (Store.open, Store.create):
        with pytest.raises(StoreError, match="damaged"):
            method(store.folder)


def test_a_store_that_is_just_being_made_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    with pytest.raises(StoreError, match=r"store\.sqlite: has nothing in it yet"):
        Store.open(tmp_path)
