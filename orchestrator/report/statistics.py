"""The report's statistics: pure functions of arrays and frames. Nothing is drawn here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

Mode = Literal["min", "max"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Mean of paired differences with its confidence interval, in units of the metric."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def paired_difference(
    values: Sequence[float] | Floats, reference: Sequence[float] | Floats, confidence: float = 0.95
) -> Difference:
    """Student-t interval of the mean of d = values − reference, paired by position.

    mean(d) ± t_{n−1, (1 + confidence)/2} · sd(d)/√n. The t interval is used, not the
    bootstrap: with the 3 to 5 seeds that studies have, a percentile bootstrap resamples too
    few differences and its intervals are far too narrow. NaN limits below two pairs.
    """
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    n = differences.size
    mean = float(differences.mean()) if n else math.nan
    if n < 2:
        return Difference(mean=mean, low=math.nan, high=math.nan, pairs=n)
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * differences.std(ddof=1) / math.sqrt(n))
    return Difference(mean=mean, low=mean - half, high=mean + half, pairs=n)


def mean_intervals(
    frame: pd.DataFrame, by: Sequence[str], value: str, confidence: float = 0.95
) -> pd.DataFrame:
    """The mean of ``value`` for each ``by``, with its Student-t interval; NaN is left out.

    mean ± t_{n−1, (1 + confidence)/2} · sd/√n over n independent values, such as one a seed. For
    differences of pairs these are the figures of :func:`paired_difference`.

    Returns:
        One row a group, in the order of ``by``: its keys, ``mean``, ``low``, ``high`` (NaN below
        two values) and ``n``. Groups without a value have no row.
    """
    grouped = frame.dropna(subset=[value]).groupby(list(by), as_index=False)
    found = grouped.agg(mean=(value, "mean"), sd=(value, "std"), n=(value, "count"))
    n = found["n"].to_numpy()
    quantile = stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2)
    half = quantile * found["sd"] / np.sqrt(n)
    found = found.assign(low=found["mean"] - half, high=found["mean"] + half)
    return found[[*by, "mean", "low", "high", "n"]]


def summarize(runs: pd.DataFrame, by: str, value: str) -> pd.DataFrame:
    """Mean, standard deviation (n − 1; NaN for one run), min, max and n of ``value`` by ``by``.

    Groups come in order of first appearance; missing values are left out of the figures.
    """
    grouped = runs.groupby(by, sort=False)
    columns = {"mean": "mean", "sd": "std", "low": "min", "high": "max", "n": "count"}
    return grouped.agg(**{name: (value, how) for name, how in columns.items()})


def complete_configurations(runs: pd.DataFrame, seeds: Sequence[int]) -> list[str]:
    """Configurations of which every seed has a finite ``objective``: it had all of its training."""
    done = runs[np.isfinite(runs["objective"])]
    seeds_done = done.groupby("configuration", sort=False)["seed"].nunique()
    return [str(label) for label in seeds_done.index[seeds_done >= len(seeds)]]


def ranking(runs: pd.DataFrame, seeds: Sequence[int], mode: Mode) -> pd.DataFrame:
    """Complete configurations by mean ``objective`` over seeds, best first.

    Indexed by configuration, with the columns of :func:`summarize`. Configurations with a
    missing seed are left out: a mean over the survivors would flatter what diverges.
    """
    done = runs[np.isfinite(runs["objective"])]
    seeds_done = done.groupby("configuration", sort=False)["seed"].nunique()
    summary: pd.DataFrame = summarize(done, "configuration", "objective")
    summary = summary[seeds_done >= len(seeds)]
    return summary.sort_values("mean", ascending=mode == "min", kind="stable")


def difference_between(runs: pd.DataFrame, configuration: str, reference: str) -> Difference:
    """:func:`paired_difference` of two configurations' ``objective`` on the seeds they share."""
    by_seed = [
        runs[runs["configuration"] == label].set_index("seed")["objective"].dropna()
        for label in (configuration, reference)
    ]
    both = pd.concat(by_seed, axis=1, join="inner", keys=["values", "reference"])
    return paired_difference(both["values"].to_numpy(), both["reference"].to_numpy())


