"""How long packs take: a stack's step as a constant and a part for each of its lanes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan import lane_cost
from orchestrator.plan.packs import steps_per_epoch
from orchestrator.simulate.curve import SimulateError
from trainables.configs.function_run import FunctionRun, Run
from trainables.configs.run import RunConfig, fusion_key

STACK_SECONDS = 3.5e-4
"""What a step of a stack takes beside its lanes, where only one width was measured, or none. From
the digits MLP in docs/performance.md: steps of 1, 16, 64 and 256 lanes take 0.39, 0.99, 3.6 and
12.9 ms, about 0.35 ms + 0.05 ms a lane."""
_SHARE = 0.9
"""Of a measured step at most so much is the stack's."""

Measured = Mapping[str, Sequence[tuple[int, float]]]
"""Fusion key → (lanes of a stack, seconds for one step of one of these lanes)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Seconds that a stack of L lanes takes: ``step + L · lane`` for each batch, and
    ``L · evaluation`` for an evaluation."""

    step: float
    lane: float
    evaluation: float = 0.0

    def seconds(self, lanes: int, batches: int) -> float:
        """From one evaluation to the next, both included once."""
        return batches * (self.step + lanes * self.lane) + lanes * self.evaluation


class Paces:
    """The pace of each fusion key: as given, as measured, or as ``regatta plan`` has it."""

    def __init__(self, measured: Measured, given: Pace | None = None) -> None:
        self._measured = measured
        self._given = given
        self._known: dict[str, Pace] = {}

    def of(self, run: Run, key: str) -> Pace:
        """
        Raises:
            SimulateError: nothing is known of the run's model or data.
        """
        if self._given is not None:
            return self._given
        if key not in self._known:
            self._known[key] = self._find(run, key)
        return self._known[key]

    def _find(self, run: Run, key: str) -> Pace:
        found = self._measured.get(key) or [one for some in self._measured.values() for one in some]
        if isinstance(run, FunctionRun):
            if not found:
                raise SimulateError(_UNKNOWN)
            return Pace(step=0.0, lane=statistics.median(seconds for _, seconds in found))
        if found:
            return _fitted(run, found)
        modelled = lane_cost(run, None)
        if modelled is None or not modelled.step or steps_per_epoch(run) is None:
            raise SimulateError(_UNKNOWN)
        return Pace(step=STACK_SECONDS, lane=modelled.step, evaluation=modelled.evaluation)


_UNKNOWN = (
    "how long a step takes is not known of this model and data: give --step-seconds, or --curves"
    " of a study that was trained"
)


def _fitted(run: RunConfig, found: Sequence[tuple[int, float]]) -> Pace:
    """Least squares for L · seconds = step + L · lane; of one width the constant is assumed."""
    step, lane = _line([(lanes, lanes * seconds) for lanes, seconds in found])
    alone = statistics.median(seconds for _, seconds in found)
    cost = lane_cost(run, alone)
    return Pace(step=step, lane=lane, evaluation=cost.evaluation if cost is not None else 0.0)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Intercept and slope, neither below 0."""
    x = statistics.fmean(lanes for lanes, _ in points)
    y = statistics.fmean(seconds for _, seconds in points)
    spread = sum((lanes - x) ** 2 for lanes, _ in points)
    if spread > 0:
        slope = sum((lanes - x) * (seconds - y) for lanes, seconds in points) / spread
        if slope > 0 and y - slope * x >= 0:
            return y - slope * x, slope
        if slope > 0:
            return 0.0, y / x
    constant = min(STACK_SECONDS, _SHARE * y)
    return constant, (y - constant) / x


def pack_key(run: Run) -> str:
    """The fusion key; runs of a user's own training have none."""
    return fusion_key(run) if isinstance(run, RunConfig) else ""
