"""The curve log S = a + log(1 + β / B), fitted to many samples at a time; some of S are bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.report.large_batch.trials import best

Floats = NDArray[np.float64]
REACH = 1e3
"""How far beyond the measured batch sizes β is searched: there a curve is flat, or S ∝ 1/B, to a
part in a thousand."""
GRID = 161
ROUNDS = 40
LEAST_SCATTER = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """One entry a batch size, K in all."""

    sizes: Floats
    y: Floats
    """log S, or for one that did not reach the target the log of the steps it was trained, (K,)."""
    reached: NDArray[np.bool_]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Data:
        """Of the trials of one group; what is infeasible or incomplete says nothing.

        The best of several noisy points is, on the average, worse than it looked. So each seed is
        measured at the point that is best by the other seeds, and their logs are averaged. With one
        seed, or of points without their seeds, it is the best point as it looked.
        """
        chosen = table if "edge" in table else best(table)
        kept = chosen[chosen["status"].isin(["reached", "unreached"]) & (chosen["steps"] > 0)]
        sizes = kept["batch_size"].to_numpy(dtype=np.float64)
        reached = kept["status"].to_numpy() == "reached"
        y = np.log(np.where(reached, _middle(kept, kept["steps"]), kept["steps"]))
        if "seed" in table:
            for place in np.flatnonzero(reached):
                y[place] = _by_other_seeds(table[table["batch_size"] == sizes[place]])
        return cls(sizes=sizes, y=y, reached=reached)

    @property
    def ends(self) -> tuple[float, float]:
        """Between which β is searched."""
        return float(self.sizes.min() / REACH), float(self.sizes.max() * REACH)


def _middle(rows: pd.DataFrame, steps: pd.Series) -> pd.Series:
    """The middle of the steps in which the target was passed: evaluations lie apart."""
    return steps - (rows["resolution"] - 1) / 2


def _by_other_seeds(some: pd.DataFrame) -> float:
    """Mean over seeds of log S at the point with the lowest median over the others, (P, seeds)."""
    whole = (some["status"] == "reached").groupby(some["point"]).transform("all")
    steps = np.log(_middle(some, some["steps"])[whole]).groupby(
        [some["point"], some["seed"]], sort=False
    )
    wide = steps.mean().unstack().reindex(some.loc[whole, "point"].unique()).dropna(axis=1)
    logs = wide.to_numpy(dtype=np.float64)
    if logs.shape[1] < 2:
        return float(np.median(logs, axis=1).min())
    seeds = range(logs.shape[1])
    chosen = [int(np.median(np.delete(logs, seed, axis=1), axis=1).argmin()) for seed in seeds]
    return float(logs[chosen, seeds].mean())


def fitted(data: Data, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Maximum likelihood for each sample.

    Args:
        y: log S of samples, (R, K); where ``data.reached`` is false, bounds.

    Returns:
        Levels e^a, ratios β and residual standard deviations s with s² = Σ r² / (n − 2) over the
        n batch sizes that reached the target, (R,) each.
    """
    low, high = np.log(data.ends)
    grid = np.linspace(low, high, GRID)
    shapes = np.log1p(np.exp(grid)[:, None] / data.sizes)  # (G, K)
    a, beta = _least_squares(data.sizes, grid, shapes, y, data.reached)
    n = int(data.reached.sum())
    s = _scatter(data, y, a, beta, n)
    if not data.reached.all():
        filled = y.copy()
        for _ in range(ROUNDS):
            bounds = _mean_beyond(data, y, a, beta, s)
            filled = np.where(data.reached, y, bounds)
            a, beta = _least_squares(data.sizes, grid, shapes, filled, np.ones_like(data.reached))
            s = _scatter(data, y, a, beta, n)
    # Where larger batches never come to the target, a sample's level may have no bound.
    return np.exp(np.clip(a, -300, 300)), np.exp(beta), s


def residual_samples(
    data: Data, level: float, ratio: float, scatter: float, replicates: int, seed: int
) -> Floats:
    """log S of a bootstrap, (R, K): the curve and residuals drawn anew, see ``fit``.

    What was censored stays so, at its bound.
    """
    curve = np.log(level) + np.log1p(ratio / data.sizes)
    rng = np.random.default_rng(seed)
    n = int(data.reached.sum())
    r = (data.y - curve)[data.reached]
    r = r - r.mean()
    size = np.sqrt(np.mean(r**2))
    r = r / size if size > 0 else r
    drawn = rng.choice(r, size=(replicates, data.sizes.size))
    scale = scatter * np.sqrt((n - 2) / rng.chisquare(n - 2, size=(replicates, 1)))
    return np.where(data.reached, curve + scale * drawn, data.y)


def _least_squares(
    sizes: Floats, grid: Floats, shapes: Floats, y: Floats, used: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """a and log β, (R,): a is a mean for each β, and β is the best of the grid, then of the
    parabola through it and its neighbours."""
    x, z = shapes[:, used], y[:, used]
    x0, z0 = x - x.mean(1, keepdims=True), z - z.mean(1, keepdims=True)
    # Σ (z0 − x0)² without its constant part, (R, G)
    cost = (x0**2).sum(1) - 2 * z0 @ x0.T
    at = cost.argmin(1)
    inner = np.clip(at, 1, grid.size - 2)
    rows = np.arange(len(y))
    left, middle, right = (cost[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.where(bend > 0, 0.5 * (left - right) / np.where(bend > 0, bend, 1), 0.0)
    spacing = grid[1] - grid[0]
    beta = np.where(at == inner, grid[inner] + np.clip(shift, -1, 1) * spacing, grid[at])
    a = (z - np.log1p(np.exp(beta)[:, None] / sizes[used])).mean(1)
    return a, beta


def _scatter(data: Data, y: Floats, a: Floats, beta: Floats, n: int) -> Floats:
    r = y - a[:, None] - np.log1p(np.exp(beta)[:, None] / data.sizes)
    total = (r[:, data.reached] ** 2).sum(1)
    found: Floats = np.maximum(np.sqrt(total / max(n - 2, 1)), LEAST_SCATTER)
    return found


def _mean_beyond(data: Data, bounds: Floats, a: Floats, beta: Floats, s: Floats) -> Floats:
    """E[y | y > c] = μ + s φ(u) / Φ(−u), u = (c − μ) / s, (R, K)."""
    from scipy.special import log_ndtr  # slow to import, and most studies have no bounds

    mean = a[:, None] + np.log1p(np.exp(beta)[:, None] / data.sizes)
    u = (bounds - mean) / s[:, None]
    log_density = -0.5 * u**2 - 0.5 * np.log(2 * np.pi)
    found: Floats = mean + s[:, None] * np.exp(log_density - log_ndtr(-u))
    return found
