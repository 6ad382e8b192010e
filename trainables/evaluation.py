"""Metrics of every lane on a whole split."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs.run import SCORES, RunConfig, measured
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


def read_metrics(
    values: npt.NDArray[np.float64],
    more: Sequence[str],
    counts: Sequence[int],
    run: RunConfig,
    arrays: Arrays,
) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Names for what an evaluation read, and means over the batches of its interval.

    Args:
        values: (n, L): loss and score of both splits, the learning rate, the gradient's norm,
            ``more`` metrics; then the losses and the scores of each step.
        counts: batches of each of these steps.

    Returns:
        metric → (L,); and the losses (steps, L).
    """
    score = SCORES[run.train.loss]
    evaluated = [f"{part}/{what}" for part in ("valid", "test") for what in ("loss", score)]
    names = [*evaluated, "lr", "grad_norm", *more]
    metrics = dict(zip(names, values, strict=False))
    losses, scores = np.split(values[len(names) :], 2)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        weights = np.array(counts)[:, None] / max(1, sum(counts))
        metrics["train/loss"] = (weights * losses).sum(0)
        metrics[f"train/{score}"] = (weights * scores).sum(0)
        variances = arrays.variances if score == "r2" else None
        for part, variance in (variances or {}).items():
            metrics[f"{part}/{score}"] = 1 - np.divide(metrics[f"{part}/{score}"], variance)
        metrics |= derived(metrics, measured(run.data, run.train))
    return metrics, losses


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
