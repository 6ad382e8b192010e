"""Curvature matrices of all weights of a lane, written out: for small models.

All are (L, P, P) float64 and symmetric, made of derivatives in the weights' type; 0 in the rows
and columns of masked weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from trainables.curvature.local import Curvature
from trainables.curvature.objective import gradient_of, leaves_of
from trainables.curvature.products import OUTPUT_HESSIANS
from trainables.curvature.vectors import flat, size, unflat
from trainables.gradients import Batch, batch_gradients
from trainables.lanes import Tree

_NUMBERS = 2**21
"""Inputs of the copies of a batch that go back through a network at once, at most."""
_GRADIENTS = 2**22
"""Numbers of the gradients of examples that are there at once, at most."""


def hessian(curvature: Curvature, params: Tree) -> Tensor:
    """∂²f/∂w∂w of each lane's mean loss: derivatives of the gradient along unit vectors."""
    leaves = leaves_of(params, params)
    with torch.enable_grad():
        found = gradient_of(curvature.objective(leaves).sum(), leaves, again=True)
    names = [name for name, g in found.items() if g.requires_grad]

    def rows(units: Tree) -> Tree:
        return _back([found[n] for n in names], leaves, [units[n] for n in names])

    return _by_rows(curvature, params, rows)


def gauss_newton(curvature: Curvature, params: Tree) -> Tensor:
    """Jᵀ H_f J, as ``products.gauss_newton``: the Fisher matrix of the model's predictions."""
    objective = curvature.objective
    leaves = leaves_of(params, params)
    with torch.enable_grad():
        outputs = objective.outputs(leaves)
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = gradient_of((outputs * u).sum(), leaves, again=True)
    names = [name for name, g in pulled.items() if g.requires_grad]
    at, curve = outputs.detach(), OUTPUT_HESSIANS[objective.loss]

    def rows(units: Tree) -> Tree:
        ours = [pulled[n] for n in names]
        (pushed,) = _back(ours, {"": u}, [units[n] for n in names]).values()
        return _back([outputs], leaves, [curve(at, pushed)])

    return _by_rows(curvature, params, rows)


def empirical_fisher(curvature: Curvature, params: Tree) -> Tensor:
    """(1/B) Σ_i g_i g_iᵀ of the gradients of examples, targets those of the data."""
    count = size(params)
    examples = curvature.batch.x.shape[1]
    total: Tensor | None = None
    for found in example_gradients(curvature, params):
        g = flat(found, params, 2).to(torch.float64).transpose(0, 1)  # (L, c, P)
        if total is None:
            total = g.new_zeros(len(g), count, count)
        total.baddbmm_(g.mT, g, alpha=1 / examples)
    assert total is not None
    return total


def mean_squares(curvature: Curvature, params: Tree) -> Tree:
    """(1/B) Σ_i g_i ⊙ g_i: the diagonal of ``empirical_fisher``, in the weights' type."""
    examples = curvature.batch.x.shape[1]
    total: Tree = {}
    for found in example_gradients(curvature, params):
        for name, g in found.items():
            part = g.square().sum(0) / examples
            total[name] = total[name] + part if name in total else part
    return total


def example_gradients(curvature: Curvature, params: Tree) -> Iterator[Tree]:
    """The gradients g_i of the batch's examples, some at a time: trees of (c, L, …).

    Every example is a lane of its own in an ordinary pass. So nothing may look across examples:
    batch normalization has no such gradients. Dropout differs from the step's. A sequence is
    one example, its loss the mean over its places.
    """
    batch = curvature.batch
    lanes, examples = batch.x.shape[:2]
    width = max(1, min(examples, _GRADIENTS // (lanes * size(params))))
    for start in range(0, examples, width):
        some = slice(start, min(start + width, examples))
        count = some.stop - some.start
        index = torch.arange(some.start, some.stop, device=batch.keys.device)
        alone = Batch(
            batch.x[:, some].flatten(0, 1).unsqueeze(1),
            batch.targets[:, some].flatten(0, 1).unsqueeze(1),
            (batch.keys.unsqueeze(1) + index).flatten(),
            None,
        )
        wide, buffers = (
            {name: tensor.repeat_interleave(count, 0) for name, tensor in tree.items()}
            for tree in (params, curvature.buffers)
        )
        found = batch_gradients(curvature.network, wide, buffers, alone, curvature.loss, 1)
        yield curvature.restrict(
            {
                name: g.view(lanes, count, *g.shape[1:]).transpose(0, 1)
                for name, g in found.tree.items()
            }
        )


def _by_rows(curvature: Curvature, params: Tree, rows: Callable[[Tree], Tree]) -> Tensor:
    """The matrix whose rows are products with unit vectors, several at once.

    Args:
        rows: (c, L, …) → the products, (c, L, …).
    """
    first = next(iter(params.values()))
    lanes, count = len(first), size(params)
    width = max(1, min(count, _NUMBERS // curvature.batch.x.numel()))
    matrix = torch.empty(lanes, count, count, dtype=torch.float64, device=first.device)
    for start in range(0, count, width):
        stop = min(start + width, count)
        units = first.new_zeros(stop - start, count)
        units[:, start:stop].fill_diagonal_(1)
        wide = units.unsqueeze(1).expand(-1, lanes, -1)
        found = curvature.restrict(rows(curvature.restrict(unflat(wide, params))))
        matrix[:, start:stop] = flat(found, params, 2).transpose(0, 1)
    return (matrix + matrix.mT) / 2


def _back(values: list[Tensor], leaves: Tree, starts: list[Tensor]) -> Tree:
    """Σ ∂value/∂leaf, once for each start (c, …) of the values; the graph stays."""
    found = torch.autograd.grad(
        values,
        list(leaves.values()),
        starts,
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=True,
    )
    wide = len(starts[0])
    return {
        name: leaf.new_zeros(wide, *leaf.shape) if g is None else g
        for (name, leaf), g in zip(leaves.items(), found, strict=True)
    }
