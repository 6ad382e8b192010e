"""First and second derivatives of each lane's loss, through autograd.

They go through autograd twice, which the losses' own gradients (``losses``) do not bear; so the
losses are written here once more, as PyTorch has them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.forward import Network, training_pass
from trainables.gradients import Batch
from trainables.lanes import Tree


def _cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """z (L, B, …, C), y (L, B, …) → (L,)."""
    losses = F.cross_entropy(z.flatten(0, -2), y.flatten(), reduction="none")
    return losses.view(len(z), -1).mean(1)


def _logistic(z: Tensor, y: Tensor) -> Tensor:
    """z (L, B, 1), y (L, B) → (L,)."""
    z = z.squeeze(-1)
    return F.binary_cross_entropy_with_logits(z, y.to(z.dtype), reduction="none").mean(1)


def _quadratic(z: Tensor, y: Tensor) -> Tensor:
    """z and y (L, B, C) → (L,)."""
    return (z - y).square().sum(-1).mean(1) / 2


def _bernoulli(z: Tensor, y: Tensor) -> Tensor:
    """z and y (L, B, C) → (L,)."""
    return F.binary_cross_entropy_with_logits(z, y, reduction="none").sum(-1).mean(1)


MEAN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "logistic": _logistic,
    "quadratic": _quadratic,
    "bernoulli": _bernoulli,
}


class Objective(NamedTuple):
    """Each lane's mean loss of a batch as a function of its weights: a pass as in training.

    Products are in the type of the weights, whatever training's are: small gradients count.
    """

    network: Network
    buffers: Tree
    batch: Batch
    loss: str
    """A name of ``MEAN_LOSSES``."""
    label_smoothing: float = 0.0

    def __call__(self, params: Tree) -> Tensor:
        """(L,), with a way back for autograd."""
        outputs, targets = self.outputs(params), self.batch.targets
        losses = MEAN_LOSSES[self.loss](outputs, targets)
        if self.label_smoothing:
            chosen = outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
            lead = chosen - outputs.mean(-1)
            losses = losses + self.label_smoothing * lead.flatten(1).mean(1)
        return losses

    def outputs(self, params: Tree) -> Tensor:
        """(L, B, …, C), with a way back for autograd."""
        batch = self.batch
        exact = dataclasses.replace(self.network, low=None)
        outputs, _ = training_pass(exact, params, self.buffers, batch.x, batch.keys)
        return outputs.to(next(iter(params.values())).dtype)


def gradient(objective: Objective, params: Tree, names: Sequence[str]) -> Tree:
    """∂f/∂w of each lane by the parameters of these names, (L, …)."""
    leaves = leaves_of(params, names)
    with torch.enable_grad():
        return gradient_of(objective(params | leaves).sum(), leaves)


def hessian_of_gradient(objective: Objective, params: Tree, masks: Tree) -> Tree:
    """H g of each lane, g and H the gradient and Hessian by the weights that masks leave, (L, …).

    Lanes share nothing, so the gradient of Σ gᵀ stop(g) over lanes is each lane's own H g.
    """
    leaves = leaves_of(params, [*masks])
    with torch.enable_grad():
        found = gradient_of(objective(params | leaves).sum(), leaves, again=True)
        length = sum((g * (g.detach() * masks[name])).sum() for name, g in found.items())
        assert isinstance(length, Tensor)
        return gradient_of(length, leaves)


def leaves_of(params: Tree, names: Iterable[str]) -> Tree:
    """Copies of the parameters of these names, from which derivatives are taken."""
    return {name: params[name].detach().clone().requires_grad_() for name in names}


def gradient_of(value: Tensor, leaves: Tree, *, again: bool = False) -> Tree:
    """∂value/∂leaf of each, 0 where it has no part; ``again``: to be differentiated once more."""
    found = torch.autograd.grad(
        value,
        list(leaves.values()),
        create_graph=again,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(leaves, found, strict=True))
