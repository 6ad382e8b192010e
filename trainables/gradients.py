"""A training step's gradients: of a batch, of a batch in parts, and uphill of where one stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.forward import Network, loss_and_gradients
from trainables.lanes import Tree, norm, per_lane
from trainables.losses import Loss


class Batch(NamedTuple):
    """What all lanes train on in one step."""

    x: Tensor
    """(L, B, …)."""
    targets: Tensor
    """(L, B, …)."""
    keys: Tensor
    """Per-lane int64 (L,) from which the step's dropout masks derive."""
    scale: Tensor | None
    """What the loss is multiplied by, (L,); None: nothing."""


class Gradients(NamedTuple):
    losses: Tensor
    """Each lane's mean loss, (L,)."""
    scores: Tensor
    """Each lane's mean score, (L,)."""
    tree: Tree
    """Like the parameters."""
    buffers: Tree
    """Running statistics after the pass."""
    seen: tuple[Tensor, ...] = ()
    """What ``watch`` said of each part."""


def batch_gradients(
    network: Network,
    params: Tree,
    buffers: Tree,
    batch: Batch,
    loss: Loss,
    parts: int,
    watch: Callable[[Tree], Tensor] | None = None,
) -> Gradients:
    """Gradients of each lane's mean loss, taken in ``parts`` of B / parts examples.

    g = Σ_p ∇f_p / parts, which is ∇f where no layer looks across examples: batch normalization
    sees one part at a time, and its running statistics move once a part. Dropout differs from
    part to part.

    Args:
        watch: is shown the gradients of each part, where there are several.
    """
    if parts == 1:
        return _part(network, params, buffers, batch, loss)
    total: Gradients | None = None
    seen = []
    for part in in_parts(batch, parts):
        found = _part(network, params, buffers, part, loss)
        buffers = found.buffers
        if watch is not None:
            seen.append(watch(found.tree))
        total = found if total is None else _sum(total, found)
    assert total is not None
    tree = {name: g / parts for name, g in total.tree.items()}
    return Gradients(total.losses / parts, total.scores / parts, tree, buffers, tuple(seen))


def in_parts(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in ``parts`` of equal size, each with dropout of its own."""
    size = batch.x.shape[1] // parts
    for index in range(parts):
        yield batch._replace(
            x=batch.x.narrow(1, index * size, size),
            targets=batch.targets.narrow(1, index * size, size),
            keys=batch.keys + index,
        )


def _part(network: Network, params: Tree, buffers: Tree, batch: Batch, loss: Loss) -> Gradients:
    value, gradients, buffers = loss_and_gradients(
        network, params, buffers, batch.x, batch.targets, loss, batch.keys, batch.scale
    )
    losses = value.losses.mean(1)
    return Gradients(losses, value.scores.to(losses.dtype).mean(1), gradients, buffers)


def _sum(total: Gradients, found: Gradients) -> Gradients:
    tree = {name: g + found.tree[name] for name, g in total.tree.items()}
    losses, scores = total.losses + found.losses, total.scores + found.scores
    return Gradients(losses, scores, tree, found.buffers)


def uphill(params: Tree, gradients: Tree, rho: Tensor) -> Tree:
    """θ + ρ ∇f / (‖∇f‖ + 10⁻¹²): where sharpness-aware minimization takes its gradient.

    Foret, Kleiner, Mobahi & Neyshabur 2021, equation 2 with p = 2; ρ is per lane, (L,) float64,
    ‖∇f‖ over all parameters. The second gradient is of the same batch with the same dropout;
    running statistics are those of the first pass.
    """
    rate = rho / (norm(gradients) + 1e-12)
    return {
        name: torch.addcmul(params[name], per_lane(rate.to(g.dtype), g), g)
        for name, g in gradients.items()
    }
