"""Kaplan and Meier's estimator against its product written out, and published figures."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.compare.survival import kaplan_meier, median_time, times_to

WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_published_remissions() -> None:
    """Freireich et al. 1963, 6-MP against placebo: Ŝ as in Cox & Oakes 1984, table 4.1, medians
    with the log-log intervals that R's ``survival`` gives."""
    drug = np.array(WEEKS, dtype=float), np.array(RELAPSED, dtype=bool)
    curve = kaplan_meier(*drug).set_index("x")["value"]
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, share in published.items():
        assert curve[week] == pytest.approx(share, abs=5e-4)
    found = median_time(*drug)
    assert (found.value, found.low, found.high) == (23, 13, math.inf)
    assert (found.reached, found.runs) == (9, 21)
    found = median_time(np.array(PLACEBO, dtype=float), np.ones(21, dtype=bool))
    assert (found.value, found.low, found.high) == (8, 4, 11)


def test_product_written_out() -> None:
    rng = np.random.default_rng(11)
    times = rng.integers(1, 30, 53).astype(float)
    reached = rng.random(53) < 0.6
    curve = kaplan_meier(times, reached)
    share, variance = 1.0, 0.0
    for row in curve.itertuples():
        n, d = (times >= row.x).sum(), (reached & (times == row.x)).sum()
        share *= 1 - d / n
        assert row.value == pytest.approx(share)
        if 0 < share < 1:
            variance += d / (n * (n - d))
            half = 1.959964 * math.sqrt(variance) / abs(math.log(share))
            assert row.low == pytest.approx(share ** math.exp(half), rel=1e-5)
            assert row.high == pytest.approx(share ** math.exp(-half), rel=1e-5)


def test_median_where_too_few_have_reached_it() -> None:
    times, reached = np.array([3.0, 5, 9, 9, 9]), np.array([1, 1, 0, 0, 0], dtype=bool)
    assert math.isinf(median_time(times, reached).value)
    assert math.isinf(median_time(np.full(3, 7.0), np.zeros(3, dtype=bool)).low)


def test_median_of_an_exact_half() -> None:
    """Exactly a half is left after 10, though in floating point the product is 0.5 + 1e-16."""
    reached = np.ones(15, dtype=bool)
    reached[[6, 7, 8, 12, 13]] = False
    assert Fraction(9, 15) * Fraction(5, 6) == Fraction(1, 2)  # six by 6, then one of six by 10
    assert median_time(np.arange(1, 16, dtype=float), reached).value == 10


def test_median_where_all_reach_it_at_once() -> None:
    found = median_time(np.full(5, 7.0), np.ones(5, dtype=bool))
    assert (found.value, found.low, found.high) == (7, 7, math.inf)


def test_times_of_runs() -> None:
    """Reached at the first value beyond; censored at the last one; diverged ones at the latest."""
    runs = pd.DataFrame(
        {
            "run_id": ["hit", "short", "lost", "lost at once", "waiting"],
            "status": ["completed", "stopped", "diverged", "diverged", "pending"],
        }
    )
    history = pd.DataFrame(
        [
            *(("hit", 7 * row, loss) for row, loss in enumerate([3.0, 1.0, 0.9, 1.1], start=1)),
            *(("short", 7 * row, 2.0) for row in (1, 2)),
            ("lost", 7, 0.5 + 1),
            ("another study's", 700, 0.1),
        ],
        columns=["run_id", "step", "loss"],
    )
    found = times_to(runs, history, "loss", 1.0, "min", "step").set_index("run_id")
    assert found["time"].to_dict() == {"hit": 21, "short": 14, "lost": 28, "lost at once": 28}
    assert found["reached"].to_dict() == {
        "hit": True,
        "short": False,
        "lost": False,
        "lost at once": False,
    }
