"""Trees as vectors: a lane's weights one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.lanes import Tree


def size(params: Tree) -> int:
    """P, a lane's parameters."""
    return sum(param[0].numel() for param in params.values())


def flat(tree: Tree, params: Tree, lead: int = 1) -> Tensor:
    """(…, P), in the order of ``params``.

    Args:
        tree: tensors like the parameters (L, …), or with more dimensions before L.
        lead: dimensions before a lane's own.
    """
    return torch.cat([tree[name].flatten(lead) for name in params], lead)


def unflat(vectors: Tensor, params: Tree) -> Tree:
    """(…, P) as a tree like ``params``; views."""
    sizes = [param[0].numel() for param in params.values()]
    parts = torch.split(vectors, sizes, -1)
    lead = vectors.shape[:-1]
    return {
        name: part.reshape(*lead, *param.shape[1:])
        for part, (name, param) in zip(parts, params.items(), strict=True)
    }
