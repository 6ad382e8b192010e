"""What a user's training function reports, as numbers by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

TUNES_OWN = frozenset(
    {
        *("checkpoint_dir_name", "config", "date", "done", "experiment_tag", "hostname"),
        *("iterations_since_restore", "node_ip", "pid", "should_checkpoint", "time_since_restore"),
        *("time_this_iter_s", "time_total_s", "timesteps_since_restore", "timestamp"),
        *("training_iteration", "trial_id"),
    }
)
"""What Tune itself puts into a result."""


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a result, finite or not: nested mappings as ``outer/inner``.

    Booleans, texts, arrays and what Tune adds are left out.
    """
    own = {key: value for key, value in result.items() if key not in TUNES_OWN}
    return dict(_flat(own, ""))


def _flat(tree: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif isinstance(value, bool):
            continue
        elif isinstance(value, Real):
            yield f"{prefix}{key}", as_float(value)


def as_float(value: Any) -> float:
    """The number as a float; whole numbers beyond a float's range as infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def has_diverged(reported: Mapping[str, float], metric: str) -> bool:
    """Whether the objective has been reported, and is no finite number."""
    return metric in reported and not math.isfinite(reported[metric])
