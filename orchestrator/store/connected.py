"""A store's connection: opened, lost and found again, and one transaction at a time."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from orchestrator.store import faults, history, repair
from orchestrator.store.connection import connect, make_tables
from orchestrator.store.patience import Patience, StorageError
from orchestrator.store.repair import StoreError
from orchestrator.store.schema import FILE, READABLE

_log = logging.getLogger(__name__)


class Connected:
    """The file ``folder/store.sqlite`` (WAL; one writer, many readers), open."""

    def __init__(
        self, folder: Path, connection: sqlite3.Connection, *, writes: bool = False
    ) -> None:
        self.folder = folder
        self.place = str(folder / FILE)
        self.patience = Patience.of_environment()
        self.broken: StorageError | None = None
        self._db = connection
        self._writes = writes
        self._metrics = self._metric_columns()

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Opens the store in ``folder`` for writing; makes it where there is none, and repairs
        one that is damaged.

        Raises:
            StoreError: it is of another version, or damaged beyond repair.
        """
        folder.mkdir(parents=True, exist_ok=True)
        repaired = repair.make_whole(folder)
        connection = connect(folder)
        make_tables(connection)
        repair.mark_open(folder)
        store = cls(folder, _checked(connection, folder), writes=True)
        if repaired is not None:
            _log.warning(repaired)
            with store._transaction():
                faults.add(store._db, faults.STORE_REPAIRED, "", repaired)
        return store

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens an existing store for reading.

        Raises:
            StoreError: there is no store in ``folder``, or it is damaged or of another version.
        """
        path = folder / FILE
        if not path.is_file():
            raise StoreError(f"{folder}: no study here ({FILE} is missing)")
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        connection.execute("PRAGMA busy_timeout=10000")
        return cls(folder, _checked(connection, folder))

    def close(self) -> None:
        if self._writes:
            # Where this fails, the log stays and the next launch checks the file.
            with contextlib.suppress(sqlite3.Error, OSError):
                busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if not busy:
                    repair.mark_closed(self.folder)
        self._db.close()

    def reconnect(self) -> None:
        """Another connection to the same file: the storage was away, or another one is there."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._db = connect(self.folder, mode="rw")

    def waited(self, what: str) -> None:
        with contextlib.suppress(sqlite3.Error), self._transaction():
            faults.add(self._db, faults.WRITE_RETRIED, "", what)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself
                self._db.execute("ROLLBACK")
            with contextlib.suppress(sqlite3.Error):
                self._metrics = self._metric_columns()
            raise

    def _metric_columns(self) -> list[str]:
        return history.metrics(self._db)


def _checked(connection: sqlite3.Connection, folder: Path) -> sqlite3.Connection:
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{folder / FILE}: damaged ({error})") from error
    if version == 0:  # its first transaction has not ended
        raise StoreError(f"{folder / FILE}: has nothing in it yet")
    if version not in READABLE:
        known = f"{READABLE[0]} to {READABLE[-1]}"
        raise StoreError(f"{folder / FILE}: schema version {version}, this Regatta reads {known}")
    return connection
