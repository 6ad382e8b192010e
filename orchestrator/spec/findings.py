"""What a check between two sections says, and what such checks measure durations with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainables.configs import Train
from trainables.configs.base import ENDLESS, Duration, Epochs, Steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong between two sections."""

    path: tuple[str | int, ...]
    message: str
    related: tuple[str, ...] = ()
    """The path in the other section that it depends on."""
    kind: Literal["value", "whole"] = "value"


def unit_of(train: Train) -> tuple[Literal["epochs", "steps"], float]:
    """The unit that training's length is written in, and the length."""
    if train.steps is not None:
        return "steps", train.steps
    assert train.epochs is not None
    return "epochs", train.epochs


def measured_in(unit: str, duration: Duration, total: float) -> float | None:
    """A duration in this unit, of a whole of ``total``; None where the data must be known."""
    if isinstance(duration, Steps | Epochs):
        own = duration.steps if isinstance(duration, Steps) else duration.epochs
        same = isinstance(duration, Steps) == (unit == "steps")
        return min(own, ENDLESS) if same or own == 0 else None
    return round(duration * total) if unit == "steps" else duration * total
