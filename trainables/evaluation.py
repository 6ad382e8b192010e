"""Metrics of every lane on a whole split."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.forward import Network, outputs
from trainables.lanes import Tree
from trainables.losses import Loss

_BATCH = 1024


def mean_metrics(
    network: Network, params: Tree, buffers: Tree, split: tuple[Tensor, Tensor], loss: Loss
) -> tuple[Tensor, Tensor]:
    """Mean loss and mean score of each lane on one split, (L,) float64 each."""
    lanes = len(next(iter(params.values())))
    total = torch.zeros(2, lanes, dtype=torch.float64, device=split[0].device)
    for x, y in zip(*(torch.split(t, _BATCH) for t in split), strict=True):
        predicted = outputs(network, params, buffers, x)
        value = loss(predicted, y.expand(lanes, *y.shape))
        total[0] += value.losses.sum(1)
        total[1] += value.scores.sum(1)
    total /= len(split[0])
    return total[0], total[1]
