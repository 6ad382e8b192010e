"""How much masks of different seeds have in common, and how much masks drawn at random would."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd

from orchestrator.store.masks import Masks, overlap

MOST_SEEDS = 8
"""Masks compared at each level: all pairs of these seeds."""


def expected_overlap(masks: Masks, others: Masks) -> float:
    """The overlap at random of masks with as many weights left in each layer, to first order.

    Σ n a b / Σ n (a + b − a b) over layers of n weights, of which the shares a and b are left:
    expected intersection over expected union. With a = b = d in all layers, d / (2 − d).
    """
    both = either = 0.0
    for name, mask in masks.items():
        if not mask.size:
            continue
        a = np.count_nonzero(mask) / mask.size
        b = np.count_nonzero(others[name]) / mask.size
        both += mask.size * a * b
        either += mask.size * (a + b - a * b)
    return both / either if either else 1.0


def overlaps(tickets: pd.DataFrame, load: Callable[[str], Masks | None]) -> pd.DataFrame:
    """Between the seeds of each level: level, x (weights left), value, expected, low, high, n.

    Args:
        tickets: run_id, seed, level, density of tickets of one configuration and one way of
            pruning.
        load: run_id → its masks; None where there are none.

    Returns:
        ``value`` and ``expected`` are means over pairs of seeds, low and high the least and the
        greatest overlap of a pair, ``n`` the pairs. They share seeds, so there is no interval.
    """
    rows = []
    for level, own in tickets.sort_values("seed").groupby("level"):
        found = [load(str(run_id)) for run_id in own["run_id"][:MOST_SEEDS]]
        known = [masks for masks in found if masks is not None]
        pairs = [(a, b) for a, b in itertools.combinations(known, 2) if _alike(a, b)]
        if not pairs:
            continue
        values = [overlap(a, b) for a, b in pairs]
        rows.append(
            {
                "level": level,
                "x": float(own["density"].mean()),
                "value": float(np.mean(values)),
                "expected": float(np.mean([expected_overlap(a, b) for a, b in pairs])),
                "low": min(values),
                "high": max(values),
                "n": len(pairs),
            }
        )
    return pd.DataFrame(rows)


def _alike(masks: Masks, others: Masks) -> bool:
    return {name: mask.shape for name, mask in masks.items()} == {
        name: mask.shape for name, mask in others.items()
    }
