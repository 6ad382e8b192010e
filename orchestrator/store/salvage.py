"""Reads out of a damaged database what it still gives, row by row."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.store.schema import HISTORY_KEYS, SETTLED, column

_MOST_RUNS = 1_000_000
"""Runs looked for where the file does not even say how many there are."""
_MARKS = ", ".join(f"'{status}'" for status in SETTLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a damaged file gave."""

    runs: int = 0
    finished: int = 0
    """Runs that it holds whole, and that were not known to be finished before."""


def count_finished(db: sqlite3.Connection) -> tuple[int, int]:
    """How many of the planned runs are finished, and how many there are."""
    query = f"SELECT coalesce(sum(status IN ({_MARKS})), 0), count(*) FROM runs WHERE planned"  # noqa: S608 - constants
    finished, runs = db.execute(query).fetchone()
    return int(finished), int(runs)


def salvage(path: Path, target: sqlite3.Connection) -> Found:
    """Adds to ``target`` what the damaged file at ``path`` still gives.

    A run counts as finished only if its row says so and its whole history can be read;
    any other is planned again, so that nothing is half there.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as source:
            source.row_factory = sqlite3.Row
            target.execute("BEGIN IMMEDIATE")
            found = _runs(source, target)
            _other_tables(source, target)
            target.execute("COMMIT")
            return found
    except sqlite3.DatabaseError:
        if target.in_transaction:
            target.execute("ROLLBACK")
        return Found()


def _runs(source: sqlite3.Connection, target: sqlite3.Connection) -> Found:
    known = dict(target.execute("SELECT run_id, status FROM runs"))
    _add_metrics(source, target)
    runs = finished = 0
    for row in _each_run(source):
        runs += 1
        if known.get(row["run_id"]) in SETTLED:
            continue
        history = _history(source, row)
        if history is None:
            if row["run_id"] not in known:
                _plan(target, row)
            continue
        finished += 1
        _put(target, "runs", dict(row) | {"number": _number(target, row["run_id"])})
        number = _number(target, row["run_id"])
        for entry in history:
            _put(target, "history", dict(entry) | {"number": number})
    return Found(runs=runs, finished=finished)


def _each_run(source: sqlite3.Connection) -> Iterator[sqlite3.Row]:
    """Every run that can be read; pages between may be gone."""
    try:
        last = source.execute("SELECT max(number) FROM runs").fetchone()[0] or 0
    except sqlite3.DatabaseError:
        last = _MOST_RUNS
    missing = 0
    for number in range(1, last + 1):
        try:
            row = source.execute("SELECT * FROM runs WHERE number = ?", (number,)).fetchone()
        except sqlite3.DatabaseError:
            row = None
        if row is not None and isinstance(row["run_id"], str):
            missing = 0
            yield row
        elif (missing := missing + 1) > _MOST_RUNS // 10:
            return


def _history(source: sqlite3.Connection, run: sqlite3.Row) -> list[sqlite3.Row] | None:
    """A finished run's whole history; None where the run is not finished, or it is not whole."""
    if run["status"] not in SETTLED:
        return None
    query = "SELECT * FROM history WHERE number = ? ORDER BY level, step"
    try:
        rows = source.execute(query, (run["number"],)).fetchall()
    except sqlite3.DatabaseError:
        return None
    reached = max((row["step"] for row in rows), default=0)
    return rows if reached >= run["steps"] else None


def _plan(target: sqlite3.Connection, row: sqlite3.Row) -> None:
    """A run that is to be trained again."""
    values = {key: row[key] for key in ("run_id", "seed", "config", "planned")}
    _put(target, "runs", values)


def _number(target: sqlite3.Connection, run_id: str) -> int | None:
    row = target.execute("SELECT number FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else int(row[0])


def _add_metrics(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    names = [[r[1] for r in db.execute("PRAGMA table_info(history)")] for db in (source, target)]
    for name in names[0]:
        if name not in names[1] and name not in (*HISTORY_KEYS, "number"):
            target.execute(f'ALTER TABLE history ADD COLUMN "{column(name)}" REAL')


def _other_tables(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Rows of all other tables, as far as they can be read, over those of the backup."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
    for name, sql in source.execute(query).fetchall():
        if name in ("runs", "history") or name.startswith("sqlite_"):
            continue
        known = target.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        if known is None:
            target.execute(sql)
        with contextlib.suppress(sqlite3.DatabaseError):
            for row in source.execute(f'SELECT * FROM "{column(name)}"'):  # noqa: S608 - quoted
                _put(target, name, dict(row))


def _put(target: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    columns = ", ".join(f'"{column(name)}"' for name in values)
    marks = ", ".join("?" * len(values))
    target.execute(
        f'INSERT OR REPLACE INTO "{column(table)}" ({columns}) VALUES ({marks})',  # noqa: S608 - quoted
        list(values.values()),
    )
