"""Gradients by a network's outputs whose squares are the Fisher matrix of the outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.configs.kronecker import Fisher
from trainables.curvature import sampling
from trainables.gradients import Batch
from trainables.losses import Loss

_CALL = 1 << 10
"""Of the targets drawn here; calls below are for what else a step draws."""


def output_gradients(
    fisher: Fisher, name: str, loss: Loss, outputs: Tensor, batch: Batch
) -> list[Tensor]:
    """Gradients u (L, B, …, C) by the outputs f, for which Σ u uᵀ is a prediction's Fisher matrix.

    They are of each prediction's own loss: not divided by how many there are. ``sampled``: one,
    with a target drawn from the model, so that E[u uᵀ] is the Hessian of the loss by f.
    ``empirical``: one, of the loss that trains, with label smoothing, at the training targets.
    ``exact``: as many as outputs, the columns of a root of that Hessian.

    Args:
        name: of the loss, which with smoothed labels is ``loss``.
    """
    if fisher == "exact":
        return ROOTS[name](outputs)
    if fisher == "sampled":
        targets = sampling.drawn(name, outputs, batch.keys, _CALL)
        return [RESIDUALS[name](outputs, targets)]
    return [loss(outputs, batch.targets).gradient * predictions(outputs)]


def predictions(outputs: Tensor) -> int:
    """Of a lane's batch: B of outputs (L, B, C), B T of (L, B, T, C)."""
    return outputs[0, ..., 0].numel()


def _class_residual(z: Tensor, y: Tensor) -> Tensor:
    """softmax(z) − onehot(y)."""
    p = sampling.probabilities(z)
    return p.scatter_add_(-1, y.unsqueeze(-1), p.new_full((), -1.0).expand(*y.shape, 1))


RESIDUALS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _class_residual,
    "logistic": lambda z, y: z.sigmoid() - y.unsqueeze(-1),
    "quadratic": lambda z, y: z - y,
    "bernoulli": lambda z, y: z.sigmoid() - y,
}
"""Loss → (outputs z, targets) → the gradient of each prediction's own loss by z: what
``losses.LOSSES`` gives times their number, and nothing of the rest."""


def _softmax(z: Tensor) -> list[Tensor]:
    """√p_y (onehot(y) − p) for each class y: Σ_y p_y (onehot(y) − p)(…)ᵀ = diag(p) − p pᵀ."""
    p = z.softmax(-1)
    units = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    return [p[..., y : y + 1].sqrt() * (units[y] - p) for y in range(z.shape[-1])]


def _sigmoid(z: Tensor) -> list[Tensor]:
    """√(σ(z) (1 − σ(z)))."""
    p = z.sigmoid()
    return [(p * (1 - p)).sqrt()]


def _sigmoids(z: Tensor) -> list[Tensor]:
    """√(σ(z_c) (1 − σ(z_c))) times the unit vector of each output c."""
    p = z.sigmoid()
    return [(p * (1 - p)).sqrt() * unit for unit in _units(z)]


def _units(z: Tensor) -> list[Tensor]:
    """The unit vectors."""
    units = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    return [unit.expand_as(z) for unit in units]


ROOTS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "cross_entropy": _softmax,
    "logistic": _sigmoid,
    "quadratic": _units,
    "bernoulli": _sigmoids,
}
"""Loss → (outputs z (L, B, …, C)) → columns s with Σ s sᵀ = the Hessian of a prediction's loss."""
