"""Time to a target where some runs have not reached it: Kaplan and Meier's estimator."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf

from orchestrator.report.comparisons import first_beyond
from orchestrator.report.statistics import Mode

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
_ROUNDING = 1e-9
"""Shares are products: half of them may be a little more than 0.5."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Median:
    """When half of the runs have reached the target."""

    value: float
    """∞ where fewer than half have as long as any was followed."""
    low: float
    high: float
    """∞ where the interval has no upper end."""
    reached: int
    runs: int


def kaplan_meier(times: Floats, reached: NDArray[np.bool_]) -> pd.DataFrame:
    """Ŝ(t) = Π over tᵢ ≤ t of (1 − dᵢ / nᵢ): the share of runs that have not reached it by t.

    dᵢ runs reach it at tᵢ, of nᵢ that are followed until then (Kaplan & Meier 1958; computed by
    ``scipy.stats.ecdf``). The interval is that of log(−log Ŝ) with Greenwood's variance, point by
    point; NaN where Ŝ is 0 or 1.

    Args:
        times: when each run reached the target, or until when it is known not to have.
        reached: which of the two.

    Returns:
        A row for each time: x, value (Ŝ), low, high.
    """
    found = ecdf(CensoredData.right_censored(times, ~reached)).sf
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where Ŝ is 0 or 1
        band = found.confidence_interval(CONFIDENCE, method="log-log")
    low, high = band.low.probabilities, band.high.probabilities
    inside = (found.probabilities > 0) & (found.probabilities < 1)
    return pd.DataFrame(
        {
            "x": found.quantiles,
            "value": found.probabilities,
            "low": np.where(inside, low, np.nan),
            "high": np.where(inside, high, np.nan),
        }
    )


def median_time(times: Floats, reached: NDArray[np.bool_]) -> Median:
    """The first t with Ŝ(t) ≤ ½, and the times at which the limits of Ŝ come to ½.

    The interval is that of Brookmeyer & Crowley (1982): all t at which Ŝ(t) = ½ is not rejected.
    """
    curve = kaplan_meier(times, reached)
    low = curve["low"].mask(curve["value"] <= 0, 0.0)
    return Median(
        value=_first(curve["x"], curve["value"]),
        low=_first(curve["x"], low),
        high=_first(curve["x"], curve["high"]),
        reached=int(reached.sum()),
        runs=len(times),
    )


def _first(x: pd.Series, share: pd.Series) -> float:
    below = np.flatnonzero(share.to_numpy() <= 0.5 + _ROUNDING)
    return float(x.iloc[below[0]]) if below.size else np.inf


def times_to(
    runs: pd.DataFrame,
    history: pd.DataFrame,
    metric: str,
    value: float,
    mode: Mode,
    clock: str,
) -> pd.DataFrame:
    """A row a run that has been evaluated or has diverged: run_id, time, reached.

    One that has not reached the target is followed to its last evaluation, and one that diverged
    to the latest of all: it would not have, however long it had been waited for.

    Args:
        clock: a column of the history that grows along training.
    """
    own = history[history["run_id"].isin(runs["run_id"])]
    first = first_beyond(own, metric, value, mode, clock)
    last = own.groupby("run_id")[clock].max().astype(float)
    lost = runs["status"] == "diverged"
    table = runs[runs["run_id"].isin(last.index) | (lost & bool(len(last)))]
    table = table.drop_duplicates("run_id")
    end = table["run_id"].map(last)
    end = end.mask(table["status"] == "diverged", float(last.max()))
    reached = table["run_id"].map(first)
    return pd.DataFrame(
        {
            "run_id": table["run_id"].to_numpy(),
            "time": reached.fillna(end).to_numpy(dtype=float),
            "reached": reached.notna().to_numpy(),
        }
    )
