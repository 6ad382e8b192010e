"""A store that cannot be written for a while: a full disk, a storage that is briefly away."""

from __future__ import annotations

import functools
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

_log = logging.getLogger(__name__)

_PASSING = {
    sqlite3.SQLITE_FULL: "no space left",
    sqlite3.SQLITE_IOERR: "the storage fails",
    sqlite3.SQLITE_CANTOPEN: "the storage is away",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_PROTOCOL: "another program holds it",
}
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class StorageError(Exception):
    """Results can no longer be written; what was committed stays. The message is one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a write is tried again; a clock of its own, for tests."""

    seconds: float = 300.0
    first_pause: float = 0.1
    longest_pause: float = 10.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of_environment(cls) -> Patience:
        """``REGATTA_STORAGE_SECONDS`` says how long; five minutes where it does not."""
        return cls(seconds=float(os.environ.get("REGATTA_STORAGE_SECONDS", cls().seconds)))

    def pauses(self) -> Iterator[float]:
        """Seconds before each further attempt, twice as long each time, until time is over."""
        end = self.now() + self.seconds
        pause = self.first_pause
        while self.now() < end:
            yield min(pause, end - self.now())
            pause = min(2 * pause, self.longest_pause)


class Writer(Protocol):
    """What ``lasting`` needs of a store."""

    patience: Patience
    place: str
    """The file, as messages name it."""
    broken: StorageError | None
    """Why it was given up: what raises may be lost on the way through Ray Tune."""

    def reconnect(self) -> None: ...

    def waited(self, what: str) -> None:
        """Counts that a write went through only after some attempts."""


Method = TypeVar("Method", bound=Callable[..., Any])


def lasting(method: Method) -> Method:
    """A method that is one transaction, tried again while the storage cannot take it.

    Raises:
        StorageError: it could not for as long as ``Patience`` says, or the file is damaged.
    """

    @functools.wraps(method)
    def write(self: Writer, *args: Any, **kwargs: Any) -> Any:
        # What can be read only once must be there for the next attempt, too.
        kept: Any = tuple(tuple(a) if isinstance(a, Iterator) else a for a in args)
        try:
            return method(self, *kept, **kwargs)
        except sqlite3.DatabaseError as error:
            what = _passing(self, error)
        _log.warning("%s: %s; trying again for %.0f s", self.place, what, self.patience.seconds)
        for pause in self.patience.pauses():
            self.patience.sleep(pause)
            try:
                self.reconnect()
                done = method(self, *kept, **kwargs)
            except sqlite3.DatabaseError as error:
                what = _passing(self, error)
                continue
            self.waited(what)
            return done
        self.broken = StorageError(
            f"{self.place}: {what}, for {self.patience.seconds:.0f} s; all that was committed"
            " is kept. Once it can be written, the same command goes on"
        )
        raise self.broken

    return cast(Method, write)


def _passing(store: Writer, error: sqlite3.DatabaseError) -> str:
    """What is wrong with the storage, where that may pass.

    Raises:
        StorageError: the file is damaged.
        sqlite3.DatabaseError: it is no matter of storage.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _DAMAGE:
        store.broken = StorageError(
            f"{store.place}: damaged ({error}). The same command repairs it, and goes on"
        )
        raise store.broken from error
    if code not in _PASSING:
        raise error
    return f"{_PASSING[code]} ({error})"
