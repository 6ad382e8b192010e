"""Learning-rate schedules. ``optimizer.lr`` is the peak; shares and ratios are relative to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from trainables.configs.base import (
    Bound,
    Config,
    Count,
    Duration,
    NonNegative,
    PositiveFraction,
)

Ratio = Annotated[float, Bound(ge=0, le=1)]
"""A learning rate as a share of the peak."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmed(Config):
    """Linear warmup from peak/n to the peak over ``warmup`` = n steps, then the schedule."""

    warmup: Duration = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant(Warmed):
    """The peak throughout."""

    name: Literal["constant"] = "constant"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step(Warmed):
    """Multiplied by ``gamma`` after every ``every``."""

    name: Literal["step"] = "step"
    every: Duration = 0.3
    gamma: PositiveFraction = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiStep(Warmed):
    """Multiplied by ``gamma`` at each of the milestones (counted from the end of warmup)."""

    name: Literal["multistep"] = "multistep"
    milestones: tuple[Duration, ...] = (0.5, 0.75)
    gamma: PositiveFraction = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Exponential(Warmed):
    """Multiplied by a constant each step, so that training ends at ``final`` × peak."""

    name: Literal["exponential"] = "exponential"
    final: PositiveFraction = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear(Warmed):
    """A straight line from the peak to ``final`` × peak."""

    name: Literal["linear"] = "linear"
    final: Ratio = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Polynomial(Warmed):
    """peak × (1 − t/T)^power."""

    name: Literal["polynomial"] = "polynomial"
    power: NonNegative = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosine(Warmed):
    """Half a cosine from the peak to ``final`` × peak."""

    name: Literal["cosine"] = "cosine"
    final: Ratio = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sgdr(Warmed):
    """Cosine with warm restarts (Loshchilov & Hutter 2017): the i-th cycle lasts
    ``period`` × ``multiplier``^i."""

    name: Literal["sgdr"] = "sgdr"
    period: Duration = 0.15
    multiplier: Count = 2
    final: Ratio = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cyclic(Warmed):
    """Triangular cycles between ``low`` × peak and the peak (Smith 2017)."""

    name: Literal["cyclic"] = "cyclic"
    period: Duration = 0.2
    low: Ratio = 0.1
    mode: Literal["triangular", "triangular2"] = "triangular"
    """``triangular2`` halves the amplitude after each cycle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneCycle(Config):
    """One rise from ``start`` × peak to the peak and one fall to ``final`` × peak
    (Smith & Topin 2018); ``warmup`` is the rise."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup: Duration = 0.3
    start: PositiveFraction = 0.04
    final: PositiveFraction = 4e-6
    anneal: Literal["cosine", "linear"] = "cosine"


Schedule = (
    Constant
    | Step
    | MultiStep
    | Exponential
    | Linear
    | Polynomial
    | Cosine
    | Sgdr
    | Cyclic
    | OneCycle
)
SCHEDULES: dict[str, type[Config]] = {
    "constant": Constant,
    "step": Step,
    "multistep": MultiStep,
    "exponential": Exponential,
    "linear": Linear,
    "polynomial": Polynomial,
    "cosine": Cosine,
    "sgdr": Sgdr,
    "cyclic": Cyclic,
    "one_cycle": OneCycle,
}
