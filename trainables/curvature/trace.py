"""Hutchinson's estimate of a trace, with its standard error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.curvature.lanczos import Column
from trainables.curvature.vectors import Flat, inner


class Trace(NamedTuple):
    """Of each lane, (L,)."""

    value: Column
    error: Column
    """Standard error of the mean over vectors; NaN of a single one."""


def trace(samples: Column) -> Trace:
    """tr A = E[zᵀ A z] where E[z zᵀ] = I (Hutchinson 1990).

    Var[zᵀ A z] = 2 (‖A‖² − Σ aᵢᵢ²) for z of ±1, so that a diagonal A is told exactly.

    Args:
        samples: zᵀ A z of each vector and lane, (V, L).
    """
    count = len(samples)
    mean: Column = samples.mean(0)
    if count < 2:
        return Trace(mean, np.full_like(mean, np.nan))
    error: Column = samples.std(0, ddof=1) / count**0.5
    return Trace(mean, error)


def quadratic_forms(product: Flat, vectors: list[Tensor]) -> Column:
    """zᵀ A z for each of V vectors (L, P), (V, L): the samples of ``trace``."""
    return torch.stack([inner(z, product(z)) for z in vectors]).cpu().numpy()
