"""Trial tables made by hand, and runs as the store has them."""

from __future__ import annotations

from typing import Any

import pandas as pd

REASONS = {"reached": "target reached", "unreached": "trained to the end"}
STATUSES = {"reached": "completed", "unreached": "completed", "infeasible": "diverged"}


def trial(batch_size: int, rate: float, status: str, steps: float, **more: Any) -> dict[str, Any]:
    return {
        "run_id": "",
        "group": "",
        "batch_size": batch_size,
        "point": f"lr {rate:g}",
        "rate": rate,
        "seed": 0,
        "status": status,
        "steps": steps,
        "examples": steps * batch_size,
        "seconds": 1.0,
        "resolution": 1,
    } | more


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows)


def runs(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows: ``batch_size, lr, seed, trial`` (a trial's status), ``steps``; columns such as
    ``config.schedule.name`` as they are."""
    records = []
    for number, given in enumerate(rows):
        row = dict(given)
        status, steps = row.pop("trial"), row.pop("steps")
        size = row.pop("batch_size")
        records.append(
            {
                "run_id": f"run{number:03d}",
                "status": STATUSES.get(status, status),
                "reason": REASONS.get(status, "batch loss nan"),
                "seed": row.pop("seed", 0),
                "steps": steps,
                "epochs": steps / 10,
                "examples": steps * size,
                "wall_seconds": 0.5,
                "config.train.batch_size": size,
                "config.optimizer.lr": row.pop("lr", 0.1),
                **row,
            }
        )
    return pd.DataFrame.from_records(records)
