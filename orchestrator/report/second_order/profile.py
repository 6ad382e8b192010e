"""Performance profiles: how often a method is within a factor τ of the fastest one.

Dolan & Moré 2002; scored as by AlgoPerf (Dahl et al. 2023, "Benchmarking Neural Network Training
Algorithms", section 4.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
R_MAX = 4.0
"""AlgoPerf's: a method that takes longer than so many times the fastest has no part."""


def performance_ratios(taken: Floats) -> Floats:
    """r = t / min over methods of t, (…, problems, methods); ∞ where the target was not reached.

    Args:
        taken: t, (…, problems, methods), ∞ where a method has not reached the target.
    """
    fastest = taken.min(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = taken / fastest
    return np.where(np.isfinite(taken), found, np.inf)


def performance_profile(
    ratios: Floats, methods: Sequence[str], weights: Floats, r_max: float = R_MAX
) -> pd.DataFrame:
    """ρ(τ) = Σ w [r ≤ τ] / Σ w at every τ from 1 to r_max where it changes.

    Args:
        ratios: r, (problems, methods).
        weights: w of the problems; AlgoPerf has 1 for each.

    Returns:
        One row a method and τ: ``group``, ``x`` (τ), ``value`` (ρ); steps up at x.
    """
    shares = weights / weights.sum()
    rows = []
    for place, method in enumerate(methods):
        own = ratios[:, place]
        inside = own[own <= r_max]
        rows += [
            {"group": method, "x": tau, "value": float(shares[own <= tau].sum())}
            for tau in sorted({1.0, *map(float, inside), r_max})
        ]
    return pd.DataFrame(rows, columns=["group", "x", "value"])


def score(ratios: Floats, weights: Floats, r_max: float = R_MAX) -> Floats:
    """B = 1 / (r_max − 1) ∫₁^r_max ρ(τ) dτ of each method, (…, methods), in [0, 1].

    A problem with r ≤ r_max adds its share × (r_max − r), all others nothing.

    Args:
        ratios: r, (…, problems, methods).
    """
    room = np.clip(r_max - ratios, 0.0, r_max - 1.0) / (r_max - 1.0)
    shares = weights / weights.sum()
    total: Floats = (room * shares[:, None]).sum(-2)
    return total


def as_array(
    values: Mapping[tuple[str, str], Floats | float],
    problems: Sequence[str],
    methods: Sequence[str],
) -> Floats:
    """(…, problems, methods); ∞ where a method was not tried on a problem."""
    shape = np.shape(next(iter(values.values())))
    missing = np.full(shape, np.inf)
    rows = [[values.get((p, m), missing) for m in methods] for p in problems]
    return np.moveaxis(np.array(rows, dtype=np.float64), (0, 1), (-2, -1))
