"""Medians of the best of n, against closed forms; bands by simulation; and what is said of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report.sections.tuning_curve import tuning_curve_section
from orchestrator.report.statistics import Mode
from orchestrator.report.tuning_curve import enough_tries, tuning_curve
from tests.report.stores import plant


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_median_of_the_best_of_n_is_its_closed_form(mode: Mode) -> None:
    """Of a uniform distribution it is 1 − 2^(−1/n) at the low end, 2^(−1/n) at the high one."""
    size = 2000
    ys = (np.arange(size) + 0.5) / size
    curve = tuning_curve(ys, mode)
    high = 0.5 ** (1 / curve["x"].to_numpy())
    assert curve["value"].to_numpy() == pytest.approx(1 - high if mode == "min" else high, abs=1e-3)
    assert curve["x"].iloc[0] == 1
    assert curve["x"].iloc[-1] == size
    assert len(curve) <= 60


def test_the_median_of_the_best_of_n_is_that_of_all_draws() -> None:
    rng = np.random.default_rng(1)
    ys = rng.lognormal(size=37)
    for n, value in tuning_curve(ys, "min")[["x", "value"]].to_numpy()[:8]:
        drawn = rng.choice(ys, (100_001, int(n))).min(1)
        below, above = np.quantile(drawn, [0.49, 0.51], method="inverted_cdf")
        assert below <= value <= above


def test_bands_hold_the_whole_curve() -> None:
    """In 95 of 100 studies or more."""
    rng = np.random.default_rng(2)
    held = []
    for _ in range(400):
        curve = tuning_curve(rng.uniform(size=41), "min")
        truth = 1 - 0.5 ** (1 / curve["x"].to_numpy())
        low, high = curve["low"].fillna(-math.inf), curve["high"].fillna(math.inf)
        held.append(bool(((low <= truth) & (truth <= high)).all()))
    assert np.mean(held) >= 0.94


def test_bands_are_quantiles_of_a_known_distance() -> None:
    """At n = 1 those at 1/2 ± √(ln(2/0.05) / 2N)."""
    ys = np.arange(1000.0)
    first = tuning_curve(ys, "min").iloc[0]
    distance = 1000 * math.sqrt(math.log(2 / 0.05) / 2000)
    assert first["low"] == pytest.approx(500 - distance, abs=2)
    assert first["high"] == pytest.approx(500 + distance, abs=2)


def test_what_diverged_is_worse_than_all_else() -> None:
    ys = np.array([1.0, 2.0, 3.0, math.inf, math.inf])
    curve = tuning_curve(ys, "min").set_index("x")["value"]
    assert curve[1] == 3
    assert curve[5] == 1
    assert math.isnan(tuning_curve(np.array([1.0, math.inf, math.inf]), "min")["value"].iloc[0])


def test_enough_tries() -> None:
    curve = tuning_curve(np.linspace(0, 1, 1001), "min")
    # 0.5 at first, 0 in the end: nine tenths are gained at 2^(−1/n) = 0.95.
    expected = math.log(2) / -math.log(0.95)
    assert enough_tries(curve) == pytest.approx(expected, rel=0.15)
    assert enough_tries(tuning_curve(np.ones(9), "min")) is None


AXES = {"optimizer.lr": [float(x) for x in np.geomspace(0.01, 1, 30)], "optimizer.kind": ["a", "b"]}


def _study(gap: float) -> Any:
    def planted(at: dict[str, Any], seed: int) -> float | str:
        if at["optimizer.lr"] > 0.9:
            return "diverged"
        return 1 + abs(math.log10(at["optimizer.lr"])) + gap * (at["optimizer.kind"] == "b")

    return planted


@pytest.mark.parametrize(("gap", "clear"), [(3.0, True), (0.0, False)])
def test_methods_whose_bands_are_apart_are_told_apart(
    tmp_path: Path, gap: float, clear: bool
) -> None:
    section = tuning_curve_section(plant(tmp_path, _study(gap), AXES, seeds=1))
    assert section is not None
    assert ("The band of a is clear of b" in section.finding) == clear
    assert "with 30 tries, nine tenths of the gain with" in section.finding
    assert set(section.figures[0].data["group"]) == {"a", "b"}


def test_few_configurations_have_no_curve(tmp_path: Path) -> None:
    few = {"optimizer.lr": [0.1, 0.2, 0.3]}
    assert tuning_curve_section(plant(tmp_path / "a", lambda at, seed: 1.0, few)) is None
    lost = plant(tmp_path / "b", lambda at, seed: "diverged", AXES)
    assert tuning_curve_section(lost) is None
