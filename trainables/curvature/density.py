"""Stochastic Lanczos quadrature: how a matrix's eigenvalues are spread, from products alone.

Ghorbani, Krishnan & Xiao 2019 (arXiv 1901.10159), algorithm 1. For a random start z with
E[z zᵀ] = I, zᵀ f(A) z / n has the mean tr f(A) / n = ∫ f dφ, φ being the spectral density, and
the Lanczos iteration from z gives it as Σᵢ ωᵢ f(θᵢ) (``lanczos.Ritz``). The mean over several z
estimates φ, here smoothed by a Gaussian.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainables.curvature.lanczos import Column, Ritz

POINTS = 101
_WIDTH = 0.01
"""Of the Gaussian, relative to the range of the nodes: about a point of the grid."""


class Quadrature(NamedTuple):
    """∫ f dφ ≈ Σ ω f(θ) in each lane."""

    nodes: Column
    """θ, (L, V m)."""
    weights: Column
    """ω, (L, V m): their sum is 1."""


class Density(NamedTuple):
    """The share of eigenvalues per unit, in each lane."""

    grid: Column
    """(L, points)."""
    values: Column
    """(L, points)."""


def quadrature(several: list[Ritz]) -> Quadrature:
    """The mean over starts. NaN weights in lanes that were broken."""
    nodes = np.concatenate([one.values for one in several], 1)
    weights = np.concatenate([one.weights for one in several], 1) / len(several)
    return Quadrature(np.where(np.isnan(nodes), 0.0, nodes), weights)


def density(found: Quadrature, points: int = POINTS, width: float = _WIDTH) -> Density:
    """φ(x) = Σ ω N(x; θ, σ²) on a grid that reaches 3σ beyond the nodes.

    σ is ``width`` of the range of the nodes (of the largest one, where all are one).
    """
    nodes, weights = found
    used = weights > 0
    low = np.where(used, nodes, np.inf).min(1)
    high = np.where(used, nodes, -np.inf).max(1)
    with np.errstate(invalid="ignore"):
        spread = high - low
    spread = np.where(spread > 0, spread, np.maximum(np.abs(high), np.finfo(float).tiny))
    sigma = np.where(np.isfinite(spread), width * spread, np.nan)[:, None]
    low, high = low[:, None] - 3 * sigma, high[:, None] + 3 * sigma
    grid = low + (high - low) * np.linspace(0, 1, points)
    away = (grid[:, :, None] - nodes[:, None, :]) / sigma[:, :, None]
    bumps = np.exp(-(away**2) / 2) / (np.sqrt(2 * np.pi) * sigma[:, :, None])
    return Density(grid, (bumps * weights[:, None, :]).sum(2))
