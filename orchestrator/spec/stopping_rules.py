"""Rules that end runs early: what a study's ``early_stopping`` can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from trainables.configs.base import (
    Bound,
    Config,
    Count,
    Duration,
    Epochs,
    NonNegative,
    Positive,
    Steps,
)


def _amount(duration: Duration) -> float:
    if isinstance(duration, Steps):
        return duration.steps
    return duration.epochs if isinstance(duration, Epochs) else duration


def _check_grace(grace: Duration) -> None:
    if _amount(grace) == 0:
        raise ValueError("grace must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asha(Config):
    """Asynchronous successive halving (Li et al. 2020, algorithm 2, as Ray Tune stops runs).

    Rungs stand at grace · reductionᵏ. A run that reaches one goes on if it is among the best
    1 / reduction of the runs that have reached it so far.
    """

    name: Literal["asha"] = "asha"
    grace: Duration = Epochs(epochs=1.0)
    """How long every run trains at least: the first rung."""
    reduction: Annotated[float, Bound(gt=1)] = 3.0
    """One in so many goes on at each rung."""
    max: Duration | None = None
    """Where the rungs end, and a run is stopped in any case; by default its whole training. With
    ``trainable`` it only says where the rungs end."""
    brackets: Count = 1
    """More than one: asynchronous HyperBand. Bracket s begins with the rung grace · reductionˢ; a
    run is put into one at random, with probability ∝ e^(rungs of the bracket)."""
    seed: Annotated[int, Bound(ge=0)] = 0
    """Of the choice of brackets."""
    metric: str | None = None
    """By default the study's objective."""
    mode: Literal["min", "max"] | None = None

    def __post_init__(self) -> None:
        _check_grace(self.grace)
        if type(self.max) is type(self.grace) and _amount(self.max) < _amount(self.grace):
            raise ValueError("max must be at least grace")


@dataclass(frozen=True, kw_only=True, slots=True)
class Median(Config):
    """The median stopping rule (Golovin et al. 2017, section 3.2.2, as Ray Tune has it).

    A run is stopped where its best value so far is worse than the median of the other runs'
    averages up to the same point of training, each from the grace on.
    """

    name: Literal["median"] = "median"
    grace: Duration = Epochs(epochs=1.0)
    """How long every run trains at least."""
    min_runs: Count = 3
    """Other runs that must have come as far, before any is stopped."""
    metric: str | None = None
    """By default the study's objective."""
    mode: Literal["min", "max"] | None = None

    def __post_init__(self) -> None:
        _check_grace(self.grace)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience(Config):
    """A run is stopped where its own metric has not improved for so many evaluations."""

    name: Literal["patience"] = "patience"
    evaluations: Count
    """Evaluations in a row without an improvement."""
    min_delta: NonNegative = 0.0
    """What counts as one is better than the best before by more than this."""
    metric: str | None = None
    """By default the study's objective."""
    mode: Literal["min", "max"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget(Config):
    """What the study, or a run, may take at most."""

    name: Literal["budget"] = "budget"
    hours: Positive | None = None
    """Wall-clock hours of the study, counted over all its launches."""
    gpu_hours: Positive | None = None
    """GPUs of a pack × the hours that packs have trained, summed over packs."""
    cpu_hours: Positive | None = None
    """CPUs of a pack × the hours that packs have trained, summed over packs."""
    run_seconds: Positive | None = None
    """Seconds of training for each run: its share of the time that its lanes take."""

    def __post_init__(self) -> None:
        if not any((self.hours, self.gpu_hours, self.cpu_hours, self.run_seconds)):
            raise ValueError("write at least one of hours, gpu_hours, cpu_hours and run_seconds")


Ranked = Asha | Median | Patience
"""Rules that look at a metric."""
StoppingRule = Ranked | Budget
STOPPING_RULES: dict[str, type[Config]] = {
    "asha": Asha,
    "median": Median,
    "patience": Patience,
    "budget": Budget,
}
