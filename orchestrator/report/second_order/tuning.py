"""What tuning costs: the best of k trials, as it is on average over which k they are.

Dodge et al. 2019, "Show Your Work", without replacement: the k trials are any k of the N there are,
each set as likely, so that with k = N it is the best of all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def chances(n: int, k: int) -> Floats:
    """The chance that the i-th least of n values is the least of k of them, i = 0 … n − 1.

    C(n − 1 − i, k − 1) / C(n, k).
    """
    return np.array([math.comb(n - 1 - i, k - 1) / math.comb(n, k) for i in range(n)])


def best_of(costs: Floats, budget: float, k: int) -> float:
    """E[min over k of the trials], a trial that has not reached the target taking its budget.

    With such trials among them it is a lower bound: what they would have taken is not known.

    Args:
        costs: of all N trials, ∞ where the target was not reached; k is 1 … N.
        budget: in the same unit.
    """
    ranked = np.sort(np.minimum(costs, budget))
    return float((chances(len(ranked), k) * ranked).sum())


def reach_of(costs: Floats, k: int) -> float:
    """The chance that any of k of the trials reaches the target: 1 − C(U, k) / C(N, k)."""
    unreached = int(np.isinf(costs).sum())
    return 1 - math.comb(unreached, k) / math.comb(len(costs), k)
