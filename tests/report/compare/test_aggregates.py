"""Aggregates against scipy, hand-worked cases, and what rliable's paper defines."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from orchestrator.report.compare.aggregates import (
    bootstrap,
    iqm,
    iqm_of,
    normalized,
    probability_of_improvement,
)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 2), (5, 7), (11, 13)])
def test_iqm_is_the_trimmed_mean_of_all_runs_on_all_tasks(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(3).normal(size=shape) ** 3
    assert iqm(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None), rel=1e-12)


def test_iqm_by_hand() -> None:
    """Of 8 scores the lowest two and the highest two are left out."""
    assert iqm(np.array([[100.0, 1, 2, 3], [-100, 4, 5, 6]])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert iqm_of([np.array([100.0, 1, 2]), np.array([3.0, -100, 4, 5, 6])]) == pytest.approx(3.5)


def test_probability_of_improvement_is_mann_whitneys_u_over_the_pairs() -> None:
    rng = np.random.default_rng(5)
    x = [rng.integers(0, 5, n).astype(float) for n in (5, 7, 11)]
    y = [rng.integers(0, 5, n).astype(float) for n in (3, 13, 2)]
    expected = np.mean(
        [
            mannwhitneyu(a, b, alternative="greater").statistic / (len(a) * len(b))
            for a, b in zip(x, y, strict=True)
        ]
    )
    assert probability_of_improvement(x, y) == pytest.approx(expected, rel=1e-12)


def test_probability_of_improvement_by_hand() -> None:
    """First task: 3 beats both, 1 ties with 1 and loses to 2: 2.5 of 4 pairs. Second: never."""
    x = [np.array([3.0, 1.0]), np.array([0.0])]
    y = [np.array([1.0, 2.0]), np.array([1.0, 1.0, 1.0])]
    assert probability_of_improvement(x, y) == pytest.approx((2.5 / 4 + 0) / 2)
    assert probability_of_improvement(y, x) == pytest.approx(1 - (2.5 / 4 + 0) / 2)


def test_bootstrap_is_stratified() -> None:
    """Tasks whose runs are all equal leave nothing to chance, however far apart they are."""
    samples = [[np.full(3, 0.0), np.full(3, 10.0), np.full(5, 100.0)]]
    low, high = bootstrap(samples, lambda tasks: float(np.mean([t.mean() for t in tasks])))
    assert low == high == pytest.approx(110 / 3)


def test_bootstrap_quantiles_are_those_of_all_draws() -> None:
    """Of three runs there are 27 equally likely draws: quantiles of their means are known."""
    runs = np.array([0.0, 1.0, 5.0])
    means = sorted(np.mean(draw) for draw in itertools.product(runs, repeat=3))
    low, high = bootstrap([[runs]], iqm_of, resamples=4001, confidence=0.8)
    assert low == pytest.approx(means[round(0.1 * 26)])
    assert high == pytest.approx(means[round(0.9 * 26)])


def test_bootstrap_draws_contenders_apart() -> None:
    """The same runs as two contenders: drawn together they would always tie."""
    runs = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    low, high = bootstrap([[runs], [runs]], probability_of_improvement, resamples=500)
    assert low < 0.4 < 0.6 < high


def test_coverage_of_the_interval() -> None:
    """With 23 runs on each of 3 tasks, 95 % intervals hold the true IQM in about 95 % of studies.

    A symmetric distribution, whose interquartile mean is its centre.
    """
    rng = np.random.default_rng(7)
    held = 0
    for study in range(300):
        samples = [[rng.normal(0, 1, 23) for _ in range(3)]]
        low, high = bootstrap(samples, iqm_of, resamples=200, seed=study)
        held += low <= 0 <= high
    assert 0.91 <= held / 300 <= 0.98


def test_normalized_by_hand() -> None:
    scores = {
        "a": {"t": np.array([1.0, 3.0]), "u": np.array([7.0, 7.0])},
        "b": {"t": np.array([5.0]), "u": np.array([7.0])},
    }
    up = normalized(scores, higher=True)
    assert up["a"]["t"].tolist() == [0.0, 0.5]
    assert up["b"]["t"].tolist() == [1.0]
    assert up["a"]["u"].tolist() == [0.5, 0.5]
    assert normalized(scores, higher=False)["a"]["t"].tolist() == [1.0, 0.5]
