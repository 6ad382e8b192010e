"""Comparisons of many candidates, against SciPy, closed forms and written-out loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.report.comparisons import (
    against,
    first_beyond,
    holm,
    kendall,
    mean_along,
    paired_test,
)
from orchestrator.report.statistics import find_basin


@pytest.mark.parametrize("n", [2, 3, 11])
def test_paired_test_is_scipys(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(0.5, size=n)
    difference, p = paired_test(a, b)
    theirs = stats.ttest_rel(a, b)
    interval = theirs.confidence_interval(0.95)
    assert p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high))


def test_values_that_are_equal_or_one() -> None:
    assert paired_test([1.0, 2.0], [1.0, 2.0])[1] == 1
    assert paired_test([2.0, 3.0], [1.0, 2.0])[1] == 0
    difference, p = paired_test([2.0], [1.0])
    assert (difference.mean, difference.pairs) == (1, 1)
    assert math.isnan(p)
    assert math.isnan(paired_test([], [])[0].mean)


def test_equal_roundings_prove_nothing() -> None:
    # d = 18 on each of 3 seeds, known up to 18: s² = (0 + 18²/6)/3, t = 18/s = √18 = 4.2426.
    difference, p = paired_test([36, 54, 90], [18, 36, 72], resolution=18)
    assert p == pytest.approx(2 * stats.t.sf(math.sqrt(18), 2), rel=1e-9)
    assert difference.high - 18 == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(18))


def test_resolution_covers_what_rounding_does() -> None:
    """Equal times, rounded up: the 95 % interval holds 0 about as often as it says."""
    rng = np.random.default_rng(0)
    trials, n, step, hits = 400, 5, 7.0, 0
    for _ in range(trials):
        seeds = rng.uniform(100, 200, size=n)
        a, b = (np.ceil((seeds + rng.normal(0, 3, size=n)) / step) * step for _ in range(2))
        difference, _ = paired_test(a, b, resolution=step)
        hits += difference.low <= 0 <= difference.high
    assert hits / trials >= 0.95


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; then made ascending.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    corrected = holm([0.01, math.nan, 0.02])
    assert corrected[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(corrected[1])
    assert holm([]) == []


def test_holm_keeps_the_chance_of_any_false_one_below_the_level() -> None:
    rng = np.random.default_rng(1)
    single = any_false = 0
    for _ in range(300):
        reference = pd.Series(rng.normal(size=5))
        others = {str(k): pd.Series(rng.normal(size=5)) for k in range(11)}
        found = against(others, reference).values()
        any_false += any(c.told_apart for c in found)
        single += any(c.p < 0.05 for c in found)
    assert any_false / 300 < 0.08
    assert single / 300 > 0.15  # what the correction is for


def test_against_pairs_by_seed() -> None:
    first = pd.Series({2: 20.0, 0: 0.0, 1: 10.0, 7: math.nan})
    other = pd.Series({0: 1.1, 1: 11.0, 2: 20.9, 5: 99.0, 7: 3.0})
    found = against({"other": other}, first)["other"]
    assert found.difference.mean == pytest.approx(1.0)
    assert found.difference.pairs == 3
    assert found.told_apart


def history(rows: list[tuple[str, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["run_id", "step", "loss"])


def test_mean_along_is_the_trapezoidal_rule() -> None:
    rng = np.random.default_rng(2)
    rows, expected = [], {}
    for run in ("b", "a", "c"):
        steps = np.cumsum(rng.integers(1, 7, size=11))
        values = rng.normal(size=11)
        rows += [(run, int(t), float(y)) for t, y in zip(steps, values, strict=True)]
        expected[run] = np.trapezoid(values, steps) / (steps[-1] - steps[0])
    shuffled = history(rows).sample(frac=1, random_state=3)
    found = mean_along(shuffled, "loss")
    assert found.to_dict() == pytest.approx(expected)


def test_mean_along_of_what_has_none() -> None:
    found = mean_along(history([("one", 3, 1.0), ("bad", 1, 1.0), ("bad", 2, math.inf)]), "loss")
    assert found.isna().all()


def test_first_beyond_is_strict() -> None:
    rows = [("a", 3, 0.5), ("a", 5, 0.2), ("a", 7, 0.1), ("b", 3, 0.2), ("c", 3, math.nan)]
    assert first_beyond(history(rows), "loss", 0.2, "min").to_dict() == {"a": 7}
    assert first_beyond(history(rows), "loss", 0.2, "max").to_dict() == {"a": 3}


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_is_scipys(ties: bool) -> None:
    rng = np.random.default_rng(4)
    a, b = (rng.integers(0, 5 if ties else 999, size=13).astype(float) for _ in range(2))
    assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b).statistic)
    assert math.isnan(kendall([1.0, 1.0], [1.0, 2.0]))


def test_basin_against_the_best_of_all() -> None:
    # Limit 1.1 · 0.95 = 1.045 where the own best is 1: from 1 to 2 over a decade, 0.045 each way.
    x, y = [0.01, 0.1, 1.0], [2.0, 1.0, 2.0]
    own = find_basin(x, y, mode="min", swept=x, best_of_all=0.95)
    assert own.decades == pytest.approx(0.09)
    none = find_basin(x, y, mode="min", swept=x, best_of_all=0.5)
    assert (none.decades, none.open_low, none.open_high) == (0, False, False)
    high = find_basin(x, [0.2, 1.0, 0.2], mode="max", swept=x, best_of_all=1.05)
    # Limit 0.945: 0.055 of the way down by 0.8, each way.
    assert high.decades == pytest.approx(2 * 0.055 / 0.8)
