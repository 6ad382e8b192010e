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
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """``triangular2`` halves the amplitude after each cycle; ``exp_range`` multiplies it by
    ``gamma`` after each step."""
    gamma: PositiveFraction = 1.0

    def __post_init__(self) -> None:
        if (self.gamma < 1) != (self.mode == "exp_range"):
            raise ValueError("a gamma below 1 goes with mode exp_range, and with no other")


@dataclass(frozen=True, kw_only=True, slots=True)
class OneCycle(Config):
    """One rise from ``start`` × peak to the peak and one fall to ``final`` × peak
    (Smith & Topin 2018); ``warmup`` is the rise."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup: Duration = 0.3
    start: PositiveFraction = 0.04
    final: PositiveFraction = 4e-6
    anneal: Literal["cosine", "linear"] = "cosine"


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseSqrt(Warmed):
    """peak × √(o / (t + o)), t steps after warmup (Vaswani et al. 2017, with o = warmup)."""

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    offset: Duration | None = None
    """o; null: as long as the warmup, and a step at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wsd(Warmed):
    """Warmup, stable, decay (Hu et al. 2024): the peak, then down to ``final`` × peak."""

    name: Literal["wsd"] = "wsd"
    decay: Duration = 0.2
    """The last part of training, in which the rate falls."""
    shape: Literal["linear", "cosine", "sqrt"] = "linear"
    """``sqrt``: 1 − √u, u the share of the decay that is over (Hägele et al. 2024)."""
    final: Ratio = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rex(Warmed):
    """peak × (1 − u) / (½ + ½(1 − u)), u = t/T (Chen et al. 2022)."""

    name: Literal["rex"] = "rex"


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTest(Warmed):
    """Learning-rate range test (Smith 2017): from ``start`` × peak up to the peak."""

    name: Literal["range_test"] = "range_test"
    start: PositiveFraction = 1e-5
    growth: Literal["exponential", "linear"] = "exponential"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plateau(Warmed):
    """Multiplied by ``factor`` when the metric has stopped to fall."""

    name: Literal["plateau"] = "plateau"
    metric: Literal["valid/loss", "train/loss"] = "valid/loss"
    factor: Annotated[float, Bound(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Bound(ge=0)] = 10
    """Evaluations without improvement that are let pass."""
    threshold: NonNegative = 1e-4
    """An improvement is a fall by more than this share."""
    cooldown: Annotated[int, Bound(ge=0)] = 0
    """Evaluations after a reduction that do not count."""
    final: Ratio = 0.0
    """The smallest rate, as a share of the peak."""


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
    | InverseSqrt
    | Wsd
    | Rex
    | RangeTest
    | Plateau
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
    "inverse_sqrt": InverseSqrt,
    "wsd": Wsd,
    "rex": Rex,
    "range_test": RangeTest,
    "plateau": Plateau,
}
