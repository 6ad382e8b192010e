"""Statistics against hand-worked numbers and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.report.statistics import (
    difference_between,
    find_basin,
    paired_difference,
    ranking,
    thinned,
)


@pytest.mark.parametrize("n", [2, 3, 11])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_paired_interval_is_scipys(n: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(size=n)
    ours = paired_difference(a, b, confidence)
    theirs = stats.ttest_rel(a, b).confidence_interval(confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert ours.mean == pytest.approx((a - b).mean())
    assert ours.pairs == n


def test_paired_interval_by_hand() -> None:
    # d = (1, 2, 3): mean 2, sd 1, t(0.975, 2) = 4.302653, half = 4.302653 / sqrt 3 = 2.484138.
    ours = paired_difference([2, 4, 6], [1, 2, 3])
    assert (ours.mean, ours.low, ours.high) == pytest.approx((2, -0.484138, 4.484138), abs=1e-6)
    assert not ours.excludes_zero
    assert paired_difference([2.0, 3.0, 4.1], [1.0, 2.0, 3.0]).excludes_zero


def test_one_pair_has_no_interval() -> None:
    ours = paired_difference([2.0], [1.0])
    assert ours.mean == 1
    assert math.isnan(ours.low)
    assert not ours.excludes_zero
    assert math.isnan(paired_difference([], []).mean)


def frame(rows: list[tuple[str, int, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["configuration", "seed", "status", "objective"])


def test_ranking_takes_complete_configurations_only() -> None:
    runs = frame(
        [
            ("steady", 0, "completed", 3.0),
            ("steady", 1, "completed", 5.0),
            ("lucky", 0, "completed", 1.0),
            ("lucky", 1, "diverged", math.nan),
            ("better", 0, "completed", 2.0),
            ("better", 1, "completed", 4.0),
            ("unfinished", 0, "completed", 0.1),
        ]
    )
    ranked = ranking(runs, [0, 1], "min")
    assert list(ranked.index) == ["better", "steady"]
    assert ranked.loc["better", ["mean", "low", "high", "n"]].tolist() == [3, 2, 4, 2]
    assert ranked.loc["better", "sd"] == pytest.approx(math.sqrt(2))
    assert list(ranking(runs, [0, 1], "max").index) == ["steady", "better"]


def test_difference_pairs_by_seed_not_by_order() -> None:
    runs = frame([("a", s, "completed", 10.0 * s) for s in (2, 0, 1)])
    other = frame([("b", s, "completed", 10.0 * s + 1) for s in (0, 1, 2, 5)])
    difference = difference_between(pd.concat([runs, other]), "b", "a")
    assert (difference.mean, difference.low, difference.high) == pytest.approx((1, 1, 1))
    assert difference.pairs == 3


def test_basin_by_hand() -> None:
    # Best 1 at 0.1, limit 1.1. Left: from 1 to 2 over a decade, so 0.1 of it; right: 1.05 is
    # within, then to 2.05 over a decade: 0.05 of it beyond x = 1.
    basin = find_basin([0.01, 0.1, 1, 10], [2, 1, 1.05, 2.05], mode="min", swept=[0.01, 0.1, 1, 10])
    assert (basin.best_x, basin.best_y, basin.edge) == (0.1, 1, "inside")
    assert basin.low == pytest.approx(10**-1.1)
    assert basin.high == pytest.approx(10**0.05)
    assert basin.decades == pytest.approx(1.15)
    assert not basin.open_low
    assert not basin.open_high


@pytest.mark.parametrize(("y", "edge"), [([1, 2, 3], "lower"), ([3, 2, 1], "upper")])
def test_basin_on_an_edge(y: list[float], edge: str) -> None:
    basin = find_basin([1, 2, 3], y, mode="min", swept=[1, 2, 3])
    assert basin.edge == edge
    assert (basin.open_low, basin.open_high) == (edge == "lower", edge == "upper")


def test_basin_beside_divergence_is_inside_but_open() -> None:
    basin = find_basin([1, 2, 3], [3, 1, math.nan], mode="min", swept=[1, 2, 3])
    assert (basin.edge, basin.open_high, basin.high) == ("inside", True, 2)


def test_basin_of_a_maximum_on_a_linear_axis() -> None:
    basin = find_basin([3, 1, 2], [0.8, 0.5, 1.0], mode="max", swept=[1, 2, 3], log=False)
    assert (basin.best_x, basin.best_y) == (2, 1.0)
    assert (basin.low, basin.high) == pytest.approx((2 - 0.1 / 0.5, 2 + 0.1 / 0.2))


def test_thinned_keeps_both_ends() -> None:
    assert thinned(5, 10) == [0, 1, 2, 3, 4]
    kept = thinned(997, 13)
    assert (kept[0], kept[-1], len(kept)) == (0, 996, 13)
