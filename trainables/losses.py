"""Losses on stacked outputs, each with its gradient by the outputs written out by hand.

One definition serves evaluation and training: the backward pass starts from the gradient
given here, so autograd never has to trace a loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class LossValue(NamedTuple):
    """What a loss says of a batch of every lane."""

    losses: Tensor
    """Loss of each example, (L, B); of a sequence, the mean over its places."""
    gradient: Tensor
    """Gradient of each lane's mean loss by its outputs, like these."""
    scores: Tensor
    """Whether each example is predicted right (of a sequence, the share of places that are);
    with real targets the squared error of what is predicted, (L, B)."""


Loss = Callable[[Tensor, Tensor], LossValue]
"""(outputs (L, B, C), targets: classes (L, B) or real (L, B, C)) → LossValue.

Sequences have outputs (L, B, T, C) and classes (L, B, T)."""


def cross_entropy(outputs: Tensor, targets: Tensor) -> LossValue:
    """Softmax cross-entropy −log p_y, p = softmax(z), and its gradient (p − onehot(y)) / B.

    For sequences, the mean over their T places, and the gradient (p − onehot(y)) / (B T).

    Args:
        outputs: logits z, (L, B, C) or (L, B, T, C).
        targets: classes y, (L, B) or (L, B, T), int64.

    Returns:
        Losses in nats, equal to ``torch.nn.functional.cross_entropy``; a hit is where the first
        largest logit is the target's.
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
    gradient.div_(_predictions(targets))
    kind = losses.dtype
    return LossValue(_by_example(losses, kind), gradient, _by_example(hits, kind))


def _predictions(targets: Tensor) -> int:
    """Predictions of a lane in a batch: B, or B T for sequences."""
    return math.prod(targets.shape[1:])


def _by_example(values: Tensor, dtype: torch.dtype) -> Tensor:
    """(L, B) as it is; of sequences (L, B, T) the mean of each."""
    return values if values.dim() == 2 else values.to(dtype).mean(-1)


def logistic(outputs: Tensor, targets: Tensor) -> LossValue:
    """log(1 + eᶻ) − y z, and its gradient (σ(z) − y) / B.

    Args:
        outputs: z, (L, B, 1).
        targets: classes y, 0 or 1, (L, B), int64.

    Returns:
        Losses in nats, equal to ``binary_cross_entropy_with_logits``; class 1 is predicted
        where z > 0.
    """
    z = outputs.squeeze(-1)
    y = targets.to(z.dtype)
    losses = F.softplus(z) - y * z
    gradient = (z.sigmoid() - y).div_(z.shape[1])
    return LossValue(losses, gradient.unsqueeze(-1), (z > 0) == (targets == 1))


def quadratic(outputs: Tensor, targets: Tensor) -> LossValue:
    """½‖f − y‖², and its gradient (f − y) / B; f and y are (L, B, C)."""
    difference = outputs - targets
    squares = difference.square().sum(-1)
    return LossValue(squares / 2, difference / outputs.shape[1], squares)


def bernoulli(outputs: Tensor, targets: Tensor) -> LossValue:
    """Σ_c log(1 + eᶻ) − y z: the cross-entropy of pixels y in [0, 1] with σ(z), summed over them.

    Its gradient is (σ(z) − y) / B. The loss of the autoencoders of Hinton & Salakhutdinov 2006
    (supporting material) and Martens 2010 (section 6), whose tables give the score: ‖σ(z) − y‖².
    Where y is neither 0 nor 1 the least loss is not 0 but the entropy of y.

    Args:
        outputs: z, (L, B, C).
        targets: y, (L, B, C), in [0, 1].

    Returns:
        Losses in nats, equal to ``binary_cross_entropy_with_logits`` summed over C.
    """
    difference = outputs.sigmoid() - targets
    losses = (F.softplus(outputs) - targets * outputs).sum(-1)
    return LossValue(losses, difference / outputs.shape[1], difference.square().sum(-1))


def smoothed(share: float) -> Loss:
    """Cross-entropy against targets (1 − ε) onehot(y) + ε/C, ε the share.

    −Σ_c q_c log p_c = −log p_y + ε (z_y − z̄), z̄ the mean logit; its gradient is
    (p − q) / B. As ``torch.nn.functional.cross_entropy(label_smoothing=ε)`` (Szegedy et al. 2016,
    section 7). Scores are those of the targets as they are.
    """

    def loss(outputs: Tensor, targets: Tensor) -> LossValue:
        value = cross_entropy(outputs, targets)
        chosen = targets.unsqueeze(-1)
        lead = outputs.gather(-1, chosen).squeeze(-1) - outputs.mean(-1)
        unit = share / _predictions(targets)
        gradient = value.gradient - unit / outputs.shape[-1]
        gradient.scatter_add_(-1, chosen, torch.full_like(outputs, unit))
        return LossValue(
            value.losses + share * _by_example(lead, lead.dtype), gradient, value.scores
        )

    return loss


def training_loss(name: str, label_smoothing: float) -> Loss:
    """The loss that is minimized; the one that is measured is ``LOSSES[name]``."""
    return smoothed(label_smoothing) if label_smoothing else LOSSES[name]


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "logistic": logistic,
    "quadratic": quadratic,
    "bernoulli": bernoulli,
}
