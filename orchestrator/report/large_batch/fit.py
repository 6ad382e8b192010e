"""Steps to the target against batch size: S = S_min + E_min / B.

McCandlish et al. (2018), "An Empirical Model of Large-Batch Training", arXiv:1812.06162, eq. 2.11:
with steps S and examples E = S·B, (S/S_min − 1)(E/E_min − 1) = 1, which is S = S_min + E_min / B.
The critical batch size B_crit = E_min / S_min (eq. 2.12) takes twice the fewest steps and twice the
fewest examples.

Fitted in the log: log S_k = log S_min + log(1 + B_crit / B_k) + σ ε_k, one k a batch size, S_k the
steps at its best point (see ``curve.Data.of``: each seed at the point that the others choose),
taken back by half the steps between two evaluations, as the target was passed between them. For a
given B_crit, S_min is a mean; B_crit is searched on a grid in the log, and by a parabola between
its points. A batch size that never reached the target within c_k steps is censored: it has the
likelihood of S_k > c_k (Tobin 1958), by expectation maximization.

Intervals are of a bootstrap of batch sizes' residuals, not of seeds: what scatters around the curve
is also the grid of rates, the choice of the best among noisy points and the misfit of the model,
of which resampled seeds know nothing, and seeds are few. With K batch sizes that reached the
target, residuals are drawn anew with the scale s √((K − 2) / χ²_{K−2}), s² = Σ r² / (K − 2), which
gives them the tails of Student's t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.report.large_batch.curve import Data, fitted, residual_samples

Floats = NDArray[np.float64]
Regime = Literal["perfect", "diminishing", "maximal"]
REPLICATES = 400
CONFIDENCE = 0.95
FEWEST = 3
"""Batch sizes that two parameters and their scatter take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A number with its interval. ``value`` is NaN where only a bound is known, and ``low`` or
    ``high`` is then 0 or infinity."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """S = s_min + e_min / B over the batch sizes that were measured."""

    s_min: Bound
    """Fewest steps, at any batch size."""
    e_min: Bound
    """Fewest examples, at any batch size."""
    b_crit: Bound
    """e_min / s_min, in examples."""
    below_range: bool
    """No scaling is seen: larger batches save no steps. B_crit has only an upper bound."""
    above_range: bool
    """Perfect scaling throughout is possible. B_crit has only a lower bound."""
    scatter: float
    """Residual standard deviation of log S; NaN below three batch sizes."""
    smallest: int
    largest: int
    """The batch sizes that reached the target."""
    reached: int
    censored: int
    """How many batch sizes did, and how many did not."""
    level: float
    ratio: float
    """The curve itself, S(B) = level · (1 + ratio / B), whether or not its asymptotes are known."""

    def steps(self, batch_size: float) -> float:
        """Predicted steps to the target; beyond what was measured it is an extrapolation."""
        return self.level * (1 + self.ratio / batch_size)

    def leaves(self, excess: float = 0.1) -> float:
        """The batch size that takes ``1 + excess`` times the examples of perfect scaling, S ∝ 1/B:
        E / E_min = 1 + B / B_crit. With 1, it is B_crit. NaN where that is not known."""
        return excess * self.b_crit.value

    def regime(self, batch_size: float, excess: float = 0.1) -> Regime | None:
        """Perfect scaling (E ≤ (1 + excess) E_min), maximal (S ≤ (1 + excess) S_min), or
        diminishing returns between them; None where B_crit is not known."""
        if math.isnan(self.b_crit.value):
            return None
        if batch_size <= self.leaves(excess):
            return "perfect"
        return "maximal" if batch_size >= self.b_crit.value / excess else "diminishing"


def fit(
    table: pd.DataFrame,
    group: str | None = None,
    *,
    confidence: float = CONFIDENCE,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Fit | None:
    """Fits the trials of one group.

    Args:
        table: trials, their points, or the best of these, of one group unless ``group`` names it.
        replicates: of the bootstrap.

    Returns:
        None where fewer than two batch sizes reached the target.
    """
    chosen = table if group is None else table[table["group"] == group]
    data = Data.of(chosen)
    if data.reached.sum() < 2:
        return None
    sizes = data.sizes[data.reached]
    levels, ratios, scatter = fitted(data, data.y[None, :])
    level, ratio, spread = float(levels[0]), float(ratios[0]), float(scatter[0])
    K = sizes.size
    if K >= FEWEST:
        samples = residual_samples(data, level, ratio, spread, replicates, seed)
        some_levels, some_ratios, _ = fitted(data, samples)
    else:
        some_levels, some_ratios, spread = np.array([level]), np.array([ratio]), math.nan
    tail = (1 - confidence) / 2
    below, above = _flags(sizes, ratio, some_ratios, data.ends, tail)
    s_min, e_min, b_crit = (
        _bound(value, some, unknown, tail, K >= FEWEST, one_sided=confidence)
        for value, some, unknown in (
            (level, some_levels, "high" if above else ""),
            (level * ratio, some_levels * some_ratios, "high" if below else ""),
            (
                ratio,
                some_ratios,
                "both" if below and above else "high" if below else "low" if above else "",
            ),
        )
    )
    return Fit(
        s_min=s_min,
        e_min=e_min,
        b_crit=b_crit,
        below_range=below,
        above_range=above,
        scatter=spread,
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        reached=K,
        censored=int((~data.reached).sum()),
        level=level,
        ratio=ratio,
    )


def leaves_perfect(best_points: pd.DataFrame, excess: float = 0.1) -> float:
    """As measured, without a model: the largest batch size up to which every one takes at most
    ``1 + excess`` times the fewest examples of any smaller one or itself. NaN without any.

    Args:
        best_points: of one group, as :func:`trials.best` gives them.
    """
    reached = best_points[best_points["status"] == "reached"].sort_values("batch_size")
    if reached.empty:
        return math.nan
    examples = reached["examples"].to_numpy(dtype=float)
    within = examples <= (1 + excess) * np.minimum.accumulate(examples)
    count = int(np.argmin(within)) if not within.all() else within.size
    return float(reached["batch_size"].iloc[count - 1])


def _flags(
    sizes: Floats, ratio: float, samples: Floats, ends: tuple[float, float], tail: float
) -> tuple[bool, bool]:
    """Whether no scaling, and whether perfect scaling, cannot be told from what was measured.

    So it is where B_crit lies beyond the batch sizes that reached the target, or where its interval
    goes to the end of the search.
    """
    low, high = np.quantile(samples, [tail, 1 - tail])
    below = ratio < sizes.min() or low <= ends[0] * 1.01
    above = ratio > sizes.max() or high >= ends[1] / 1.01
    return bool(below), bool(above)


def _bound(
    value: float, samples: Floats, unknown: str, tail: float, known: bool, *, one_sided: float
) -> Bound:
    """An interval, or a one-sided bound of the same confidence.

    Args:
        unknown: ``high`` where only an upper bound is known, ``low`` where only a lower one.
    """
    if unknown == "both":
        return Bound(value=math.nan, low=0.0, high=math.inf)
    if unknown == "high":
        high = float(np.quantile(samples, one_sided)) if known else math.inf
        return Bound(value=math.nan, low=0.0, high=high)
    if unknown == "low":
        low = float(np.quantile(samples, 1 - one_sided)) if known else 0.0
        return Bound(value=math.nan, low=low, high=math.inf)
    if not known:
        return Bound(value=value, low=math.nan, high=math.nan)
    low, high = np.quantile(samples, [tail, 1 - tail])
    return Bound(value=value, low=float(low), high=float(high))
