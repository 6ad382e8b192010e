"""What a search comes to against how many configurations it tries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from opda.nonparametric import EmpiricalDistribution

from orchestrator.report.statistics import Mode, thinned

CONFIDENCE = 0.95
MOST_POINTS = 60


def tuning_curve(values: Sequence[float] | NDArray[np.float64], mode: Mode) -> pd.DataFrame:
    """The median of the best of n configurations drawn at random, for n from 1 up to all there are.

    With F the distribution of a configuration's final value, the best of n has the distribution
    Fⁿ (or 1 − (1 − F)ⁿ for losses), and its median is a quantile of F. F is the empirical one.
    The band holds the whole curve at once with 95 % confidence or more (Lourie, Cho & He 2024,
    "Show Your Work with Confidence"; computed by ``opda``). It is made of the band of F by
    Dvoretzky, Kiefer, Wolfowitz & Massart, F̂ ± √(ln(2/0.05) / 2N), which holds for equal values,
    too, and is quick; the paper's highest-density band is tighter and takes minutes for 500.

    Args:
        values: of each configuration; ±∞ (whatever is worst) for those that have none.

    Returns:
        A row a point: x (n), value, low, high (NaN where infinite), n. At most 60 of them.
    """
    ys = np.asarray(values, dtype=np.float64)
    least = mode == "min"
    ns = np.unique(np.geomspace(1, len(ys), min(len(ys), MOST_POINTS)).round())
    ns = ns[thinned(len(ns), MOST_POINTS)]
    bands = EmpiricalDistribution.confidence_bands(
        ys, CONFIDENCE, generator=np.random.default_rng(0), method="dkw"
    )
    curves = np.stack([one.quantile_tuning_curve(ns, minimize=least) for one in bands])
    curves[~np.isfinite(curves)] = np.nan
    return pd.DataFrame(
        {
            "x": ns,
            "value": curves[1],
            "low": np.minimum(curves[0], curves[2]),
            "high": np.maximum(curves[0], curves[2]),
            "n": len(ys),
        }
    )


def enough_tries(curve: pd.DataFrame, share: float = 0.9) -> int | None:
    """The least n at which ``share`` of the gain from the first try to the last is reached.

    None where there is no gain.
    """
    known = curve.dropna(subset=["value"])
    if known.empty:
        return None
    first, last = float(known["value"].iloc[0]), float(known["value"].iloc[-1])
    if first == last:
        return None
    gained = (known["value"] - first) / (last - first)
    return int(known["x"][gained >= share].iloc[0])
