"""Metrics of any weights under the network and the data of a stack."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables import precision
from trainables.configs.run import SCORES
from trainables.engine import Stack
from trainables.evaluation import mean_metrics
from trainables.lanes import Tree
from trainables.losses import LOSSES

_PARTS = ("valid", "test")


def measured(stack: Stack, params: Tree, buffers: Tree) -> Tensor:
    """Mean loss and mean score on valid and on test, (4, L) float64, on the device."""
    first, arrays = stack.runs[0].train, stack.arrays
    loss = LOSSES[first.loss]
    with torch.no_grad(), precision.products(first.precision):
        found = (
            mean_metrics(stack.network, params, buffers, split, loss)
            for split in (arrays.valid, arrays.test)
        )
        return torch.stack([*itertools.chain(*found)])


def named(stack: Stack, values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """What ``measured`` gave, (4, …), by name: loss; accuracy and error, R², or the
    squared error."""
    score = SCORES[stack.runs[0].train.loss]
    names = [f"{part}/{what}" for part in _PARTS for what in ("loss", score)]
    metrics = dict(zip(names, values, strict=True))
    for part in _PARTS:
        if score == "accuracy":
            metrics[f"{part}/error"] = 1 - metrics[f"{part}/accuracy"]
        elif score == "r2":
            assert stack.arrays.variances is not None, "targets of this loss are real"
            with np.errstate(invalid="ignore", divide="ignore"):
                share = np.divide(metrics[f"{part}/{score}"], stack.arrays.variances[part])
            metrics[f"{part}/{score}"] = 1 - share
    return metrics
