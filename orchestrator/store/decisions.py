"""What was decided about a pack's lanes, and after which of its reports."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Takes effect right before the report after ``report``, in every attempt of the pack."""

    pack_id: str
    report: int
    stop: Mapping[str, str] = field(default_factory=dict)
    """run_id → why."""
    join: tuple[str, ...] = ()
    """Runs that begin in the pack, in the order of their lanes."""


def note_report(db: sqlite3.Connection, pack_id: str, report: int) -> None:
    """Remembers that a pack's reports up to this one are recorded."""
    if report:
        update = "UPDATE packs SET reports = max(reports, ?) WHERE pack_id = ?"
        db.execute(update, (report, pack_id))


def last_report(db: sqlite3.Connection, pack_id: str) -> int:
    """See ``Store.last_report``."""
    found = db.execute("SELECT reports FROM packs WHERE pack_id = ?", (pack_id,)).fetchone()
    return int(found[0]) if found else 0


def write(db: sqlite3.Connection, decision: Decision) -> None:
    """Keeps the decision, and how its runs stand from now on; again where it is replayed."""
    db.execute(
        "INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?)",
        (
            decision.pack_id,
            decision.report,
            json.dumps(dict(decision.stop)),
            json.dumps(decision.join),
        ),
    )
    db.executemany(
        "UPDATE runs SET status = 'stopped', reason = ?"
        " WHERE run_id = ? AND status IN ('pending', 'running')",
        ((reason, run_id) for run_id, reason in decision.stop.items()),
    )
    db.executemany(
        "UPDATE runs SET status = 'running', pack_id = ?, error = '' WHERE run_id = ?"
        " AND status NOT IN ('completed', 'stopped', 'diverged')",
        ((decision.pack_id, run_id) for run_id in decision.join),
    )


def read(db: sqlite3.Connection, pack_id: str | None) -> list[Decision]:
    """See ``Store.decisions``; a store of the first version has none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'decisions'").fetchone():
        return []
    found = db.execute(
        "SELECT pack_id, report, stop, joined FROM decisions WHERE ? IN (pack_id, '')"
        " ORDER BY pack_id, report",
        (pack_id or "",),
    )
    return [
        Decision(pack_id=pack, report=report, stop=json.loads(stop), join=tuple(json.loads(joined)))
        for pack, report, stop, joined in found
    ]
