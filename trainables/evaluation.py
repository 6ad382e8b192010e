"""Metrics of every lane on a whole split."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.forward import Network, outputs
from trainables.lanes import Tree
from trainables.losses import Loss

_BATCH = 1024
_POSITIONS = 16384
"""Examples at once, and at most so many places of sequences."""


def mean_metrics(
    network: Network, params: Tree, buffers: Tree, split: tuple[Tensor, Tensor], loss: Loss
) -> tuple[Tensor, Tensor]:
    """Mean loss and mean score of each lane on one split, (L,) float64 each."""
    lanes = len(next(iter(params.values())))
    total = torch.zeros(2, lanes, dtype=torch.float64, device=split[0].device)
    batch = batch_size(split[1])
    for x, y in zip(*(torch.split(t, batch) for t in split), strict=True):
        predicted = outputs(network, params, buffers, x)
        value = loss(predicted, y.expand(lanes, *y.shape))
        total[0] += value.losses.sum(1)
        total[1] += value.scores.sum(1)
    total /= len(split[0])
    return total[0], total[1]


def derived(
    metrics: Mapping[str, npt.NDArray[np.float64]], names: Collection[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """What follows from metrics that were read, on the host: error and perplexity, where named."""
    found = {}
    for part in ("train", "valid", "test"):
        if "error" in names:
            found[f"{part}/error"] = 1 - metrics[f"{part}/accuracy"]
        if "perplexity" in names:
            found[f"{part}/perplexity"] = np.exp(metrics[f"{part}/loss"])
    return found


def batch_size(targets: Tensor) -> int:
    """Examples at once: fewer where each is a sequence, (n, T), all of whose outputs are kept."""
    if targets.dim() == 1 or targets.is_floating_point():
        return _BATCH
    return min(_BATCH, max(1, _POSITIONS // targets.shape[1]))
