"""A line search for steps that satisfy the strong Wolfe conditions, in every lane at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.optimizers.lag import Over

_GROWTH = 4.0
"""What a step that is too short is multiplied by (Nocedal & Wright leave it open)."""
_MARGIN = 0.1
"""A trial stays away from both ends of its interval by that share of it."""

At = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Steps α (L,) → φ(α) and φ′(α), (L,) float64, and the gradient there, (L, P)."""


class Point(NamedTuple):
    """A step along the direction, (L,) float64 each."""

    step: Tensor
    value: Tensor
    slope: Tensor


def strong_wolfe(
    at: At,
    start: Point,
    gradient: Tensor,
    first: Tensor,
    *,
    c1: Tensor,
    c2: Tensor,
    trials: int,
) -> tuple[Tensor, Tensor]:
    """α with φ(α) ≤ φ(0) + c₁αφ′(0) and |φ′(α)| ≤ −c₂φ′(0).

    Nocedal & Wright 2006, algorithms 3.5 (steps grow until an interval holds such an α) and 3.6
    (the interval shrinks, by cubic interpolation, equation 3.59, kept off its ends). Lanes are each
    in a phase of their own, one trial a round for all; those that are done wait, unchanged. After
    ``trials`` the lower end of the interval is taken: the best step so far with the first
    condition, 0 where there is none. Lanes with φ′(0) ≥ 0, or none, take 0.

    Args:
        start: at α = 0.
        gradient: there, (L, P).
        first: the first trial, (L,).

    Returns:
        α (L,) and the gradient there (L, P).
    """
    low = high = start
    step, found = first, gradient
    zooming = torch.zeros_like(first, dtype=torch.bool)
    done, over = ~(start.slope < 0), Over(first.device)
    for trial in range(trials):
        value, slope, there = at(step)
        new = Point(step, value, slope)
        bound = start.value + c1 * step * start.slope
        good = (value <= bound) & (value < low.value) & slope.isfinite() & ~done
        ends = good & (slope.abs() <= -c2 * start.slope)
        # Past a minimum: the interval lies between this step and the last good one.
        past = good & ~ends & (slope * torch.where(zooming, high.step - low.step, 1) >= 0)
        high = _chosen(past, low, _chosen(~good & ~done, new, high))
        zooming = zooming | past | (~good & ~done)
        low = _chosen(good, new, low)
        found = torch.where(good.unsqueeze(1), there, found)
        done = done | ends
        if trial == trials - 1 or over.says(done.all()):
            break
        step = torch.where(zooming, _between(low, high), step * _GROWTH)
    return low.step, found


def _chosen(where: Tensor, new: Point, old: Point) -> Point:
    return Point(*(torch.where(where, a, b) for a, b in zip(new, old, strict=True)))


def _between(a: Point, b: Point) -> Tensor:
    """The minimum of the cubic through both ends, kept off them; the middle where there is none."""
    width = b.step - a.step
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    d2 = width.sign() * (d1.square() - a.slope * b.slope).sqrt()
    share = 1 - (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
    share = torch.where(share.isfinite(), share, 0.5)
    return a.step + width * share.clamp(_MARGIN, 1 - _MARGIN)
