"""Noisy quadratics whose steps to a target are known in closed form, and SGD on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.report.large_batch.tables import table, trial

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Diagonal:
    """Zhang et al. (2019), "Which Algorithmic Choices Matter at Which Batch Sizes?", section 3.

    Loss ½ Σ h_i θ_i², gradient noise of variance c_i / B: E θ_i² becomes
    (1 − η h_i)² E θ_i² + η² c_i / B in a step, so with q = (1 − η h_i)² after t steps
    q^t θ_i² + η² c_i / B · (1 − q^t) / (1 − q).
    """

    h: Floats
    c: Floats
    start: Floats
    """E θ_i² at the start."""
    share: float
    """The target, of the loss at the start."""

    @property
    def target(self) -> float:
        return float(self.share * self.h @ self.start / 2)

    def loss(self, t: float, eta: float, size: float) -> float:
        q = (1 - eta * self.h) ** 2
        floor = eta**2 * self.c / size / (1 - q)
        return float(self.h @ (floor + (self.start - floor) * q**t) / 2)

    def steps(self, eta: float, size: float) -> float:
        """Real t at which the expected loss is at the target; infinity where it never is."""
        if self.loss(1e9, eta, size) >= self.target:
            return np.inf
        low, high = 0.0, 1.0
        while self.loss(high, eta, size) > self.target:
            low, high = high, 2 * high
        for _ in range(30):
            middle = (low + high) / 2
            above = self.loss(middle, eta, size) > self.target
            low, high = (middle, high) if above else (low, middle)
        return high

    def best(self, size: float, points: int = 200) -> tuple[float, float]:
        """Steps with the best rate, and the rate."""
        rates = 1.998 / self.h.max() * np.geomspace(1e-5, 1, points)
        each = [self.steps(eta, size) for eta in rates]
        return min(zip(each, rates.tolist(), strict=True))

    def s_min(self) -> float:
        """Without noise."""
        return self.best(1e15)[0]

    def e_min(self) -> float:
        """As B and η go to 0 with τ = η t fixed, t B = τ Σ ¼ c_i (1 − e^{−2 h_i τ}) / (target −
        ½ Σ h_i θ_i² e^{−2 h_i τ}); the least over τ."""
        tau = np.geomspace(1e-2, 1e4, 20_001)[:, None]
        decay = np.exp(-2 * self.h * tau)
        noise = tau[:, 0] * ((1 - decay) @ self.c) / 4
        left = self.target - decay @ (self.h * self.start) / 2
        return float(np.min(np.where(left > 0, noise / np.where(left > 0, left, 1), np.inf)))


@dataclass(frozen=True, kw_only=True)
class Round:
    """A quadratic in d dimensions, all curvatures 1, with noise in proportion to the distance:
    the gradient is θ + |θ| (√(k0 / d) u + √(k / (B d)) z) with u, z ~ N(0, I), k0 being noise
    that no batch averages out.

    E |θ|² becomes |θ|² ((1 − η)² + η² (k0 + k / B)), least with η = 1 / (1 + k0 + k / B), where it
    is |θ|² (1 − 1 / (1 + k0 + k / B)). With L = log(|θ|² at the start / at the target) and
    −1 / log(1 − 1/x) = x − ½ − O(1/x), S = L (k0 + ½ + k / B): B_noise is the same all along, as
    McCandlish et al. (appendix D) assume for their curve.
    """

    d: int = 397
    k0: float = 20.0
    k: float = 20.5 * 61
    L: float = 3.0

    @property
    def s_min(self) -> float:
        return -self.L / float(np.log1p(-1 / (1 + self.k0)))

    @property
    def e_min(self) -> float:
        return self.L * self.k

    def rate(self, size: float) -> float:
        return 1 / (1 + self.k0 + self.k / size)

    def passages(
        self, rng: np.random.Generator, eta: float, size: float, count: int, budget: int
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """SGD: steps until |θ|² is at the target, and whether that was within the budget.

        The new |θ|² depends on |θ| alone: ((1 − η) + η v)² + η² s² χ²_{d−1} with v ~ N(0, s²),
        s² = (k0 + k / B) / d the variance of the noise in each dimension.
        """
        s2 = (self.k0 + self.k / size) / self.d
        log_norm, steps = np.full(count, self.L), np.full(count, float(budget))
        left = np.arange(count)
        for t in range(1, budget + 1):
            along = (1 - eta) + eta * np.sqrt(s2) * rng.standard_normal(left.size)
            across = eta**2 * s2 * rng.chisquare(self.d - 1, left.size)
            log_norm[left] += np.log(along**2 + across)
            reached = log_norm[left] <= 0
            steps[left[reached]] = t
            left = left[~reached]
            if left.size == 0:
                break
        return steps, log_norm <= 0


def studies(
    problem: Round, rng: np.random.Generator, sizes: list[int], *, seeds: int, count: int
) -> list[pd.DataFrame]:
    """Trials of SGD with rates by √2 around the best of each size, ``count`` times."""
    rows = []
    for size in sizes:
        for exponent in range(-3, 3):
            rate = problem.rate(size) * 2 ** (exponent / 2)
            budget = int(3 * problem.L / problem.rate(size))
            steps, reached = problem.passages(rng, rate, size, seeds * count, budget)
            rows += [
                trial(
                    size,
                    rate,
                    "reached" if reached[lane] else "unreached",
                    steps[lane],
                    seed=lane % seeds,
                    study=lane // seeds,
                )
                for lane in range(seeds * count)
            ]
    return [some for _, some in table(*rows).groupby("study")]
