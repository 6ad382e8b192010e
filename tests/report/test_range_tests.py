"""Predictions of a range test on curves whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from orchestrator.report.range_tests import geometric_interval, middles, read_test

RATES = 10.0 ** np.linspace(-4, 1, 101)


def curve(fall: float = 0.01, edge: float = 0.5) -> np.ndarray:
    """Falls from 2 to 1 as a logistic in log₁₀ lr, steepest at ``fall``; 1e3 above ``edge``."""
    logs = np.log10(RATES)
    losses = 1 + 1 / (1 + np.exp(5 * (logs - math.log10(fall))))
    return np.where(edge < RATES, 1e3, losses)


def test_planted_fall_and_edge() -> None:
    said = read_test(RATES, curve(), diverged=False)
    assert said.steepest == pytest.approx(0.01, rel=1e-9)
    # The last point of the grid that is not above 0.5.
    assert said.edge == pytest.approx(RATES[RATES <= 0.5][-1])
    assert said.below_edge == pytest.approx(said.edge / 10)


def test_a_test_that_ends_before_divergence_has_no_edge() -> None:
    said = read_test(RATES, curve(edge=100.0), diverged=False)
    assert math.isnan(said.edge)
    assert math.isnan(said.below_edge)
    assert said.steepest == pytest.approx(0.01, rel=1e-9)


def test_the_end_by_divergence_is_an_edge() -> None:
    kept = RATES <= 0.5
    said = read_test(RATES[kept], curve()[kept], diverged=True)
    assert said.edge == pytest.approx(RATES[kept][-1])
    losses = curve(edge=100.0)
    losses[70:] = np.nan
    assert read_test(RATES, losses, diverged=False).edge == pytest.approx(RATES[69])


def test_a_loss_that_only_grows_predicts_nothing() -> None:
    said = read_test(RATES, 1 + RATES, diverged=False)
    assert math.isnan(said.steepest)
    assert math.isnan(said.edge)
    assert math.isnan(read_test(RATES[:2], RATES[:2], diverged=False).steepest)


def test_small_noise_at_the_bottom_is_no_edge() -> None:
    losses = curve(edge=100.0) - 1 + 1e-4
    losses[-3:] *= 10  # ten times the lowest loss, and still nothing of what was gained
    assert math.isnan(read_test(RATES, losses, diverged=False).edge)


def test_middles_of_a_geometric_grid() -> None:
    rates = np.array([0.1, 0.4, 1.6])
    assert middles(rates) == pytest.approx([0.05, 0.2, 0.8])
    assert middles(np.array([0.3])) == pytest.approx([0.3])


def test_geometric_interval_is_scipys() -> None:
    rates = 10 ** np.random.default_rng(0).normal(size=5)
    mean, low, high = geometric_interval(np.append(rates, math.nan))
    logs = np.log10(rates)
    ends = stats.t.interval(0.95, 4, loc=logs.mean(), scale=stats.sem(logs))
    assert (math.log10(mean), math.log10(low), math.log10(high)) == pytest.approx(
        (logs.mean(), *ends)
    )
    assert math.isnan(geometric_interval(np.array([0.1]))[1])
    assert math.isnan(geometric_interval(np.array([math.nan]))[0])
