"""The exponent of the best learning rate, and widths of what reaches the target."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.large_batch import exponent, sensitivity
from tests.report.large_batch.tables import table, trial

SIZES = [2**k for k in range(1, 12)]
GRID = [float(2 ** (k / 2)) for k in range(-24, 13)]


def planted(slope: float, *, seed: int | None = None) -> pd.DataFrame:
    """Steps grow with the squared distance of a rate from 0.01 · B^slope, in octaves."""
    rng = np.random.default_rng(seed)
    rows = []
    for size in SIZES:
        off = 0 if seed is None else 0.3 * rng.standard_normal()
        for rate in GRID:
            apart = math.log2(rate / 0.01) - slope * math.log2(size) + off
            status = "infeasible" if apart > 2 else "unreached" if apart < -4 else "reached"
            rows.append(trial(size, rate, status, 100 * (1 + apart**2 / 4)))
    return table(*rows)


@pytest.mark.parametrize(
    ("slope", "agrees"), [(1.0, ("linear",)), (0.5, ("square root",)), (0.0, ()), (0.75, ())]
)
def test_the_exponent_is_found_to_the_grid(slope: float, agrees: tuple[str, ...]) -> None:
    found = exponent(planted(slope))
    assert found is not None
    assert found.low <= slope <= found.high
    assert found.slope == pytest.approx(slope, abs=0.05)
    assert found.agrees == agrees
    assert found.resolution == pytest.approx(math.log10(2) / 4)
    assert found.rate(32) == pytest.approx(0.01 * 32**slope, rel=0.2)
    assert (len(found.batch_sizes), found.at_edge) == (11, ())


def test_the_interval_is_never_narrower_than_the_grid_allows() -> None:
    """Best rates that lie on a line to the last digit are still rounded to the grid."""
    found = exponent(planted(0.5))
    assert found is not None
    x = np.log10(SIZES)
    least = 2.262 * math.sqrt((math.log10(2) / 2) ** 2 / 12 / float(((x - x.mean()) ** 2).sum()))
    assert found.high - found.low >= 2 * least * 0.999


def test_intervals_hold_the_planted_exponent() -> None:
    found = [exponent(planted(0.7, seed=seed)) for seed in range(40)]
    assert sum(one is not None and one.low <= 0.7 <= one.high for one in found) >= 35


def test_a_best_rate_at_the_end_of_the_grid_is_left_out() -> None:
    cut = planted(1.0)
    cut = cut[cut["rate"] <= 5.7]  # the best of 1,024 and 2,048 lies beyond
    found = exponent(cut)
    assert found is not None
    assert found.at_edge == (512, 1024, 2048)
    assert found.slope == pytest.approx(1, abs=0.06)
    small = exponent(cut, largest=64)
    assert small is not None
    assert (small.batch_sizes, small.at_edge) == ((2, 4, 8, 16, 32, 64), ())
    assert exponent(cut, largest=5) is None


def test_rates_that_tie_stand_for_their_middle() -> None:
    rows = [
        trial(size, rate, "reached", 10 if rate in (0.2, 0.8, 0.4) else 30)
        for size in (2, 8, 32)
        for rate in (0.1, 0.2, 0.4, 0.8, 1.6)
    ]
    found = exponent(table(*rows))
    assert found is not None
    assert found.rate(8) == pytest.approx(0.4)
    assert found.slope == pytest.approx(0, abs=1e-9)


def test_widths_are_in_decades_and_contiguous() -> None:
    steps = {0.001: 12, 0.01: 40, 0.1: 15, 1.0: 10, 10.0: 14, 100.0: 16}
    rows = [trial(7, rate, "reached", n) for rate, n in steps.items()]
    rows += [trial(7, 1000.0, "infeasible", 3), trial(11, 0.1, "unreached", 99)]
    rows += [trial(13, 0.1, "reached", 20, point="lr 0.1, momentum 0")]
    rows += [trial(13, 0.1, "reached", 10, point="lr 0.1, momentum 0.9")]
    rows += [trial(13, 1.0, "reached", 14, point="lr 1, momentum 0")]
    seven, eleven, thirteen = sensitivity(table(*rows)).to_dict("records")
    assert seven["decades"] == pytest.approx(2)  # 0.1 … 10; 0.001 is beyond a gap
    assert (seven["rates"], seven["tried"], seven["open"]) == (3, 7, False)
    assert seven["infeasible"] == pytest.approx(1 / 7)
    assert math.isnan(eleven["decades"])
    assert eleven["rates"] == 0
    assert (thirteen["decades"], thirteen["open"]) == (pytest.approx(1), True)
    (narrow, *_) = sensitivity(table(*rows), factor=1.05).to_dict("records")
    assert (narrow["rates"], narrow["decades"]) == (1, 0)
