"""Learning-rate schedules. ``optimizer.lr`` is the peak; shares and ratios are relative to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from trainables.configs.base import (
    Bound,
    Config,
    Count,
    Duration,
    Fraction,
    NonNegative,
    PositiveFraction,
)

Ratio = Annotated[float, Bound(ge=0, le=1)]
"""A learning rate as a share of the peak."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Warmed(Config):
    """Warmup over ``warmup`` = n steps, then the schedule."""

    warmup: Duration = 0.0
    warmup_start: PositiveFraction | None = None
    """The rate of the first step as a share of the peak; null: 1/n."""
    warmup_shape: Literal["linear", "constant"] = "linear"
    """``linear``: a line from there to the peak, which the n-th step has; ``constant``: all n
    steps at ``warmup_start`` (Goyal et al. 2017)."""

    def __post_init__(self) -> None:
        if self.warmup_shape == "constant" and self.warmup_start is None:
            raise ValueError("warmup_shape constant needs a warmup_start")


def _check_momenta(schedule: Cyclic | OneCycle) -> None:
    """The two ends of a momentum's cycle make sense, and are written only where it cycles."""
    if schedule.base_momentum > schedule.max_momentum:
        raise ValueError("base_momentum must not exceed max_momentum")
    ends = ("base_momentum", "max_momentum")
    own = {f.name: f.default for f in fields(schedule) if f.name in ends}
    if not schedule.cycle_momentum and any(getattr(schedule, key) != own[key] for key in own):
        raise ValueError("base_momentum and max_momentum go with cycle_momentum: true")


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant(Warmed):
    """``factor`` × peak throughout, or for as long as ``until`` and then the peak."""

    name: Literal["constant"] = "constant"
    factor: PositiveFraction = 1.0
    until: Duration | None = None
    """null: throughout."""


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
    """A straight line from ``start`` × peak to ``final`` × peak."""

    name: Literal["linear"] = "linear"
    start: PositiveFraction = 1.0
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
    rise: Annotated[float, Bound(gt=0, lt=1)] = 0.5
    """The share of a period in which the rate rises."""
    cycle_momentum: bool = False
    """The optimizer's momentum (or beta1) moves against the rate: from ``max_momentum`` where
    the rate is lowest to ``base_momentum`` at the peak. What ``optimizer`` says has no effect."""
    base_momentum: Fraction = 0.8
    max_momentum: Fraction = 0.9

    def __post_init__(self) -> None:
        Warmed.__post_init__(self)
        _check_momenta(self)
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
    three_phase: bool = False
    """The fall mirrors the rise, down to ``start`` × peak; what is left leads to ``final``."""
    cycle_momentum: bool = False
    """The optimizer's momentum (or beta1) moves against the rate: from ``max_momentum`` down to
    ``base_momentum`` at the peak and back. What ``optimizer`` says has no effect."""
    base_momentum: Fraction = 0.85
    max_momentum: Fraction = 0.95

    def __post_init__(self) -> None:
        _check_momenta(self)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence(Warmed):
    """Schedules one after the other, each from its own beginning and at the same peak.

    Each is as in a training of its own that lasts as long as its part: shares in it are of
    the part.
    """

    name: Literal["sequence"] = "sequence"
    schedules: tuple[Schedule, ...]
    durations: tuple[Duration, ...]
    """Of all but the last schedule, which has the rest; shares are of the whole."""

    def __post_init__(self) -> None:
        Warmed.__post_init__(self)
        _check_parts(self)
        if len(self.durations) != len(self.schedules) - 1:
            raise ValueError(
                f"{len(self.schedules)} schedules need {len(self.schedules) - 1} durations (the"
                f" last has the rest), got {len(self.durations)}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain(Warmed):
    """Several schedules at once: the product of what each makes of the peak."""

    name: Literal["chain"] = "chain"
    schedules: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        Warmed.__post_init__(self)
        _check_parts(self)
        if sum(cycling(part) is not None for part in self.schedules) > 1:
            raise ValueError("only one schedule of a chain can cycle the momentum")


@dataclass(frozen=True, kw_only=True, slots=True)
class UserSchedule(Warmed):
    """A user's function ``module:callable``: the rate as a share of the peak.

    It takes ``step`` and, where it asks for them, ``total_steps`` and ``steps_per_epoch``, and
    ``args``. Steps count from 0 at the end of the warmup; ``total_steps`` is what it leaves.
    """

    name: str
    args: dict[str, Any] = field(default_factory=dict)
    multiplicative: bool = False
    """What is returned multiplies the rate of the step before, from step 1 on."""

    def __hash__(self) -> int:
        # Tables are kept by schedule, and a dict has no hash of its own.
        return hash((self.name, json.dumps(self.args, sort_keys=True, default=repr)))


def _check_parts(schedule: Sequence | Chain) -> None:
    if not schedule.schedules:
        raise ValueError("schedules must not be empty")
    if any(isinstance(part, Plateau) for part in schedule.schedules):
        raise ValueError(f"plateau follows evaluations and cannot be part of a {schedule.name}")


def cycling(schedule: Schedule) -> tuple[str | int, ...] | None:
    """The path to the first ``cycle_momentum`` that is true; None where there is none."""
    if isinstance(schedule, Cyclic | OneCycle):
        return ("cycle_momentum",) if schedule.cycle_momentum else None
    if isinstance(schedule, Sequence | Chain):
        for index, part in enumerate(schedule.schedules):
            if (path := cycling(part)) is not None:
                return ("schedules", index, *path)
    return None


def has_user_code(schedule: Schedule) -> bool:
    if isinstance(schedule, Sequence | Chain):
        return any(has_user_code(part) for part in schedule.schedules)
    return isinstance(schedule, UserSchedule)


NamedSchedule = (
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
    | Sequence
    | Chain
)
Schedule = NamedSchedule | UserSchedule
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
    "sequence": Sequence,
    "chain": Chain,
}
