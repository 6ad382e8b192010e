"""Measurements at several places of a run: kept with their report, once, and exported."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.api import export_results
from orchestrator.store import Outcome, Store
from orchestrator.store.backup import back_up
from orchestrator.store.schema import FILE, SCHEMA_VERSION
from orchestrator.tracking import naming


def _row(run_id: str, at: str, value: float, name: str = "line/valid/loss") -> dict[str, Any]:
    return {"run_id": run_id, "name": name, "at": at, "value": value}


ROWS = [
    _row("b", "0", 0.5),
    _row("b", "0.0333", math.inf),
    _row("b", "1", math.nan),
    *(_row("a", f"{layer}.weight", 1 / (1 + layer), "density") for layer in (0, 2, 10, 1)),
]


def _outcome(run_id: str, final: dict[str, float]) -> Outcome:
    return Outcome(
        run_id=run_id,
        lane=0,
        status="completed",
        reason="",
        steps=7,
        epochs=1.0,
        examples=91,
        wall_seconds=0.1,
        final=final,
        best={},
    )


def _study(folder: Path) -> Store:
    store = Store.create(folder)
    store.set_meta(study="s")
    store.plan_runs([("a", 0, {"seed": 0}), ("b", 1, {"seed": 1})])
    store.start_pack("p", ["a", "b"], {})
    return store


def _listed(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in table.itertuples(index=False)]


def test_a_replayed_report_counts_once_and_keeps_the_order(tmp_path: Path) -> None:
    with _study(tmp_path) as store:
        assert store.probes().empty
        store.record("p", [], [], measured=ROWS)
        store.record("p", [], [], measured=ROWS[:2])
        store.record("p", [], [], measured=[_row("b", "0", 0.25)])
        table = store.probes()
    assert list(table.columns) == ["run_id", "name", "at", "value"]
    layers = ["0.weight", "2.weight", "10.weight", "1.weight"]
    assert table["at"].tolist() == [*layers, "0", "0.0333", "1"]
    assert table["run_id"].tolist() == ["a"] * 4 + ["b"] * 3
    assert table["value"].tolist()[:-1] == [1, 1 / 3, 1 / 11, 1 / 2, 0.25, math.inf]
    assert math.isnan(table["value"].tolist()[-1]), "what is no number is missing, not lost"


def test_they_are_part_of_their_report_or_nothing_is(tmp_path: Path) -> None:
    with _study(tmp_path) as store:
        with pytest.raises(KeyError):
            store.record("p", [], [_outcome("a", {})], measured=[ROWS[0], {"run_id": "a"}])
        assert store.probes().empty
        assert store.statuses()["a"] == "running"


def test_a_narrowed_study_hides_but_keeps_them(tmp_path: Path) -> None:
    with _study(tmp_path) as store:
        store.record("p", [], [], measured=ROWS)
        store.plan_runs([("a", 0, {"seed": 0})])
        assert set(store.probes()["run_id"]) == {"a"}
        store.plan_runs([("a", 0, {"seed": 0}), ("b", 1, {"seed": 1})])
        assert len(store.probes()) == len(ROWS)


def test_exports_have_a_table_where_there_are_any(tmp_path: Path) -> None:
    with _study(tmp_path / "s") as store:
        export_results(store.folder, tmp_path / "without")
        store.record("p", [], [], measured=ROWS)
        written = export_results(store.folder, tmp_path / "with", "csv")
        expected = store.probes()
    assert not (tmp_path / "without/probes.parquet").exists()
    assert {path.name for path in written} >= {"probes.parquet", "probes.csv"}
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "with/probes.parquet"), expected)
    # A place is a text, also where it looks like a number.
    assert set(pd.read_parquet(tmp_path / "with/probes.parquet")["at"].map(type)) == {str}


def _of_version_2(folder: Path) -> None:
    _study(folder).close()
    with contextlib.closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("DROP TABLE probes")
        db.execute("PRAGMA user_version = 2")


def test_a_store_of_version_2_is_read_as_it_is_and_migrated_by_a_launch(tmp_path: Path) -> None:
    _of_version_2(tmp_path)
    with Store.open(tmp_path) as store:
        assert store.probes().empty
        assert store.statuses() == {"a": "running", "b": "running"}
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    with Store.create(tmp_path) as store:
        store.record("p", [], [], measured=ROWS)
    with Store.create(tmp_path) as store:  # again: nothing is left to migrate
        assert len(store.probes()) == len(ROWS)
        assert store.statuses() == {"a": "running", "b": "running"}
    Store.create(tmp_path / "new").close()
    shapes = []
    for folder in (tmp_path, tmp_path / "new"):
        with contextlib.closing(sqlite3.connect(folder / FILE)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            shapes.append(db.execute("PRAGMA table_info(probes)").fetchall())
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("whole", [True, False], ids=["of the backup", "of the file"])
def test_they_survive_a_repair(tmp_path: Path, whole: bool) -> None:
    store = _study(tmp_path)
    store.record("p", [], [_outcome("a", {})], measured=ROWS)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if whole:
        back_up(tmp_path)
    expected = _listed(store.probes().fillna(-1))
    content = (tmp_path / FILE).read_bytes()
    store.close()
    # A damaged header, or a store that was killed and lost its log.
    (tmp_path / FILE).write_bytes(b"garbage!" * 2 + content[16:] if whole else content)
    (tmp_path / "store.state").write_text('{"opened": true, "size": 0, "changed": 0}')
    with Store.create(tmp_path) as repaired:
        assert repaired.fault_counts() == {"store repaired": 1}
        assert _listed(repaired.probes().fillna(-1)) == expected


def test_last_values_of_probes_are_columns_and_reach_the_mirror(tmp_path: Path) -> None:
    final = {"valid/loss": 0.5, "probe/density": 0.2107, "probe/barrier/test/error": math.nan}
    with _study(tmp_path / "s") as store:
        store.record("p", [], [_outcome("a", final), _outcome("b", {"valid/loss": 0.4})])
        export_results(store.folder, tmp_path / "out")
        runs = store.runs()
        assert store.outcomes()[0].final["probe/density"] == 0.2107
    table = pd.read_parquet(tmp_path / "out/runs.parquet").set_index("run_id")
    assert table.loc["a", "final/probe/density"] == 0.2107
    assert pd.isna(table.loc["b", "final/probe/density"])
    assert pd.isna(table.loc["a", "final/probe/barrier/test/error"])
    dense, ticket = naming.records(runs)[1], naming.records(runs)[0]
    columns = [column for column in runs if column.startswith("final/")]
    assert naming.without_missing(ticket, columns) == {
        "final/valid/loss": 0.5, "final/probe/density": 0.2107,
    }  # fmt: skip
    assert naming.without_missing(dense, columns) == {"final/valid/loss": 0.4}
