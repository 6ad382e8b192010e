"""Tables of the store, and the columns that every history has."""

from __future__ import annotations

FILE = "store.sqlite"
BACKUP = "store.backup.sqlite"
STATE = "store.state"
"""Beside the file: whether it was closed, so that only one that was not needs checking."""
SCHEMA_VERSION = 3
READABLE = (1, 2, SCHEMA_VERSION)
"""Versions that are read as they are; opened for writing, an earlier one becomes the latest."""
SETTLED = ("completed", "stopped", "diverged")
"""Statuses that stay: such a run is never trained again."""
FINISHED = (*SETTLED, "failed")
"""Statuses of runs that are not being trained; a failed one is tried again by the next launch."""

_SINCE_2 = """
CREATE TABLE decisions (
    pack_id TEXT NOT NULL, report INTEGER NOT NULL, stop TEXT NOT NULL, joined TEXT NOT NULL,
    PRIMARY KEY (pack_id, report)
) WITHOUT ROWID;
CREATE TABLE suggestions (
    suggestion_id TEXT PRIMARY KEY, point TEXT NOT NULL, run_ids TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE population (
    run_id TEXT NOT NULL, step INTEGER NOT NULL, source TEXT NOT NULL, "values" TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;
"""
_SINCE_3 = """
CREATE TABLE probes (
    run_id TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL, value REAL,
    PRIMARY KEY (run_id, name, at)
);
"""
SCHEMA = (
    """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE packs (
    pack_id TEXT PRIMARY KEY, run_ids TEXT NOT NULL, settings TEXT NOT NULL,
    status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, reports INTEGER NOT NULL DEFAULT 0
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
"""
    + _SINCE_2
    + _SINCE_3
)
MIGRATIONS = {
    1: """
ALTER TABLE packs ADD COLUMN reports INTEGER NOT NULL DEFAULT 0;
"""
    + _SINCE_2,
    2: _SINCE_3,
}
"""Version → what makes a store of it one of the next; what stands in it stays."""
MOST_METRICS = 1900
"""Columns of metrics in the history: SQLite takes 2,000 in all."""
HISTORY_KEYS = ("level", "step", "epoch", "examples", "seconds")


def column(name: str) -> str:
    """A metric's name as it stands between quotes in SQL."""
    return name.replace('"', '""')
