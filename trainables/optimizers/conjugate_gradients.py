"""Conjugate gradients in every lane at once, as Hessian-free optimization truncates them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.optimizers.lag import Over
from trainables.optimizers.second_order import products

_GAP = 10, 0.1
"""Progress is looked at over max(10, i/10) iterations (Martens 2010, section 4.4)."""
_KEPT = 1.3
"""Iterates are kept at the 1.3ʲ-th iterations (Martens 2010, section 4.6)."""


class Found(NamedTuple):
    kept: list[Tensor]
    """Iterates (L, P), the last one at the end; a lane that is done stays as it is."""
    models: list[Tensor]
    """φ(x) = ½ xᵀA x − bᵀx after 0, 1, … iterations, (L,) float64 each."""
    residuals: list[Tensor]
    """|b − A x|, likewise."""


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
    inverse: Tensor | None,
    *,
    iterations: int,
    tolerance: Tensor,
) -> Found:
    """Minimizes φ(x) = ½ xᵀA x − bᵀx, A symmetric and positive semi-definite in each lane.

    Preconditioned conjugate gradients (Nocedal & Wright 2006, algorithm 5.3). A lane is done at
    iteration i where i > k, φ(x_i) < 0 and (φ(x_i) − φ(x_{i−k})) / φ(x_i) < kε, k = max(10, i/10)
    (Martens 2010, section 4.4), where its residual is 0, or where A has no positive curvature
    along its direction; it then waits for the others, and its x stays to the last bit.

    Args:
        product: v → A v, (L, P).
        right: b; start: the first x, (L, P).
        inverse: the preconditioner's inverse, a diagonal (L, P); None: none.
        iterations: at most.
        tolerance: ε, (L,) float64.
    """

    def shape(values: Tensor) -> Tensor:
        return values.to(right.dtype).unsqueeze(1)

    x = start
    r = right - product(x)
    y = r if inverse is None else inverse * r
    p, length = y, products(r, y)
    found = Found([], [-products(right + r, x) / 2], [products(r, r).sqrt()])
    done, over, keep = ~(length > 0), Over(right.device), 1
    for i in range(1, iterations + 1):
        along = product(p)
        curvature = products(p, along)
        done = done | ~(curvature > 0)
        rate = shape(torch.where(done, 0, length / curvature))
        x, r = x + rate * p, r - rate * along
        y = r if inverse is None else inverse * r
        new = products(r, y)
        p = torch.where(done.unsqueeze(1), p, y + shape(new / length) * p)
        length = torch.where(done, length, new)
        found.models.append(-products(right + r, x) / 2)
        found.residuals.append(products(r, r).sqrt())
        done = done | ~(length > 0) | _idle(found.models, tolerance)
        if i >= keep:
            found.kept.append(x)
            keep = max(i + 1, math.ceil(keep * _KEPT))
        if over.says(done.all()):
            break
    if found.kept[-1] is not x:
        found.kept.append(x)
    return found


def _idle(models: list[Tensor], tolerance: Tensor) -> Tensor:
    """Whether the model has fallen too little in the last iterations, (L,) bool."""
    i = len(models) - 1
    gap = max(_GAP[0], math.floor(_GAP[1] * i))
    last = models[-1]
    if i <= gap:
        return torch.zeros_like(last, dtype=torch.bool)
    return (last < 0) & ((last - models[-1 - gap]) / last < gap * tolerance)
