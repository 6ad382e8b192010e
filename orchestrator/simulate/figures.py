"""What a simulation has come to: figures of each repeat, their medians, and one finding."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.simulate.curve import Curve
from orchestrator.simulate.machine import Machine
from orchestrator.simulate.player import Lane, Played
from orchestrator.spec.study import OwnObjective
from orchestrator.store.standing import is_whole

NEAR = 0.01
"""A best value within so much of the full set's counts as found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Of one search with one rule in one repeat."""

    runs: float
    """Of the design, or that the searcher suggested."""
    started: float
    completed: float
    stopped: float
    diverged: float
    steps: float
    """Steps trained as a share of what the runs would take without a rule."""
    seconds: float
    """Virtual wall clock, from the start of the study."""
    gpu_hours: float
    cpu_hours: float
    slots: float
    """Share of the slots' time that packs trained, from the first pack on."""
    lanes: float
    """Share of the packs' lanes that trained while they did."""
    best: float
    """Best value at the end of a run that had all of its training; of any run where none had."""
    regret: float
    """How much worse that is than the best of the full set, as a share of the latter: of all runs
    of this repeat, of each search that is compared, trained to their ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Over the repeats."""

    median: float
    low: float
    """5th percentile."""
    high: float
    """95th percentile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One search with one rule."""

    search: str
    rule: str
    figures: tuple[Figures, ...]
    """One a repeat."""

    def interval(self, name: str) -> Interval:
        """Of a field of ``Figures``."""
        values = [getattr(one, name) for one in self.figures]
        known = [value for value in values if not math.isnan(value)]
        if not known:
            return Interval(median=math.nan, low=math.nan, high=math.nan)
        low, median, high = np.quantile(known, [0.05, 0.5, 0.95]).tolist()
        return Interval(median=median, low=low, high=high)

    @property
    def name(self) -> str:
        return f"{self.search} with {self.rule}" if self.rule != "none" else f"{self.search} alone"


NAMES = tuple(field.name for field in dataclasses.fields(Figures))


def found_best(lanes: Sequence[Lane], objective: OwnObjective) -> float:
    """See ``Figures.best``; NaN where no run has a value."""
    whole = [lane for lane in lanes if is_whole(lane.status, lane.reason)]
    for some in (whole, lanes):
        values = [value for lane in some if (value := lane.value(objective.metric)) is not None]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            return min(finite) if objective.mode == "min" else max(finite)
    return math.nan


def full_best(curves: Sequence[Curve], objective: OwnObjective) -> float:
    """The best value at the end of any of the curves; NaN where there is none."""
    values = [curve.final(objective.metric) for curve in curves]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return math.nan
    return min(finite) if objective.mode == "min" else max(finite)


def figures_of(
    played: Played,
    full: Sequence[Curve],
    best: float,
    objective: OwnObjective,
    machine: Machine,
) -> Figures:
    """
    Args:
        full: the curves of all runs of the search.
        best: the best of the full set.
    """
    lanes = list(played.lanes.values())
    counts = Counter(lane.status for lane in lanes)
    found = found_best(lanes, objective)
    sign = 1 if objective.mode == "min" else -1
    hours = played.slot_seconds / 3600
    return Figures(
        runs=len(full),
        started=len(lanes),
        completed=counts["completed"],
        stopped=counts["stopped"],
        diverged=counts["diverged"],
        steps=_share(sum(lane.batches for lane in lanes), sum(curve.batches[-1] for curve in full)),
        seconds=played.ended,
        gpu_hours=hours * machine.gpus_a_pack,
        cpu_hours=hours * machine.cpus_a_pack,
        slots=_share(played.slot_seconds, machine.slots * (played.ended - played.began)),
        lanes=_share(played.lane_seconds, played.width_seconds),
        best=found,
        regret=sign * (found - best) / (abs(best) or 1.0) + 0.0,
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def finding(cases: Sequence[Case], metric: str) -> str:
    """One sentence: the cheapest case that finds the best, else the one that comes nearest."""
    known = [case for case in cases if not math.isnan(case.interval("regret").median)]
    if not known:
        return f"No run has a value of {metric}."
    near = [case for case in known if case.interval("regret").median <= NEAR]
    if near:
        chosen = min(near, key=lambda case: case.interval("gpu_hours").median)
    else:
        chosen = min(known, key=lambda case: case.interval("regret").median)
    steps, regret = chosen.interval("steps"), chosen.interval("regret")
    away = f"{_percent(regret.median, 1)} from" if not near else (
        f"within {_percent(regret.median, 1)} of"
    )  # fmt: skip
    return (
        f"{chosen.name} comes {away} the best {metric}"
        f" ({_percent(regret.low, 1)} to {_percent(regret.high, 1)})"
        f" with {_percent(steps.median)} of the steps"
        f" ({_percent(steps.low)} to {_percent(steps.high)}){_saved(chosen, cases)}."
    )


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * max(0.0, share):.{digits}f} %"


def _saved(chosen: Case, cases: Sequence[Case]) -> str:
    """What it saves of the same search without a rule, where that was simulated, too."""
    plain = next((c for c in cases if c.search == chosen.search and c.rule == "none"), None)
    others = [case for case in cases if case.search == chosen.search and case is not plain]
    if plain is chosen and others:
        return "; no rule that comes as near takes less time"
    if plain is None or plain is chosen:
        return ""
    before = plain.interval("gpu_hours").median
    share = 1 - chosen.interval("gpu_hours").median / before if before else 0.0
    return (
        f" and saves {_percent(share)} of the slots' time"
        if share > 0
        else " but none of the slots' time"
    )
