"""Products of curvature matrices with vectors, in every lane at once and without the matrices.

The graph of a batch is made once; each product is then one or two passes back through it
(Pearlmutter 1994; Schraudolph 2002). Lanes share nothing, so the derivative of a sum over lanes
is each lane's own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.curvature.objective import Objective, gradient_of, leaves_of
from trainables.lanes import Tree

Product = Callable[[Tree], Tree]
"""v → M v in each lane; trees like the parameters, (L, …)."""


def hessian(objective: Objective, params: Tree) -> tuple[Product, Tree]:
    """v → H v of each lane's mean loss, and its gradient.

    H v = ∇(∇fᵀ v) (Pearlmutter 1994).
    """
    leaves = leaves_of(params, params)
    with torch.enable_grad():
        gradient = gradient_of(objective(leaves).sum(), leaves, again=True)

    def product(vector: Tree) -> Tree:
        return back(along(gradient, vector), leaves)

    return product, {name: g.detach() for name, g in gradient.items()}


def gauss_newton(objective: Objective, params: Tree) -> Product:
    """v → Jᵀ H_f J v of each lane's mean loss: the generalized Gauss–Newton matrix.

    J is the Jacobian of the outputs f by the weights, H_f the Hessian of the mean loss by the
    outputs (``OUTPUT_HESSIANS``), which is positive semi-definite (Schraudolph 2002). For the
    losses here it is the Fisher matrix of the model's own predictions (Martens 2020, section 9).
    J v is the derivative by u of (Jᵀ u)ᵀ v.
    """
    leaves = leaves_of(params, params)
    with torch.enable_grad():
        outputs = objective.outputs(leaves)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = back(outputs, leaves, u, again=True)
    at = outputs.detach()
    curve = OUTPUT_HESSIANS[objective.loss]

    def product(vector: Tree) -> Tree:
        (pushed,) = torch.autograd.grad(along(pulled, vector), u, retain_graph=True)
        return back(outputs, leaves, curve(at, pushed))

    return product


def along(tree: Tree, vector: Tree) -> Tensor:
    """Σ treeᵀ vector over lanes; what no parameter reaches has no part."""
    with torch.enable_grad():
        parts = [(g * vector[name]).sum() for name, g in tree.items() if g.requires_grad]
        return torch.stack(parts).sum()


def back(value: Tensor, leaves: Tree, start: Tensor | None = None, *, again: bool = False) -> Tree:
    """∂value/∂leaf, started with ``start``; 0 where a leaf has no part. The graph stays."""
    found = torch.autograd.grad(
        value,
        list(leaves.values()),
        start,
        retain_graph=True,
        create_graph=again,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(leaves, found, strict=True))


def _softmax(z: Tensor, v: Tensor) -> Tensor:
    """(diag(p) − p pᵀ) v / (B T), p = softmax(z)."""
    p = z.softmax(-1)
    weighted = p * v
    return (weighted - p * weighted.sum(-1, keepdim=True)) / _predictions(z)


def _sigmoid(z: Tensor, v: Tensor) -> Tensor:
    """σ(z) (1 − σ(z)) v / B."""
    p = z.sigmoid()
    return p * (1 - p) * v / _predictions(z)


def _identity(z: Tensor, v: Tensor) -> Tensor:
    """v / B."""
    return v / _predictions(z)


def _predictions(z: Tensor) -> int:
    """B of outputs (L, B, C), B T of (L, B, T, C)."""
    return z[0, ..., 0].numel()


OUTPUT_HESSIANS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _softmax,
    "logistic": _sigmoid,
    "quadratic": _identity,
    "bernoulli": _sigmoid,
}
"""Loss → (outputs z (L, B, …, C), v like z) → the product of v with the Hessian of the mean loss
by z. None of them depends on the targets, nor on label smoothing."""
