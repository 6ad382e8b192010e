"""Trees of a stack as matrices (L, P): one vector of P numbers a lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from trainables.curvature.products import Product
from trainables.lanes import Tree

Flat = Callable[[Tensor], Tensor]
"""v → M v in each lane, (L, P) → (L, P)."""


def flat(tree: Mapping[str, Tensor]) -> Tensor:
    """(L, P), parameter after parameter."""
    return torch.cat([tensor.flatten(1) for tensor in tree.values()], 1)


def unflat(vector: Tensor, like: Mapping[str, Tensor]) -> Tree:
    """(L, P) as a tree of the shapes of ``like``."""
    sizes = [tensor[0].numel() for tensor in like.values()]
    parts = zip(like.items(), torch.split(vector, sizes, 1), strict=True)
    return {name: part.view(tensor.shape) for (name, tensor), part in parts}


def flattened(product: Product, like: Mapping[str, Tensor]) -> Flat:
    """A product of trees as one of matrices (L, P)."""
    return lambda vector: flat(product(unflat(vector, like)))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """aᵀb in each lane of (L, P), (L,) float64."""
    return (a.to(torch.float64) * b.to(torch.float64)).sum(1)
