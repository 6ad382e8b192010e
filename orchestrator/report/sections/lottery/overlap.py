"""How much masks of different seeds have in common, and how much masks drawn at random would."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from orchestrator.store.masks import Masks, overlap

Load = Callable[[Sequence[str]], tuple[Mapping[str, Masks], list[str]]]

MOST_SEEDS = 8
"""Masks compared at each level: all pairs of these seeds."""


def expected_overlap(masks: Masks, others: Masks) -> float:
    """The overlap at random of masks with as many weights left in each layer, to first order.

    Σ n a b / Σ n (a + b − a b) over layers of n weights, of which the shares a and b are left:
    expected intersection over expected union. With a = b = d in all layers, d / (2 − d).
    """
    both = either = 0.0
    for name, packed in masks.items():
        size = math.prod(packed.shape)
        if not size:
            continue
        a = int(np.bitwise_count(packed.bits).sum(dtype=np.int64)) / size
        b = int(np.bitwise_count(others[name].bits).sum(dtype=np.int64)) / size
        both += size * a * b
        either += size * (a + b - a * b)
    return both / either if either else 1.0


def overlaps(tickets: pd.DataFrame, load: Load) -> tuple[pd.DataFrame, list[str]]:
    """Between the seeds of each level: level, x (weights left), value, expected, low, high, n.

    Args:
        tickets: run_id, seed, level, density of tickets of one configuration and one way of
            pruning.
        load: run_ids → the masks of those that have any, and a line on each damaged file.

    Returns:
        The table, and those lines. ``value`` and ``expected`` are means over pairs of seeds, low
        and high the least and the greatest overlap of a pair, ``n`` the pairs. They share seeds,
        so there is no interval.
    """
    rows: list[dict[str, float]] = []
    damage: list[str] = []
    for level, own in tickets.sort_values("seed").groupby("level"):
        found, damaged = load([str(run_id) for run_id in own["run_id"][:MOST_SEEDS]])
        damage += damaged
        pairs = [(a, b) for a, b in itertools.combinations(found.values(), 2) if _alike(a, b)]
        if not pairs:
            continue
        values = [overlap(a, b) for a, b in pairs]
        rows.append(
            {
                "level": float(str(level)),
                "x": float(own["density"].mean()),
                "value": float(np.mean(values)),
                "expected": float(np.mean([expected_overlap(a, b) for a, b in pairs])),
                "low": min(values),
                "high": max(values),
                "n": len(pairs),
            }
        )
    return pd.DataFrame(rows), damage


def _alike(masks: Masks, others: Masks) -> bool:
    shapes = [{name: packed.shape for name, packed in one.items()} for one in (masks, others)]
    return shapes[0] == shapes[1]
