"""Measurements that are more than a number a run: a value at each of several places of one."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any


def write(db: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keeps values; those of a pack that replays them are written again, in their places.

    What is not a number is kept as missing, as in the history.
    """
    if not rows:
        return
    db.executemany(
        "INSERT INTO probes (run_id, name, at, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (run_id, name, at) DO UPDATE SET value = excluded.value",
        ((row["run_id"], row["name"], row["at"], row["value"]) for row in rows),
    )


def read(db: sqlite3.Connection) -> list[tuple[str, str, str, float | None]]:
    """(run_id, name, at, value) of planned runs, in the order measured; none before version 3."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'probes'").fetchone():
        return []
    found = db.execute(
        "SELECT p.run_id, name, at, value FROM probes p JOIN runs r USING (run_id)"
        " WHERE r.planned ORDER BY r.number, name, p.rowid"
    )
    return found.fetchall()
