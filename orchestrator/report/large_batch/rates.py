"""Learning rates against batch size: the exponent of the best, and how many reach the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.report.large_batch.trials import points

Floats = NDArray[np.float64]
FEWEST = 3
LINEAR, SQUARE_ROOT = 1.0, 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Exponent:
    """Best rate ∝ B^slope."""

    slope: float
    error: float
    """Standard error of the slope."""
    confidence: float
    intercept: float
    """log10 of the rate at batch size 1."""
    batch_sizes: tuple[int, ...]
    """Those that it rests on."""
    at_edge: tuple[int, ...]
    """Left out: the best rate is the smallest or largest that was tried there."""
    resolution: float
    """Half of the distance between neighbouring rates, in decades: no best rate is known better."""

    @property
    def low(self) -> float:
        return self.slope - self._half

    @property
    def high(self) -> float:
        return self.slope + self._half

    @property
    def _half(self) -> float:
        from scipy.special import stdtrit  # `regatta advise` needs the slope alone, and at once

        freedom = len(self.batch_sizes) - 2
        return float(stdtrit(freedom, (1 + self.confidence) / 2)) * self.error

    def rate(self, batch_size: float) -> float:
        return float(10 ** (self.intercept + self.slope * math.log10(batch_size)))

    @property
    def agrees(self) -> tuple[str, ...]:
        """Of ``linear`` (1) and ``square root`` (0.5), those that the interval holds."""
        rules = {"linear": LINEAR, "square root": SQUARE_ROOT}
        return tuple(name for name, slope in rules.items() if self.low <= slope <= self.high)


def exponent(
    table: pd.DataFrame,
    group: str | None = None,
    *,
    largest: float = math.inf,
    confidence: float = 0.95,
) -> Exponent | None:
    """The log–log slope of the best learning rate against the batch size, by least squares.

    The best rate of a batch size is the geometric mean of those that reach the target in the fewest
    steps: evaluations are seldom, and ties many. A rate on a grid with spacing h (decades) has at
    least the variance h²/12 of rounding to it. The interval is Student's t with the larger of this
    and the variance of the residuals.

    Args:
        table: trials of one group unless ``group`` names it, or their points.
        largest: batch sizes above it are left out, as B_crit: rates level off there.

    Returns:
        None where fewer than three batch sizes have a best rate inside what was tried.
    """
    chosen = _points(table, group)
    sizes, rates, spacings, edges = [], [], [], []
    for size, some in chosen[chosen["batch_size"] <= largest].groupby("batch_size"):
        reached = some[(some["status"] == "reached") & some["rate"].gt(0)]
        tried = np.unique(some["rate"].dropna())
        if reached.empty or tried.size < 2:
            continue
        ties = reached.loc[reached["steps"] == reached["steps"].min(), "rate"]
        if ties.min() == tried[0] or ties.max() == tried[-1]:
            edges.append(int(str(size)))
            continue
        sizes.append(int(str(size)))
        rates.append(float(np.log10(ties).mean()))
        spacings.append(float(np.diff(np.log10(tried)).mean()))
    if len(sizes) < FEWEST:
        return None
    h = float(np.mean(spacings))
    slope, intercept, error = _line(np.log10(sizes), np.array(rates), h**2 / 12)
    return Exponent(
        slope=slope,
        error=error,
        confidence=confidence,
        intercept=intercept,
        batch_sizes=tuple(sizes),
        at_edge=tuple(edges),
        resolution=h / 2,
    )


def sensitivity(
    table: pd.DataFrame, group: str | None = None, *, factor: float = 1.5
) -> pd.DataFrame:
    """How wide the learning rates are that reach the target within ``factor`` of the fewest steps.

    Other hyperparameters are at their best for each rate. The stretch is contiguous around the best
    rate and ends at the last rate within; a grid of spacing h knows it to h at each end.

    Returns:
        One row a batch size: ``batch_size``, ``decades`` (log10(high / low); NaN where none reached
        the target), ``low``, ``high``, ``rates`` (how many are within), ``tried``, ``open`` (an end
        is one of what was tried, so that it may be wider) and ``infeasible`` (share of rates).
    """
    chosen = _points(table, group)
    rows = [
        {"batch_size": int(str(size)), **_width(some, factor)}
        for size, some in chosen.groupby("batch_size")
    ]
    columns = ["batch_size", "decades", "low", "high", "rates", "tried", "open", "infeasible"]
    return pd.DataFrame.from_records(rows, columns=columns)


def _points(table: pd.DataFrame, group: str | None) -> pd.DataFrame:
    chosen = table if group is None else table[table["group"] == group]
    return chosen if "reached" in chosen else points(chosen)


def _line(x: Floats, y: Floats, least: float) -> tuple[float, float, float]:
    """Slope, intercept, standard error of the slope; ``least`` is the least variance of y."""
    dx = x - x.mean()
    slope = float(dx @ y / (dx @ dx))
    r = y - y.mean() - slope * dx
    n = x.size
    variance = max(float(r @ r) / (n - 2), least)
    error = math.sqrt(variance / float(dx @ dx))
    return slope, float(y.mean() - slope * x.mean()), error


def _width(some: pd.DataFrame, factor: float) -> dict[str, float | int | bool]:
    steps = some["steps"].where(some["status"] == "reached")
    by_rate = steps.groupby(some["rate"]).min()
    bad = (some["status"] == "infeasible").groupby(some["rate"]).all()
    tried = len(by_rate)
    share = float(bad.mean()) if tried else math.nan
    base = {"tried": tried, "infeasible": share}
    if by_rate.notna().sum() == 0:
        nothing = {"decades": math.nan, "low": math.nan, "high": math.nan}
        return {**nothing, "rates": 0, "open": False, **base}
    values = by_rate.to_numpy(dtype=float)
    within = values <= factor * np.nanmin(values)
    first = last = int(np.nanargmin(values))
    while first > 0 and within[first - 1]:
        first -= 1
    while last + 1 < tried and within[last + 1]:
        last += 1
    rates = by_rate.index.to_numpy(dtype=float)
    low, high = float(rates[first]), float(rates[last])
    decades = math.log10(high / low) if low > 0 else math.nan
    ends = {"low": low, "high": high, "rates": last - first + 1}
    return {"decades": decades, **ends, "open": first == 0 or last == tried - 1, **base}
