"""Losses on stacked outputs, each with its gradient by the outputs written out by hand.

One definition serves evaluation and training: the backward pass starts from the gradient
given here, so autograd never has to trace a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class LossValue(NamedTuple):
    """What a loss says of a batch of every lane."""

    losses: Tensor
    """Loss of each example, (L, B)."""
    gradient: Tensor
    """Gradient of each lane's mean loss by its outputs, (L, B, C)."""
    hits: Tensor
    """Whether each example is predicted right, (L, B)."""


Loss = Callable[[Tensor, Tensor], LossValue]
"""(outputs (L, B, C), targets (L, B)) → LossValue."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> LossValue:
    """Softmax cross-entropy −log p_y, p = softmax(z), and its gradient (p − onehot(y)) / B.

    Args:
        outputs: logits z, (L, B, C).
        targets: classes y, (L, B), int64.

    Returns:
        Losses in nats, equal to ``torch.nn.functional.cross_entropy``; a hit is an example
        whose first largest logit is its target's.
    """
    chosen = targets.unsqueeze(-1)
    largest = outputs.max(-1, keepdim=True)
    shifted = outputs - largest.values
    exponentials = shifted.exp()
    total = exponentials.sum(-1, keepdim=True)
    losses = (total.log() - shifted.gather(-1, chosen)).squeeze(-1)
    gradient = exponentials.div_(total)
    gradient.scatter_add_(-1, chosen, torch.full_like(total, -1.0))
    hits = (largest.indices == chosen).squeeze(-1)
    return LossValue(losses, gradient.div_(outputs.shape[1]), hits)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy}
