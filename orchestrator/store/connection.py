"""Connections that write, and the tables of a new store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from orchestrator.store import faults
from orchestrator.store.schema import FILE, MIGRATIONS, SCHEMA, SCHEMA_VERSION


def connect(folder: Path, mode: str = "rwc") -> sqlite3.Connection:
    """A connection that writes; ``mode`` ``rw`` makes no file where there is none."""
    uri = f"{(folder / FILE).resolve().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def make_tables(connection: sqlite3.Connection) -> None:
    """The tables that are missing: all of a new store's, or those that one of before has not."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    _migrate(connection)
    if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
        for statement in faults.SCHEMA.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection) -> None:
    """Makes a store of an earlier version one of this; part of a transaction."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    while version in MIGRATIONS:
        for statement in MIGRATIONS[version].split(";"):
            connection.execute(statement)
        version += 1
        connection.execute(f"PRAGMA user_version={version}")
