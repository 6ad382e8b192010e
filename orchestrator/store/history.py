"""The history table: a row an evaluation, a column a metric that some run has reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.store.schema import HISTORY_KEYS, MOST_METRICS, column


def metrics(db: sqlite3.Connection) -> list[str]:
    """The metrics that have a column."""
    names = [row[1] for row in db.execute("PRAGMA table_info(history)")]
    return [name for name in names if name not in HISTORY_KEYS and name != "number"]


def insert(db: sqlite3.Connection, known: list[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows, each with the metrics it has; a new metric gets a column, and is known."""
    if not rows:
        return
    found = dict.fromkeys(key for row in rows for key in row)
    measured = [key for key in found if key not in HISTORY_KEYS and key != "run_id"]
    for name in measured:
        if name not in known:
            db.execute(f'ALTER TABLE history ADD COLUMN "{column(name)}" REAL')
            known.append(name)
    keys = [*HISTORY_KEYS, *measured]
    columns = ", ".join(f'"{column(key)}"' for key in keys)
    marks = ", ".join("?" * len(keys))
    db.executemany(
        f"INSERT OR REPLACE INTO history (number, {columns})"  # noqa: S608 - names are quoted
        f" VALUES ((SELECT number FROM runs WHERE run_id = ?), {marks})",
        (
            [
                row["run_id"],
                *(row[key] for key in HISTORY_KEYS),
                *(row.get(name) for name in measured),
            ]
            for row in rows
        ),
    )


def rows(db: sqlite3.Connection, known: Sequence[str]) -> Iterator[dict[str, Any]]:
    """See ``Store.reports``."""
    keys = [*HISTORY_KEYS, *known]
    columns = ", ".join(f'h."{column(key)}"' for key in keys)
    found = db.execute(
        f"SELECT r.run_id, {columns} FROM history h"  # noqa: S608 - names are quoted
        " JOIN runs r USING (number) WHERE r.planned ORDER BY h.number, h.level, h.step"
    )
    for run_id, *values in found:
        measured = {k: v for k, v in zip(keys, values, strict=True) if v is not None}
        yield {"run_id": run_id, **measured}


def as_columns(known: Sequence[str], values: Mapping[str, float]) -> dict[str, float]:
    """See ``Store.as_columns``.

    Raises:
        ValueError: there would be more columns than SQLite takes.
    """
    taken = {name.lower(): name for name in known}
    fixed = {*HISTORY_KEYS, "number", "run_id"}
    columns: dict[str, float] = {}
    for metric, value in values.items():
        name, serial = metric, 2
        while name.lower() in fixed or taken.get(name.lower(), name) != name:
            name, serial = f"{metric} ({serial})", serial + 1
        taken[name.lower()] = name
        columns[name] = value
    if len(taken) > MOST_METRICS:
        raise ValueError(f"{len(taken):,} different metrics; at most {MOST_METRICS:,} are kept")
    return columns
