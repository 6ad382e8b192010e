"""Trees of tensors whose dimension 0 is the lane, and random numbers that belong to a lane.

A tree is a dict of tensors, or a dict of such dicts. Every tensor in it has shape (L, …).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Tree = dict[str, Tensor]
State = dict[str, Tree]
"""State of an optimizer: named trees, e.g. ``{"momentum": {"0.weight": (L, out, in), …}}``."""


def stack(trees: Sequence[Mapping[str, Tensor]]) -> Tree:
    """L trees of tensors (…) as one tree of (L, …)."""
    return {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}


def select(tree: Mapping[str, Tensor], lanes: Tensor) -> Tree:
    """The lanes (K,) of a tree, in that order: compaction and splitting are this copy."""
    return {name: tensor.index_select(0, lanes) for name, tensor in tree.items()}


def per_lane(values: Tensor, like: Tensor) -> Tensor:
    """Per-lane numbers (L,) shaped (L, 1, …, 1) to meet a stacked tensor (L, …)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def dot(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Tensor:
    """Inner product of two trees in each lane, (L,) float64."""
    products = [
        (tensor.flatten(1).to(torch.float64) * b[name].flatten(1).to(torch.float64)).sum(1)
        for name, tensor in a.items()
    ]
    return torch.stack(products).sum(0)


def square_norm(tree: Mapping[str, Tensor]) -> Tensor:
    """``dot(tree, tree)`` without copies in float64, (L,) float64: a third of the time."""
    norms = [
        torch.linalg.vector_norm(tensor.flatten(1), dim=1, dtype=torch.float64)
        for tensor in tree.values()
    ]
    return torch.stack(norms).square().sum(0)


def norm(tree: Mapping[str, Tensor]) -> Tensor:
    """Euclidean norm of a tree in each lane, (L,) float64."""
    return dot(tree, tree).sqrt()


def derive(seed: int, *words: object) -> int:
    """A seed in [0, 2⁶³) for one purpose, e.g. ``derive(seed, "order", epoch)``.

    Hashing keeps purposes independent, and keeps a run's numbers its own wherever it trains.
    """
    text = ":".join(map(str, (seed, *words)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(seed: int, epoch: int, examples: int) -> Tensor:
    """The order (examples,) in which a run visits its training set in one epoch."""
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(examples, generator=generator)


def uniform(key: Tensor, call: int, shape: Sequence[int]) -> Tensor:
    """Numbers in [0, 1) that are a pure function of (key, call, position), on any device.

    A counter-based generator, so that a lane's dropout masks need no generator state and do
    not depend on its neighbours. ``key`` is int64 (per lane and step): 0-dim, which ``vmap`` may
    batch, or of a shape that broadcasts with ``shape``, as the result then does. The mixer is a
    32-bit integer hash (xorshift-multiply, twice per word).
    """
    size = torch.Size(shape).numel()
    position = torch.arange(size, device=key.device).view(tuple(shape))
    word = _mix(position + _mix((key & _MASK) + 0x9E3779B9 * (call + 1)))
    word = _mix(word ^ (key >> 32 & _MASK))
    return (word >> 8).to(torch.float32) * 2.0**-24


_MASK = 0xFFFFFFFF


def _mix(word: Tensor) -> Tensor:
    word = word & _MASK
    word = (word ^ (word >> 16)) * 0x7FEB352D & _MASK
    word = (word ^ (word >> 15)) * 0x46D16C3B & _MASK
    return word ^ (word >> 16)
