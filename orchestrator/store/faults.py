"""What went wrong on the way, and packs that were split for it: two tables beside the others."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, pack_id TEXT NOT NULL,
    detail TEXT NOT NULL, reached INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS splits (
    pack_id TEXT PRIMARY KEY, parent TEXT NOT NULL
) WITHOUT ROWID;
"""
"""Made where they are missing, so that a store of before can be opened."""

WORKER_DIED = "worker died"
NODE_LOST = "node lost"
PACK_SPLIT = "pack split"
GIVEN_UP = "pack given up"
FELL_BACK = "fell back"
"""A checkpoint or a saved state was missing or damaged: the one before was used, or none."""
CHECKPOINT_SKIPPED = "checkpoint skipped"
WRITE_RETRIED = "write retried"
STORE_REPAIRED = "store repaired"
TUNE_RESTARTED = "trials started anew"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deaths:
    """How often a pack's worker has died."""

    total: int
    in_a_row: int
    """Deaths since the pack has last reported anything new."""


def add(db: sqlite3.Connection, kind: str, pack_id: str, detail: str, reached: int = 0) -> None:
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    db.execute(
        "INSERT INTO faults (at, kind, pack_id, detail, reached) VALUES (?, ?, ?, ?, ?)",
        (at, kind, pack_id, detail, reached),
    )


def deaths(db: sqlite3.Connection, pack_id: str) -> Deaths:
    """Counts a pack's deaths that were its own, since it was given up in an earlier launch.

    ``reached`` of a death is how far the pack had ever come, so it never falls.
    """
    query = (
        "SELECT reached FROM faults WHERE pack_id = ?1 AND kind = ?2 AND number >"
        " (SELECT coalesce(max(number), 0) FROM faults WHERE pack_id = ?1 AND kind = ?3)"
    )
    reached = [row[0] for row in db.execute(query, (pack_id, WORKER_DIED, GIVEN_UP))]
    return Deaths(total=len(reached), in_a_row=reached.count(max(reached, default=0)))


def reached(db: sqlite3.Connection, pack_id: str) -> int:
    """How far a pack had come when its worker last died; 0 where none has."""
    query = "SELECT coalesce(max(reached), 0) FROM faults WHERE pack_id = ?"
    return int(db.execute(query, (pack_id,)).fetchone()[0])


def split(
    db: sqlite3.Connection,
    pack_id: str,
    parts: Sequence[tuple[str, Sequence[str]]],
    settings: Mapping[str, Any],
) -> None:
    """The pack is given up; ``parts``, (pack_id, run_ids) of each, are planned in its place."""
    db.execute("UPDATE packs SET status = 'split' WHERE pack_id = ?", (pack_id,))
    db.executemany(
        # Reports up to the parent's last are made again by the parts, and decide nothing.
        "INSERT INTO packs (pack_id, run_ids, settings, status, reports) VALUES (?, ?, ?,"
        " 'pending', coalesce((SELECT reports FROM packs WHERE pack_id = ?), 0))"
        " ON CONFLICT (pack_id) DO UPDATE SET status = 'pending'",
        (
            (name, json.dumps(list(run_ids)), json.dumps(settings), pack_id)
            for name, run_ids in parts
        ),
    )
    db.executemany(
        "INSERT OR REPLACE INTO splits VALUES (?, ?)", ((name, pack_id) for name, _ in parts)
    )
    sizes = " and ".join(str(len(run_ids)) for _, run_ids in parts)
    add(db, PACK_SPLIT, pack_id, f"into {sizes} runs")


def parents(db: sqlite3.Connection) -> dict[str, str]:
    """pack_id → the pack that it was split off."""
    return dict(db.execute("SELECT pack_id, parent FROM splits"))


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """kind → how often, of what the study has been through; none in a store of before."""
    try:
        return dict(db.execute("SELECT kind, count(*) FROM faults GROUP BY kind ORDER BY kind"))
    except sqlite3.OperationalError:
        return {}


def details(db: sqlite3.Connection, kind: str) -> list[str]:
    """See ``Store.details``; none in a store of before."""
    try:
        found = db.execute("SELECT detail FROM faults WHERE kind = ? ORDER BY number", (kind,))
        return [detail for (detail,) in found]
    except sqlite3.OperationalError:
        return []
