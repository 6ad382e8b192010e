"""Hyperparameters that change in the course of training: by a list, or in a population."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from trainables.configs.base import Bound, Config, Duration, Positive

DIGITS = 6
"""Significant digits of a value that a population has found: enough, and it can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change(Config):
    """Hyperparameters of the optimizer that are others from a step on."""

    step: Annotated[int, Bound(ge=0)]
    """Counts batches of ``batch_size``, as all durations do."""
    optimizer: dict[str, float]
    """Name → value. ``lr`` is the peak of the schedule: what is left of it is scaled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutable(Config):
    """A float hyperparameter of the optimizer that a population searches, and its range."""

    name: str
    low: float
    high: float
    log: bool = False

    def at(self, share: float) -> float:
        """The value at ``share`` in [0, 1] of the range, even on its scale."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return self.within(math.exp(low * (1 - share) + high * share))
        return self.within(self.low * (1 - share) + self.high * share)

    def within(self, value: float) -> float:
        """The value, rounded and clipped into the range."""
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Population(Config):
    """The population that a run is a member of (Jaderberg et al. 2017).

    Its numbers depend on the other members, so this is part of what identifies a run.
    """

    size: Annotated[int, Bound(ge=2)]
    interval: Duration
    """Between two exchanges; a whole number of evaluations."""
    quantile: Annotated[float, Bound(gt=0, le=0.5)]
    resample: Annotated[float, Bound(ge=0, le=1)]
    factors: tuple[Positive, ...]
    seed: Annotated[int, Bound(ge=0)]
    metric: str
    mode: Literal["min", "max"]
    space: tuple[Mutable, ...]
    members: str
    """Digest of the configurations that all members begin with."""
