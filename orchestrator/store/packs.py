"""Which runs and packs there are, planned at the start or added while a study is at work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def add_runs(db: sqlite3.Connection, runs: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
    """See ``Store.add_runs``."""
    db.executemany(
        "INSERT INTO runs (run_id, seed, config) VALUES (?, ?, ?)"
        " ON CONFLICT (run_id) DO UPDATE SET planned = 1",
        ((run_id, seed, json.dumps(config)) for run_id, seed, config in runs),
    )


def configurations(db: sqlite3.Connection, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """See ``Store.configurations``."""
    found = {}
    for run_id in run_ids:
        row = db.execute("SELECT config FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        found[run_id] = json.loads(row[0])
    return found


def add_pack(
    db: sqlite3.Connection, pack_id: str, run_ids: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """See ``Store.add_pack``."""
    db.execute("DELETE FROM decisions WHERE pack_id = ?", (pack_id,))
    db.execute(
        "INSERT INTO packs (pack_id, run_ids, settings, status) VALUES (?, ?, ?, 'pending')"
        " ON CONFLICT (pack_id) DO UPDATE SET run_ids = excluded.run_ids,"
        " settings = excluded.settings, status = 'pending', reports = 0",
        (pack_id, json.dumps(list(run_ids)), json.dumps(settings)),
    )


def plan(
    db: sqlite3.Connection, packs: Iterable[tuple[str, Sequence[str], Mapping[str, Any]]]
) -> None:
    """See ``Store.plan_packs``."""
    db.execute("UPDATE packs SET status = 'dropped' WHERE status IN ('pending', 'running')")
    db.executemany(
        "INSERT INTO packs (pack_id, run_ids, settings, status) VALUES (?, ?, ?, 'pending')"
        " ON CONFLICT (pack_id) DO UPDATE SET status = 'pending'",
        (
            (pack_id, json.dumps(list(run_ids)), json.dumps(settings))
            for pack_id, run_ids, settings in packs
        ),
    )


def start(
    db: sqlite3.Connection, pack_id: str, run_ids: Sequence[str], settings: Mapping[str, Any]
) -> None:
    """See ``Store.start_pack``."""
    db.execute(
        "INSERT INTO packs (pack_id, run_ids, settings, status, attempts)"
        " VALUES (?, ?, ?, 'running', 1) ON CONFLICT (pack_id) DO UPDATE"
        " SET status = 'running', attempts = attempts + 1",
        (pack_id, json.dumps(list(run_ids)), json.dumps(settings)),
    )
    db.executemany(
        "UPDATE runs SET status = 'running', pack_id = ?, error = '' WHERE run_id = ?"
        " AND status NOT IN ('completed', 'stopped', 'diverged')",
        ((pack_id, run_id) for run_id in run_ids),
    )


def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """See ``Store.packs``."""
    rows = db.execute(
        "SELECT pack_id, run_ids, settings, status, attempts FROM packs ORDER BY pack_id"
    )
    return [
        {
            "pack_id": pack_id,
            "run_ids": json.loads(run_ids),
            "settings": json.loads(settings),
            "status": status,
            "attempts": attempts,
        }
        for pack_id, run_ids, settings, status, attempts in rows
    ]
