"""Loss and error along the straight line between two networks (linear mode connectivity)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables import averaging, precision
from trainables.engine import Stack
from trainables.lanes import Tree
from trainables.probes.metrics import measured, named

POINTS = 31
_SHOWN = ("loss", "error")
"""What is lower the better, so that a maximum is a barrier."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Metrics along each lane's line."""

    alphas: npt.NDArray[np.float64]
    """0 … 1, (points,): 0 is the stack's own network, 1 the other one."""
    metrics: Mapping[str, npt.NDArray[np.float64]]
    """``valid/loss``, of classes also ``valid/error``, and of ``test``: (points, L) each."""


def line(stack: Stack, others: tuple[Tree, Tree], points: int = POINTS) -> Line:
    """Metrics of (1 − α) θ + α θ′ for ``points`` evenly spaced α, in all lanes at once.

    θ are the weights that the stack evaluates, θ′ those of ``others``. Where both are masked a
    weight is exactly 0 all along.

    Batch normalization: both ends keep their own running statistics. In between they are taken
    anew at each point, as for an average of weights (``averaging.batch_statistics``), on the
    training batches of the stack's epoch under way: neither end's statistics, nor a mean of them,
    fit the activations there, and the barrier would be theirs. Frankle, Dziugaite, Roy &
    Carbin 2020 define the line by the weights alone and leave this open; Jordan et al. 2023
    (arXiv 2211.08403) show how much it matters. Other buffers are interpolated where they are real,
    else the stack's own. Without batch normalization no training batch is looked at.

    Args:
        others: parameters and buffers of the other ends, (L, …), as ``Stack.evaluated`` has them;
            on any device.
    """
    assert points > 1, "a line has two ends"
    alphas = np.linspace(0, 1, points)
    own = stack.evaluated()
    found = []
    for alpha in alphas.tolist():
        params, buffers = (
            between(ours, theirs, alpha) for ours, theirs in zip(own, others, strict=True)
        )
        if 0 < alpha < 1 and averaging.norms(stack.network.module):
            with torch.no_grad(), precision.products(stack.runs[0].train.precision):
                buffers = averaging.batch_statistics(
                    stack.network, params, buffers, stack.epoch_batches()
                )
        found.append(measured(stack, params, buffers))
    values = torch.stack(found, 1).cpu().numpy()  # (4, points, L)
    metrics = named(stack, values)
    return Line(
        alphas=alphas,
        metrics={name: m for name, m in metrics.items() if name.split("/")[1] in _SHOWN},
    )


def between(ours: Tree, theirs: Tree, alpha: float) -> Tree:
    """(1 − α) ours + α theirs, at 0 and 1 bit for bit one of them; what is not real is ours."""

    def mixed(tensor: Tensor, other: Tensor) -> Tensor:
        if alpha == 0:
            return tensor
        other = other.to(tensor.device)
        if alpha == 1:
            return other
        return torch.lerp(tensor, other, alpha) if tensor.is_floating_point() else tensor

    with torch.no_grad():
        return {name: mixed(tensor, theirs[name]) for name, tensor in ours.items()}


def barrier(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """max over α − mean of both ends of a metric (points, L): (L,).

    Frankle et al. 2020, section 2, "error barrier height": E_sup − Ē, with the supremum taken
    over the points. Ends are points, so it is never negative. NaN where any value is.
    """
    height: npt.NDArray[np.float64] = values.max(0) - (values[0] + values[-1]) / 2
    return height


def barriers(found: Line) -> list[dict[str, float]]:
    """Of each lane, ``probe/barrier/…`` and the metric's name → its barrier."""
    heights = {f"probe/barrier/{name}": barrier(values) for name, values in found.metrics.items()}
    lanes = np.stack([*heights.values()]).T.tolist()
    return [dict(zip(heights, lane, strict=True)) for lane in lanes]


def line_rows(found: Line, run_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of ``Report.probes``: ``line/…`` and the metric's name at α, for each lane's run."""
    return [
        {"run_id": run_id, "name": f"line/{name}", "at": shown(alpha), "value": float(value)}
        for name, values in found.metrics.items()
        for lane, run_id in enumerate(run_ids)
        for alpha, value in zip(found.alphas.tolist(), values[:, lane], strict=True)
    ]


def shown(alpha: float) -> str:
    """α as text: ``0``, ``0.0333``, ``1``."""
    return f"{round(alpha, 4):g}"
