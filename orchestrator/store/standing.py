"""How runs stand: what the runs table holds beside their configurations."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DESIGNS = ("grid", "random", "sobol", "pbt")
"""Searches whose runs are all planned before any begins."""
MAX_REACHED = "asha: max is reached"
PATIENCE = "patience: "


def is_whole(status: str, reason: str) -> bool:
    """Whether a run has had all the training that its study gives it: its last value may be ranked.

    That is so of one that is completed, that ASHA has ended at its ``max``, or that patience has
    ended, which looks at that run alone. Whom others have put out (asha, median), or whose time
    was up (budget), has had less than those it would be ranked with.
    """
    return status == "completed" or (
        status == "stopped" and reason.startswith((MAX_REACHED, PATIENCE))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run stands after a report: what the runs table holds of it."""

    run_id: str
    lane: int
    status: str
    reason: str
    steps: int
    epochs: float
    examples: int
    wall_seconds: float
    error: str = ""
    final: Mapping[str, float]
    best: Mapping[str, float]

    @property
    def whole(self) -> bool:
        """See ``is_whole``."""
        return is_whole(self.status, self.reason)


def to_come(meta: Mapping[str, Any], planned: int) -> int:
    """Runs that the study's search has not asked for yet, of so many that are planned.

    Args:
        meta: the study's.
    """
    search = meta.get("search") or {}
    if meta.get("finished") or search.get("name") in (None, *_DESIGNS):
        return 0
    return max(0, (search.get("runs") or 0) * len(meta.get("seeds") or [0]) - planned)


def write(db: sqlite3.Connection, pack_id: str, outcomes: Sequence[Outcome]) -> None:
    """Writes how the runs of a pack stand; one that has settled never goes back."""
    db.executemany(
        "UPDATE runs SET pack_id = ?, lane = ?, status = ?, reason = ?, steps = ?,"
        " epochs = ?, examples = ?, wall_seconds = ?, error = ?, final = ?, best = ?"
        " WHERE run_id = ? AND (status NOT IN ('completed', 'stopped', 'diverged')"
        " OR ? NOT IN ('pending', 'running', 'failed'))",
        (
            (
                *(pack_id, o.lane, o.status, o.reason, o.steps, o.epochs, o.examples),
                *(o.wall_seconds, o.error, json.dumps(dict(o.final))),
                *(json.dumps(dict(o.best)), o.run_id, o.status),
            )
            for o in outcomes
        ),
    )


def read(db: sqlite3.Connection, *, planned: bool) -> list[Outcome]:
    """See ``Store.outcomes``."""
    rows = db.execute(
        "SELECT run_id, coalesce(lane, 0), status, reason, steps, epochs, examples,"
        " wall_seconds, error, final, best FROM runs WHERE planned >= ? ORDER BY number",
        (int(planned),),
    )
    names = [field.name for field in dataclasses.fields(Outcome)]
    return [
        Outcome(
            **dict(zip(names, row[:9], strict=False)),
            final=json.loads(row[9]),
            best=json.loads(row[10]),
        )
        for row in rows
    ]
