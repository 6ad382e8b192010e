"""What a search has suggested: the points, and the runs that each of them means."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """One configuration that a searcher asked for."""

    suggestion_id: str
    """Such as ``s-000017``, in the order in which the searcher was asked."""
    point: Mapping[str, Any]
    """Axis → value; axes that are not there at the point may be left out."""
    run_ids: tuple[str, ...]
    """One run a seed."""


def write(db: sqlite3.Connection, suggestions: Iterable[Suggestion]) -> None:
    """Keeps the suggestions; one that is known gets the runs that it has now."""
    db.executemany(
        "INSERT OR REPLACE INTO suggestions VALUES (?, ?, ?)",
        ((s.suggestion_id, json.dumps(dict(s.point)), json.dumps(s.run_ids)) for s in suggestions),
    )


def read(db: sqlite3.Connection) -> list[Suggestion]:
    """See ``Store.suggestions``; a store of the first version has none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'suggestions'").fetchone():
        return []
    found = db.execute("SELECT suggestion_id, point, run_ids FROM suggestions ORDER BY 1")
    return [
        Suggestion(suggestion_id=name, point=json.loads(point), run_ids=tuple(json.loads(run_ids)))
        for name, point, run_ids in found
    ]
