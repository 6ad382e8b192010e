"""The loss of many training examples as a function of the weights, and its curvature, in chunks.

The loss is the one that is trained (labels smoothed where they are), of examples as they are (not
augmented), without weight decay and without dropout. Batch normalization looks at chunks of the
size of its batches in training and normalizes by their statistics, through which derivatives go
as in training; running statistics neither enter nor change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables import averaging
from trainables.curvature import products
from trainables.curvature.fisher_products import fisher
from trainables.curvature.objective import Objective
from trainables.curvature.products import Product
from trainables.curvature.sampling import drawn
from trainables.engine import Stack
from trainables.evaluation import batch_size
from trainables.gradients import Batch
from trainables.lanes import Tree, derive
from trainables.pruning.masks import masked

_CHUNK = 512
"""Examples at once, at most; fewer of long sequences."""


class Measured(Objective):
    """An objective whose pass is deterministic: dropout off, batch normalization by the batch."""

    __slots__ = ()

    def outputs(self, params: Tree) -> Tensor:
        """(L, B, …, C), with a way back for autograd."""
        network = dataclasses.replace(self.network, low=None)
        module = network.module
        module.eval()
        for layer in averaging.norms(module).values():
            layer.train()

        def one(params: Tree, buffers: Tree, x: Tensor) -> Tensor:
            own = {name: buffer.clone() for name, buffer in buffers.items()}
            return functional_call(module, (params, own), (x,))  # type: ignore[no-any-return]

        x, buffers = self.batch.x, self.buffers
        # Of attention only this form has a second derivative.
        with network.arithmetic(), sdpa_kernel(SDPBackend.MATH):
            if len(x) > 1:
                found = vmap(one)(params, buffers, x)
            else:
                own, first = ({n: t[0] for n, t in tree.items()} for tree in (params, buffers))
                found = one(own, first, x[0]).unsqueeze(0)
        return found.to(next(iter(params.values())).dtype)


def chunks(stack: Stack, examples: int) -> list[Batch]:
    """At most so many training examples, evenly spread over the set, the same for all lanes.

    With batch normalization chunks are as large as in training, and what is left over is dropped.
    """
    x, y = stack.arrays.train
    train, count = stack.runs[0].train, min(examples, len(x))
    chosen = torch.arange(count, device=x.device) * len(x) // count
    size = min(_CHUNK, batch_size(y), count)
    if averaging.norms(stack.network.module):
        size = min(train.batch_size // train.accumulate, count)
        chosen = chosen[: count // size * size]
    keys = torch.tensor([derive(run.seed, "spectrum") for run in stack.runs], device=x.device)
    lanes = stack.lanes
    return [
        Batch(
            x[at].expand(lanes, -1, *x.shape[1:]), y[at].expand(lanes, -1, *y.shape[1:]), keys, None
        )
        for at in torch.split(chosen, size)
    ]


def _hessian(objective: Objective, params: Tree) -> Product:
    product, _ = products.hessian(objective, params)
    return product


def _sampled(objective: Objective, params: Tree) -> Product:
    batch = objective.batch
    with torch.no_grad():
        outputs = objective.outputs(params)
    targets = drawn(objective.loss, outputs, batch.keys, 0)
    return fisher(objective._replace(batch=batch._replace(targets=targets)), params)


MATRICES: dict[str, Callable[[Objective, Tree], Product]] = {
    "hessian": _hessian,
    "gauss_newton": products.gauss_newton,
    "empirical_fisher": fisher,
    "sampled_fisher": _sampled,
}
"""Matrix → (objective, weights) → its products. Those of the Fisher matrices are without label
smoothing; the sampled one has one draw of targets, which is the same for every vector."""


def curvature(stack: Stack, matrix: str, batches: list[Batch]) -> Product:
    """v → M v of each lane's mean loss over the examples of all ``batches``.

    At the weights that train (not an average of them), in their type. One batch's graph is kept for
    all products; of several each is made anew for each product, so that no more than one is held.
    Masked weights are no part of it: what is given must be 0 there, and what is found is.
    """
    train, make = stack.runs[0].train, MATRICES[matrix]
    total = sum(batch.x.shape[1] for batch in batches)
    objectives = [
        Measured(stack.network, stack.buffers, batch, train.loss, train.label_smoothing)
        for batch in batches
    ]
    kept = make(objectives[0], stack.params) if len(batches) == 1 else None

    def product(vector: Tree) -> Tree:
        if kept is not None:
            return masked(kept(vector), stack.masks)
        found = {name: torch.zeros_like(tensor) for name, tensor in vector.items()}
        for objective in objectives:
            share = objective.batch.x.shape[1] / total
            part = make(objective, stack.params)(vector)
            found = {name: found[name].add(part[name], alpha=share) for name in found}
        return masked(found, stack.masks)

    return product
