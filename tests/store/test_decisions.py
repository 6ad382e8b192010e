"""Decisions stand with the report that caused them, and stores of the version before go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import Decision, Store, StoreError
from orchestrator.store.schema import SCHEMA_VERSION
from tests.store.test_store import _outcome, _row

# The tables of the first version, as they were released.
FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE packs (
    pack_id TEXT PRIMARY KEY, run_ids TEXT NOT NULL, settings TEXT NOT NULL,
    status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, seed INTEGER NOT NULL,
    config TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending', reason TEXT NOT NULL DEFAULT '',
    pack_id TEXT, lane INTEGER, steps INTEGER NOT NULL DEFAULT 0, epochs REAL NOT NULL DEFAULT 0,
    examples INTEGER NOT NULL DEFAULT 0, wall_seconds REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '', final TEXT NOT NULL DEFAULT '{}',
    best TEXT NOT NULL DEFAULT '{}', planned INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE history (
    number INTEGER NOT NULL, level INTEGER NOT NULL, step INTEGER NOT NULL,
    epoch REAL NOT NULL, examples INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (number, level, step)
) WITHOUT ROWID;
INSERT INTO runs (run_id, seed, config, status, pack_id, steps)
    VALUES ('a', 0, '{"x": 3}', 'completed', 'p', 7), ('b', 1, '{"x": 5}', 'running', 'p', 3);
INSERT INTO packs VALUES ('p', '["a", "b"]', '{"ways": null}', 'running', 2);
INSERT INTO history VALUES (1, 0, 7, 1.0, 70, 0.5);
PRAGMA user_version=1;
"""


def _first_version(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.executescript(FIRST)
    db.close()


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "study")
    store.plan_runs((name, 0, {"x": name}) for name in "abcd")
    store.add_pack("p", ["a", "b"], {})
    store.start_pack("p", ["a", "b"], {})
    return store


def test_a_decision_stands_with_its_report(store: Store) -> None:
    decision = Decision(pack_id="p", report=3, stop={"b": "asha: x"}, join=("c", "d"))
    store.record("p", [_row("b", 10)], [_outcome("b")], report=3, decision=decision)
    assert store.decisions("p") == store.decisions() == [decision]
    assert store.decisions("q") == []
    assert store.last_report("p") == 3
    assert store.statuses() == {"a": "running", "b": "stopped", "c": "running", "d": "running"}
    stopped = next(o for o in store.outcomes() if o.run_id == "b")
    assert (stopped.reason, stopped.steps, stopped.wall_seconds) == ("asha: x", 10, 0.5)
    assert stopped.final == {"valid/loss": 0.25, "lr": 0.1}


def test_a_replayed_report_changes_nothing(store: Store) -> None:
    decision = Decision(pack_id="p", report=3, stop={"b": "asha: x"})
    store.record("p", [_row("b", 10)], [_outcome("b")], report=3, decision=decision)
    store.record("p", [_row("b", 5)], [_outcome("b", steps=5)], report=2)
    store.record("p", [_row("b", 10)], [_outcome("b")], report=3)
    assert store.last_report("p") == 3
    assert store.decisions("p") == [decision]
    assert store.statuses()["b"] == "stopped"


def test_a_run_that_ended_by_itself_is_not_stopped(store: Store) -> None:
    decision = Decision(pack_id="p", report=1, stop={"a": "budget: x"})
    store.record("p", [], [_outcome("a", status="completed")], report=1, decision=decision)
    assert store.statuses()["a"] == "completed"


def test_all_of_a_report_or_nothing(store: Store) -> None:
    store.record("p", [], [], report=1)
    broken: Any = Decision(pack_id="p", report=2, stop={"a": b"no text"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        store.record("p", [_row("a", 5)], [_outcome("a")], report=2, decision=broken)
    assert store.last_report("p") == 1
    assert store.history().empty


def test_a_pack_made_again_begins_anew(store: Store) -> None:
    decision = Decision(pack_id="p", report=3, join=("c",))
    store.record("p", [], [], report=3, decision=decision)
    store.add_pack("p", ["a", "d"], {"threads": 1})
    assert store.last_report("p") == 0
    assert store.decisions() == []
    (pack,) = store.packs()
    assert (pack["run_ids"], pack["settings"]) == (["a", "d"], {"threads": 1})


def test_reports_are_given_back_run_after_run(store: Store) -> None:
    store.record("p", [_row("b", 20), _row("a", 10)], [])
    store.record("p", [_row("b", 10, **{"valid/loss": 0.5, "lr": 0.1})], [])
    found = list(store.reports())
    assert [(row["run_id"], row["step"]) for row in found] == [("a", 10), ("b", 10), ("b", 20)]
    assert found[1]["valid/loss"] == 0.5
    assert "lr" not in found[0]


def test_a_store_of_the_first_version_is_read_as_it_is(tmp_path: Path) -> None:
    _first_version(tmp_path / "study")
    with Store.open(tmp_path / "study") as store:
        assert store.statuses() == {"a": "completed", "b": "running"}
        assert store.decisions() == []
        assert [pack["attempts"] for pack in store.packs()] == [2]
        assert len(store.history()) == 1
    with sqlite3.connect(tmp_path / "study/store.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_a_store_of_the_first_version_is_migrated_where_it_stands(tmp_path: Path) -> None:
    _first_version(tmp_path / "study")
    Store.create(tmp_path / "study").close()
    with Store.create(tmp_path / "study") as store:
        assert store.last_report("p") == 0
        decision = Decision(pack_id="p", report=1, stop={"b": "asha: x"})
        store.record("p", [_row("b", 10)], [_outcome("b")], report=1, decision=decision)
        assert store.statuses() == {"a": "completed", "b": "stopped"}
        assert next(iter(store.outcomes())).steps == 7
        assert len(store.history()) == 2
    # What is migrated has the tables of a new store.
    Store.create(tmp_path / "new").close()
    shapes = []
    for folder in ("study", "new"):
        with sqlite3.connect(tmp_path / folder / "store.sqlite") as db:
            assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            shapes.append({t: db.execute(f"PRAGMA table_info({t})").fetchall()
                           for t in ("meta", "packs", "runs", "decisions")})  # fmt: skip
        db.close()
    assert shapes[0] == shapes[1]


def test_a_store_of_the_future_is_refused(tmp_path: Path) -> None:
    _first_version(tmp_path / "study")
    with sqlite3.connect(tmp_path / "study/store.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StoreError, match="schema version 99, this Regatta reads 1 to 3"):
        Store.open(tmp_path / "study")
