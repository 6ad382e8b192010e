"""Trees as vectors: a lane's weights one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from trainables.curvature.products import Product
from trainables.lanes import Tree

Flat = Callable[[Tensor], Tensor]
"""v → M v in each lane, (L, P) → (L, P)."""


def size(params: Mapping[str, Tensor]) -> int:
    """P, a lane's parameters."""
    return sum(param[0].numel() for param in params.values())


def flat(
    tree: Mapping[str, Tensor], params: Mapping[str, Tensor] | None = None, lead: int = 1
) -> Tensor:
    """(…, P), in the order of ``params``, or of the tree itself.

    Args:
        tree: tensors like the parameters (L, …), or with more dimensions before L.
        lead: dimensions before a lane's own.
    """
    return torch.cat([tree[name].flatten(lead) for name in params or tree], lead)


def unflat(vectors: Tensor, params: Mapping[str, Tensor]) -> Tree:
    """(…, P) as a tree like ``params``; views."""
    sizes = [param[0].numel() for param in params.values()]
    parts = torch.split(vectors, sizes, -1)
    lead = vectors.shape[:-1]
    return {
        name: part.reshape(*lead, *param.shape[1:])
        for part, (name, param) in zip(parts, params.items(), strict=True)
    }


def flattened(product: Product, like: Mapping[str, Tensor]) -> Flat:
    """A product of trees as one of matrices (L, P)."""
    return lambda vector: flat(product(unflat(vector, like)))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """aᵀb in each lane of (L, P), (L,) float64."""
    return (a.to(torch.float64) * b.to(torch.float64)).sum(1)
