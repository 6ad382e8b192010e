"""A store that is damaged: found before it is opened, and put together again from what is left."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from orchestrator.store.backup import quick_check
from orchestrator.store.connection import make_tables
from orchestrator.store.salvage import Found, count_finished, salvage
from orchestrator.store.schema import BACKUP, FILE, SCHEMA_VERSION, STATE

_HEADER = b"SQLite format 3\0"


class StoreError(Exception):
    """The store is missing, of another version, or damaged. The message says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """How the store was left, in a file beside it."""

    opened: bool
    """Opened for writing, and not closed since."""
    size: int = 0
    changed: int = 0
    """Size in bytes and time of change in ns of the file when it was closed."""


def mark_open(folder: Path) -> None:
    _write(folder, State(opened=True))


def mark_closed(folder: Path) -> None:
    """After everything is in the file itself: nothing of it is in the write-ahead log."""
    stat = (folder / FILE).stat()
    _write(folder, State(opened=False, size=stat.st_size, changed=stat.st_mtime_ns))


def _write(folder: Path, state: State) -> None:
    part = folder / f"{STATE}.part"
    part.write_text(json.dumps(dataclasses.asdict(state)))
    part.replace(folder / STATE)


def _read(folder: Path) -> State | None:
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def make_whole(folder: Path) -> str | None:
    """Repairs the store in ``folder`` where it is damaged; says what was done.

    A store that was closed and not touched since is not read: checking takes 5 s a GB.

    Raises:
        StoreError: it is damaged, and nothing is left to repair it from.
    """
    path = folder / FILE
    why = _damage(folder)
    if why is not None:
        return _repair(folder, why)
    if not path.exists() or not path.stat().st_size:
        _forget_checkpoints(folder)  # a new store must not go on from where an old one was
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
    return None


def _damage(folder: Path) -> str | None:
    path = folder / FILE
    if not path.exists() or not path.stat().st_size:
        return ("missing", "empty")[path.exists()] if (folder / BACKUP).exists() else None
    state = _read(folder)
    stat = path.stat()
    with path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER:
            return "its beginning is no database's"
    if state == State(opened=False, size=stat.st_size, changed=stat.st_mtime_ns):
        return None
    if state is not None and state.opened and not path.with_name(f"{FILE}-wal").exists():
        return "its write-ahead log is missing"
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            return quick_check(db)
    except sqlite3.DatabaseError as error:
        return str(error)


def _repair(folder: Path, why: str) -> str:
    path, fresh = folder / FILE, folder / f"{FILE}.repaired"
    kept = _set_aside(path)
    fresh.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as target:
        restored = _restore_backup(folder, target)
        found = salvage(kept, target) if kept is not None else Found()
        if restored is None and not found.runs:
            copies = [] if kept is None else folder.glob(f"{kept.name}*")
            for leftover in (fresh, *copies):
                leftover.unlink()
            raise StoreError(
                f"{path}: damaged ({why}), nothing in it can be read, and there is no whole"
                f" {BACKUP} to repair it from. Move {folder} away, and the same command starts anew"
            )
        target.execute("PRAGMA journal_mode=DELETE")
        finished, runs = count_finished(target)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    # A log of the damaged file must not be applied to the new one.
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    fresh.replace(path)
    _forget_checkpoints(folder)
    source = f"{restored} from {BACKUP}, " if restored is not None else f"there is no {BACKUP}, "
    aside = "" if kept is None else f"; the damaged file is kept as {kept.name}"
    return (
        f"{path} was damaged ({why}) and is repaired: {finished} finished runs recovered"
        f" ({source}{found.finished} from the file itself), {runs - finished} of those it knows"
        f" are still to be trained{aside}"
    )


def _set_aside(path: Path) -> Path | None:
    """A copy of the damaged file with its log, to read from and to keep."""
    if not path.exists() or not path.stat().st_size:
        return None
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"store.damaged-{now}.sqlite")
    shutil.copy2(path, kept)
    log = path.with_name(path.name + "-wal")
    if log.exists():
        shutil.copy2(log, kept.with_name(kept.name + "-wal"))
    return kept


def _restore_backup(folder: Path, target: sqlite3.Connection) -> int | None:
    """Fills ``target`` from the backup; how many finished runs it has, None without a whole one."""
    backup = folder / BACKUP
    try:
        if backup.exists():
            uri = f"{backup.resolve().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as source:
                if quick_check(source) is None and _version(source) <= SCHEMA_VERSION:
                    source.backup(target)
                    make_tables(target)  # the backup may be of an earlier version
                    return count_finished(target)[0]
    except sqlite3.DatabaseError:
        pass  # as damaged as the store
    make_tables(target)
    return None


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _forget_checkpoints(folder: Path) -> None:
    """Checkpoints may be ahead of what was recovered: reports between would be missing.

    How packs were stacked stays: it decides their bits.
    """
    for pack in (folder / "packs").glob("*"):
        for entry in pack.glob("*"):
            if entry.name == "ways.json":
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
