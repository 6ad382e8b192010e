"""How the runs of a pack stand, and what an evaluation says of a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.configs.run import HIGHER_IS_BETTER, RunConfig


@dataclass(slots=True)
class Progress:
    """How one run stands; what a report carries."""

    run_id: str
    lane: int
    status: str = "running"
    reason: str = ""
    steps: int = 0
    epochs: float = 0.0
    examples: int = 0
    wall_seconds: float = 0.0
    """The run's share of its stack's training time: elapsed seconds / lanes, summed."""
    error: str = ""
    final: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)


_FIELDS = tuple(field.name for field in dataclasses.fields(Progress))


def plain(progress: Progress) -> dict[str, Any]:
    """As ``dataclasses.asdict``, which copies number after number: 55 µs against 1 µs here, for
    every lane of every report."""
    values = {name: getattr(progress, name) for name in _FIELDS}
    return values | {"final": dict(progress.final), "best": dict(progress.best)}


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since the last report: new history rows, and how their runs stand."""

    rows: list[dict[str, Any]]
    progress: list[dict[str, Any]]
    events: list[dict[str, Any]] = field(default_factory=list)
    """Copies made in populations (``population.Exchange``)."""
    probes: list[dict[str, Any]] = field(default_factory=list)
    """Measurements of many numbers: rows of run_id, name, at and value."""


def row(progress: Progress, values: Mapping[str, float], level: int = 0) -> dict[str, Any]:
    """A row of history: what was measured where the run stands now."""
    return {
        "run_id": progress.run_id,
        "level": level,
        "step": progress.steps,
        "epoch": progress.epochs,
        "examples": progress.examples,
        "seconds": progress.wall_seconds,
        **values,
    }


def with_best(best: Mapping[str, float], values: Mapping[str, float]) -> dict[str, float]:
    """The best finite value of every metric, these values included."""
    found = dict(best)
    for name, value in values.items():
        better = max if name in HIGHER_IS_BETTER else min
        if math.isfinite(value):
            found[name] = better(found.get(name, value), value)
    return found


def verdict(
    config: RunConfig,
    values: Mapping[str, float],
    losses: npt.NDArray[np.float64],
    *,
    ended: bool,
) -> tuple[str, str]:
    """Status and reason of a run after an evaluation.

    Args:
        losses: the batch losses since the evaluation before, (steps,).
        ended: whether the run has trained all its steps.
    """
    bad = ~(losses <= config.train.diverged_above)  # true for NaN, too
    if bad.any():
        return "diverged", f"batch loss {losses[bad.argmax()]:.3g}"
    target = config.train.target
    if target is not None:
        sign = 1 if target.metric in HIGHER_IS_BETTER else -1
        if sign * values[target.metric] > sign * target.value:
            return "completed", "target reached"
    return ("completed", "trained to the end") if ended else ("running", "")