@dataclass(frozen=True, kw_only=True, slots=True)
class Basin:
    """Where a curve is best, and the stretch around it that is nearly as good."""

    best_x: float
    best_y: float
    edge: Literal["inside", "lower", "upper"]
    """Whether the best lies on an edge of what was swept."""
    low: float
    high: float
    """The ends of the stretch, in units of x."""
    open_low: bool
    open_high: bool
    """Whether the next point was not measured, so that the stretch may go on."""

    @property
    def decades(self) -> float:
        """log10(high / low); NaN where x is not positive."""
        return math.log10(self.high / self.low) if self.low > 0 else math.nan


def find_basin(
    x: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    *,
    mode: Mode,
    swept: Sequence[float],
    log: bool = True,
    tolerance: float = 0.1,
    best_of_all: float | None = None,
) -> Basin:
    """The best point of a curve and the contiguous stretch within ``tolerance`` of it.

    Points count as within where y is worse than the best by at most tolerance · |best|. The
    ends are interpolated between the last point within and the first beyond, linearly in y
    against log x (or x). Where the next point is missing (NaN or never tried) the stretch is
    cut at the last point within, and marked as open.

    Args:
        x, y: the measured curve, finite y somewhere; sorted here.
        swept: every x that was tried, measured or not: decides what is an edge.
        best_of_all: what points are measured against instead, at least as good as the curve's own
            best. The stretch is of no width where that is not within.
    """
    order = np.argsort(np.asarray(x, dtype=np.float64), kind="stable")
    xs = np.asarray(x, dtype=np.float64)[order]
    loss = np.asarray(y, dtype=np.float64)[order] * (1 if mode == "min" else -1)
    best = int(np.nanargmin(loss))
    against = loss[best] if best_of_all is None else best_of_all * (1 if mode == "min" else -1)
    limit = against + tolerance * abs(against)
    axis = np.log10(xs) if log else xs
    ends, reached = [], []
    for step in (-1, 1):
        within = loss[best] <= limit
        end, open_ended = _walk(axis, loss, best, step, limit) if within else (axis[best], False)
        ends.append(10**end if log else end)
        reached.append(open_ended)
    edges = {min(swept): "lower", max(swept): "upper"} if min(swept) < max(swept) else {}
    edge: Any = edges.get(float(xs[best]), "inside")
    return Basin(
        best_x=float(xs[best]),
        best_y=float(loss[best] * (1 if mode == "min" else -1)),
        edge=edge,
        low=float(ends[0]),
        high=float(ends[1]),
        open_low=reached[0],
        open_high=reached[1],
    )


def _walk(axis: Floats, loss: Floats, at: int, step: int, limit: float) -> tuple[float, bool]:
    """Walks from the best while within the limit: (position of the end, whether it is open)."""
    while 0 <= at + step < axis.size and loss[at + step] <= limit:
        at += step
    beyond = at + step
    if not 0 <= beyond < axis.size or not math.isfinite(loss[beyond]):
        return float(axis[at]), True
    share = (limit - loss[at]) / (loss[beyond] - loss[at])
    return float(axis[at] + share * (axis[beyond] - axis[at])), False


def thinned(count: int, limit: int) -> list[int]:
    """At most ``limit`` of the positions 0 … count − 1, evenly spread, both ends kept."""
    if count <= limit:
        return list(range(count))
    return sorted({int(i) for i in np.linspace(0, count - 1, limit).round()})


BEST_DRAWN, MOST_DRAWN = 500, 2000


def thinned_ranking(count: int) -> list[int]:
    """Which of ``count`` points, best first, a figure draws: the best 500, and of the others as
    many, evenly spread over the ranking, as make 2,000 in all."""
    if count <= MOST_DRAWN:
        return list(range(count))
    others = thinned(count - BEST_DRAWN, MOST_DRAWN - BEST_DRAWN)
    return [*range(BEST_DRAWN), *(BEST_DRAWN + place for place in others)]
