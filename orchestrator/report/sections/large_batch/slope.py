"""A straight line with the interval of its slope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """y = intercept + slope · x by least squares, with the 95 % interval of the slope."""

    slope: float
    low: float
    high: float
    intercept: float


def fit_slope(x: Floats, y: Floats) -> Slope | None:
    """b ± t_{n−2} · s / √Σ(x − x̄)², s² = Σ r² / (n − 2).

    None below three points or two different x.
    """
    n = x.size
    away = x - x.mean() if n else x
    spread = float(away @ away)
    if n < 3 or spread == 0:
        return None
    slope = float(away @ y) / spread
    residual = y - y.mean() - slope * away
    error = math.sqrt(float(residual @ residual) / (n - 2) / spread)
    half = float(stdtrit(n - 2, 0.975)) * error
    return Slope(
        slope=slope,
        low=slope - half,
        high=slope + half,
        intercept=float(y.mean() - slope * x.mean()),
    )
