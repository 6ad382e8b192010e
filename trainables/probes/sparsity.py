"""How sparse a stack's lanes are, and what their masks alone make of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainables.configs.run import SCORES
from trainables.engine import Stack
from trainables.probes.metrics import measured, named
from trainables.pruning.connectivity import effective
from trainables.pruning.masks import collapsed, density, density_in_all


def sparsity(stack: Stack) -> list[dict[str, float]]:
    """Shares of weights of each lane's masks.

    ``probe/density``: of prunable weights, those left. ``probe/effective_density``: those of them
    on some path from input to output, absent where that does not apply
    (``pruning.connectivity``). ``probe/collapsed``: 1 where some layer has none left, else 0.
    Nothing for lanes without masks.
    """
    masks = stack.masks
    if not masks:
        return [{} for _ in range(stack.lanes)]
    found = {"density": density_in_all(masks), "collapsed": collapsed(masks)}
    alive = effective(stack.network.module, masks)
    if alive is not None:
        found["effective_density"] = density_in_all(alive)
    values = torch.stack([value.to(torch.float64) for value in found.values()]).cpu()
    return [
        dict(zip((f"probe/{name}" for name in found), column, strict=True))
        for column in values.T.tolist()
    ]


def density_rows(stack: Stack, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of ``Report.probes``: ``density`` at each pruned weight's name, for each lane's run."""
    if not stack.masks:
        return []
    layers = density(stack.masks)
    values = torch.stack([*layers.values()]).cpu().tolist()
    return [
        {"run_id": run_id, "name": "density", "at": name, "value": column[lane]}
        for lane, run_id in enumerate(run_ids)
        for name, column in zip(layers, values, strict=True)
    ]


def supermask(stack: Stack) -> list[dict[str, float]]:
    """``probe/supermask/{valid,test}/{loss,accuracy}`` of the masked networks as they stand.

    Before they train, this is what a mask alone does (Zhou, Lan, Liu & Yosinski 2019). Weights
    and statistics of batch normalization are those that the lanes have: at initialization the
    statistics are 0 and 1. Of real targets R² stands in the place of accuracy.
    """
    values = measured(stack, *stack.evaluated()).cpu().numpy()
    wanted = ("loss", SCORES[stack.runs[0].train.loss])
    metrics = {n: v for n, v in named(stack, values).items() if n.split("/")[1] in wanted}
    return [
        {f"probe/supermask/{name}": float(value[lane]) for name, value in metrics.items()}
        for lane in range(stack.lanes)
    ]
