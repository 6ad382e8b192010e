"""Which weights stay, given a score of each: those with the highest, by layer or over all layers.

Rounding, everywhere: of n weights left, round(rate · n) go, half to even, as Python's ``round``
and ``torch.nn.utils.prune`` have it. Of equal scores the weight that comes first stays, layers in
the order of the masks. Both are read from the lane alone, so neighbours change nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.lanes import Tree


def staying(left: Tensor, rate: Tensor) -> Tensor:
    """n − round(rate · n) of n = ``left`` weights, (L,) int64; ``rate`` (L,) float64."""
    assert rate.dtype == torch.float64, "a tenth in float32 makes another count of 185"
    going = (rate.to(left.device) * left).round()
    return left - going.to(torch.int64)


def layerwise(scores: Tree, masks: Tree, keep: Tree) -> Tree:
    """Each layer's ``keep`` (L,) weights with the highest scores."""
    return {name: _highest(scores[name], mask, keep[name]) for name, mask in masks.items()}


def overall(scores: Tree, masks: Tree, keep: Tensor) -> Tree:
    """The ``keep`` (L,) weights with the highest scores of all: layers compete ("global")."""
    joined = torch.cat([scores[name].flatten(1) for name in masks], 1)
    left = torch.cat([mask.flatten(1) for mask in masks.values()], 1)
    sizes = [mask[0].numel() for mask in masks.values()]
    parts = torch.split(_highest(joined, left, keep), sizes, 1)
    return {
        name: part.reshape(mask.shape)
        for part, (name, mask) in zip(parts, masks.items(), strict=True)
    }


def _highest(scores: Tensor, mask: Tensor, keep: Tensor) -> Tensor:
    """The ``keep`` (L,) entries with the highest scores among those of ``mask`` (L, …).

    Two stable sorts: by score, then what is masked already to the end. A single one would need a
    score below all others, and −∞ is a score. NaN is above all: a lane that has diverged.
    """
    flat, left = scores.flatten(1), mask.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    gone = (~left).gather(1, order)
    order = order.gather(1, gone.to(torch.uint8).argsort(dim=1, stable=True))
    places = torch.arange(flat.shape[1], device=flat.device)
    found = torch.zeros_like(left).scatter(1, order, places < keep.unsqueeze(1))
    return found.view(mask.shape)
