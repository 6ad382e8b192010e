"""Who went on as whom in populations, with which hyperparameters; and what a run's past was."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Copied(NamedTuple):
    """A run that went on as a copy of another one, after ``step`` batches."""

    run_id: str
    step: int
    source: str
    values: dict[str, float]
    """Hyperparameters of the optimizer from there on."""


class Lineage(NamedTuple):
    """How a run has come to its weights."""

    root: str
    """The run whose first weights and hyperparameters it has, by copies of copies."""
    copies: tuple[Copied, ...]
    """In the order of their steps: copies of ``root``, of its copies, and so on to the run."""


def write(db: sqlite3.Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Keeps copies; those of a pack that replays them are written again, and equal."""
    if not events:
        return
    db.executemany(
        "INSERT OR REPLACE INTO population VALUES (?, ?, ?, ?)",
        ((e["run_id"], e["step"], e["source"], json.dumps(e["values"])) for e in events),
    )


def read(db: sqlite3.Connection) -> list[Copied]:
    """See ``Store.copies``; a store of the first version has none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'population'").fetchone():
        return []
    found = db.execute(
        'SELECT p.run_id, step, source, "values" FROM population p JOIN runs r USING (run_id)'
        " WHERE r.planned ORDER BY step, r.number"
    )
    return [Copied(run, step, source, json.loads(text)) for run, step, source, text in found]


def lineage(copies: Iterable[Copied], run_id: str) -> Lineage:
    """Follows a run back through its copies, to a run that was there from the start."""
    by_run: dict[str, list[Copied]] = {}
    for copy in sorted(copies, key=lambda copy: copy.step):
        by_run.setdefault(copy.run_id, []).append(copy)
    path: list[Copied] = []
    at, before = run_id, float("inf")
    while earlier := [copy for copy in by_run.get(at, []) if copy.step < before]:
        path.append(earlier[-1])
        at, before = earlier[-1].source, earlier[-1].step
    return Lineage(at, tuple(reversed(path)))
