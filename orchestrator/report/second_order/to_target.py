"""What a method takes to the target at its best, with how sure that is.

A *point* of hyperparameters has reached the target where all of its seeds have, and takes the
median of theirs; where not, infinitely long (as in Shallue et al. 2019, ``large_batch.trials``). A
method's best is the least of its points: choosing is part of it, so the bootstrap repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """One method on one problem: its points × seeds."""

    points: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Floats
    """(points, seeds): what the target took, ∞ where it was not reached; NaN where the run is not
    there or has not ended."""
    budget: float
    """The most that any run was given."""

    @property
    def costs(self) -> Floats:
        """(points,): the median over seeds, ∞ unless all have reached the target; NaN where one
        has not ended, unless another has failed to reach it already."""
        return _costs(self.values)

    @property
    def best(self) -> float:
        """∞ where no point has reached the target."""
        known = self.costs[~np.isnan(self.costs)]
        return float(known.min()) if known.size else np.inf

    @property
    def best_point(self) -> str | None:
        if not np.isfinite(self.best):
            return None
        return self.points[int(np.nanargmin(np.where(np.isnan(self.costs), np.inf, self.costs)))]


def tuned(trials: pd.DataFrame, value: str) -> dict[tuple[str, str], Tuned]:
    """(problem, method) → its points, in the order of the study.

    Args:
        trials: see ``trials.trials``.
        value: ``steps``, ``examples`` or ``seconds``.
    """
    taken = trials[value].where(trials["status"] == "reached", np.inf)
    taken = taken.mask(trials["status"] == "incomplete", np.nan)
    found = {}
    for (problem, method), own in trials.assign(taken=taken).groupby(
        ["problem", "method"], sort=False
    ):
        points = tuple(dict.fromkeys(own["point"]))
        seeds = tuple(sorted(set(own["seed"])))
        grid = own.pivot_table(
            index="point", columns="seed", values="taken", aggfunc="first", dropna=False
        ).reindex(index=list(points), columns=list(seeds))
        found[str(problem), str(method)] = Tuned(
            points=points,
            seeds=seeds,
            values=grid.to_numpy(dtype=float),
            budget=float(own[value].max()),
        )
    return found


def bootstrap(
    found: Mapping[Any, Tuned], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[Any, Floats]:
    """The best of each anew, of seeds drawn with replacement: (resamples,) each, ∞ included.

    All are given the same draws where they have the same seeds, so that ratios are paired. With
    few seeds there are few different draws, and intervals are too narrow rather than too wide.
    """
    draws: dict[int, NDArray[np.int64]] = {}
    made = {}
    for key, one in found.items():
        n = len(one.seeds)
        if n not in draws:
            draws[n] = np.random.default_rng((seed, n)).integers(0, n, (resamples, n))
        costs = _costs(one.values[:, draws[n]])  # (points, resamples)
        made[key] = np.where(np.isnan(costs), np.inf, costs).min(0)
    return made


def interval(draws: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Percentiles, (low, high); ∞ where draws are."""
    tail = (1 - confidence) / 2
    ranked = np.sort(draws)
    last = len(ranked) - 1
    return float(ranked[round(tail * last)]), float(ranked[round((1 - tail) * last)])


def ratio(first: Floats, second: Floats) -> Floats:
    """first / second; ∞ where only the second is reached, 0 where only the first is, NaN where
    neither."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return first / second


def _costs(values: Floats) -> Floats:
    """The median over the last axis; ∞ where any is, else NaN where any is."""
    lost, unknown = np.isinf(values).any(-1), np.isnan(values).any(-1)
    finite = np.where(np.isfinite(values), values, 0.0)
    return np.where(lost, np.inf, np.where(unknown, np.nan, np.median(finite, axis=-1)))
