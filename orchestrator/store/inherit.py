"""What a longer run has of a shorter one that it goes on from: its history up to there."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from orchestrator.store.schema import HISTORY_KEYS, SETTLED, column

_NUMBER = "(SELECT number FROM runs WHERE run_id = ?)"


class Trained(NamedTuple):
    """A run that has ended, of this plan of the study or an earlier one."""

    run_id: str
    status: str
    reason: str
    steps: int
    epochs: float
    examples: int
    wall_seconds: float
    planned_epochs: float | None
    """``train.epochs`` and ``train.steps`` of its configuration."""
    planned_steps: int | None


def trained_runs(db: sqlite3.Connection) -> list[Trained]:
    marks = ", ".join("?" * len(SETTLED))
    columns = (
        "run_id, status, reason, steps, epochs, examples, wall_seconds,"
        " json_extract(config, '$.train.epochs'), json_extract(config, '$.train.steps')"
    )
    rows = db.execute(
        f"SELECT {columns} FROM runs WHERE status IN ({marks})",  # noqa: S608 - fixed names
        SETTLED,
    )
    return [Trained(*row) for row in rows]


def metrics_of(
    db: sqlite3.Connection, run_id: str, metrics: list[str], until: int
) -> list[dict[str, float]]:
    """Metrics of a run's evaluations up to step ``until``, in order; what is not a number is
    left out."""
    columns = ", ".join(f'"{column(name)}"' for name in metrics)
    rows = db.execute(
        f"SELECT {columns} FROM history WHERE number = {_NUMBER}"  # noqa: S608 - quoted names
        " AND level = 0 AND step <= ? ORDER BY step",
        (run_id, until),
    )
    return [
        {name: value for name, value in zip(metrics, row, strict=True) if value is not None}
        for row in rows
    ]


def inherit(
    db: sqlite3.Connection, run_id: str, origin: str, metrics: list[str], until: int
) -> None:
    """Copies the history of ``origin`` up to step ``until``, and how it stood, to ``run_id``.

    What the run has already stays.
    """
    columns = ", ".join(f'"{column(key)}"' for key in (*HISTORY_KEYS, *metrics))
    db.execute(
        f"INSERT OR IGNORE INTO history (number, {columns})"  # noqa: S608 - quoted names
        f" SELECT {_NUMBER}, {columns} FROM history"
        f" WHERE number = {_NUMBER} AND level = 0 AND step <= ?",
        (run_id, origin, until),
    )
    db.execute(
        "UPDATE runs SET (steps, epochs, examples, wall_seconds) ="
        " (SELECT steps, epochs, examples, wall_seconds FROM runs WHERE run_id = ?)"
        " WHERE run_id = ? AND status = 'pending' AND steps = 0",
        (origin, run_id),
    )
