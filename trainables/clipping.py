"""Gradient clipping, with a bound for each lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.configs.run import Train
from trainables.lanes import Tree, norm, per_lane


class Bounds(NamedTuple):
    """What gradients are clipped to, (L,) float64 each; None where they are not."""

    norm: Tensor | None
    value: Tensor | None

    @classmethod
    def of(cls, trains: Sequence[Train], device: torch.device) -> Bounds:
        """The bounds of lanes that agree (``fusion_key``) on whether there are any."""

        def column(values: Sequence[float | None]) -> Tensor | None:
            if values[0] is None:
                return None
            return torch.tensor(values, dtype=torch.float64, device=device)

        return cls(
            column([train.clip_norm for train in trains]),
            column([train.clip_value for train in trains]),
        )


def clip(gradients: Tree, bounds: Bounds) -> Tree:
    """g ← g · min(1, c / (‖g‖ + 10⁻⁶)), ‖g‖ over all parameters; or each entry into [−v, v].

    As ``torch.nn.utils.clip_grad_norm_`` and ``clip_grad_value_``, lane by lane (Pascanu,
    Mikolov & Bengio 2013). The norm is taken in float64. Nothing is read from the device.
    """
    if bounds.norm is not None:
        factor = (bounds.norm / (norm(gradients) + 1e-6)).clamp(max=1)
        gradients = {n: g * per_lane(factor.to(g.dtype), g) for n, g in gradients.items()}
    if bounds.value is not None:
        gradients = {n: _into(g, bounds.value) for n, g in gradients.items()}
    return gradients


def _into(gradient: Tensor, bound: Tensor) -> Tensor:
    limit = per_lane(bound.to(gradient.dtype), gradient)
    return torch.clamp(gradient, -limit, limit)
