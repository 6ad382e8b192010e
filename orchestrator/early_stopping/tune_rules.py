"""Rules that decide by Tune's own schedulers, asked lane by lane.

A lane is no trial of Tune's. What its schedulers read of one is its id, and that it can be a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from orchestrator.early_stopping.clock import Clock
from orchestrator.spec.stopping_rules import Asha, Median
from orchestrator.store.standing import MAX_REACHED

Clocks = Callable[[str], Clock]
"""run_id → its clock."""
_WORDS = {2.0: "half", 3.0: "third", 4.0: "quarter", 5.0: "fifth", 10.0: "tenth"}
_NO_CONTROLLER: Any = None
"""Both schedulers ask Tune's controller for nothing in what is used of them."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What stands for a trial."""

    trial_id: str


class AshaRule:
    """Tune's ``AsyncHyperBandScheduler``, with time in units of the grace: rungs at reductionᵏ.

    So that runs with batches of different sizes meet at the same rungs where the grace is in
    epochs or a share of training. With a grace of g steps everywhere the rungs are those of Tune
    with ``grace_period=g``.
    """

    def __init__(self, rule: Asha, clock: Clocks, longest: float) -> None:
        """
        Args:
            longest: units of grace in the longest run: it decides how many rungs there are.
        """
        self._rule = rule
        self._clock = clock
        self._known: set[str] = set()
        self._scheduler = AsyncHyperBandScheduler(
            time_attr="time",
            metric="value",
            mode=rule.mode,
            max_t=max(1.0, longest),
            grace_period=1,
            reduction_factor=rule.reduction,
            brackets=rule.brackets,
        )

    def observe(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> str | None:
        """Why the run must end after this evaluation, or None.

        Args:
            ended: it has ended by itself.
        """
        lane, clock = Lane(run_id), self._clock(run_id)
        if run_id not in self._known:
            self._known.add(run_id)
            with _seeded(self._rule.seed, run_id):
                self._scheduler.on_trial_add(_NO_CONTROLLER, lane)
        result = {"time": _time(clock, self._rule.grace, row), "value": row[str(self._rule.metric)]}
        if ended:
            self._scheduler.on_trial_complete(_NO_CONTROLLER, lane, result)
            return None
        if clock.at(row) >= clock.end(self._rule.max):
            # How long the user's own training is, it knows itself.
            own = clock.batch_size is None
            return None if own else f"{MAX_REACHED} at step {row['step']}"
        if self._scheduler.on_trial_result(_NO_CONTROLLER, lane, result) != TrialScheduler.STOP:
            return None
        best = _WORDS.get(self._rule.reduction, f"1/{self._rule.reduction:g}")
        return f"asha: not among the best {best} at step {row['step']}"

    def remember(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> None:
        """Takes in an evaluation of an earlier launch; a rung keeps the same, whatever is said."""
        self.observe(run_id, row, ended=ended)


class MedianRule:
    """Tune's ``MedianStoppingRule``, with time in units of the grace."""

    def __init__(self, rule: Median, clock: Clocks) -> None:
        self._rule = rule
        self._clock = clock
        self._scheduler = MedianStoppingRule(
            time_attr="time",
            metric="value",
            mode=rule.mode,
            grace_period=1.0,
            min_samples_required=rule.min_runs,
            # No lane makes room for another by pausing.
            min_time_slice=float("inf"),
        )

    def observe(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> str | None:
        """See ``AshaRule.observe``."""
        if ended:
            self.remember(run_id, row, ended=True)
            return None
        result = self._result(run_id, row)
        decision = self._scheduler.on_trial_result(_NO_CONTROLLER, Lane(run_id), result)
        if decision != TrialScheduler.STOP:
            return None
        return f"median: worse than the median of the other runs at step {row['step']}"

    def remember(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> None:
        """Takes in an evaluation without deciding: Tune refuses to be asked of a run again that
        it once said to stop, and seen in another order it may say so of others."""
        result = self._result(run_id, row)
        self._scheduler.on_trial_complete(_NO_CONTROLLER, Lane(run_id), result)

    def _result(self, run_id: str, row: Mapping[str, Any]) -> dict[str, float]:
        time = _time(self._clock(run_id), self._rule.grace, row)
        return {"time": time, "value": row[str(self._rule.metric)]}


def _time(clock: Clock, grace: Any, row: Mapping[str, Any]) -> float:
    return clock.at(row) / clock.steps(grace)


@contextmanager
def _seeded(seed: int, run_id: str) -> Iterator[None]:
    """NumPy's global generator, which Tune draws from, in a state that is the run's own.

    So a draw depends neither on what else draws from it nor on which run came first.
    """
    before = np.random.get_state()
    digest = hashlib.sha256(f"{seed}:{run_id}".encode()).digest()
    np.random.seed(int.from_bytes(digest[:4], "big"))
    try:
        yield
    finally:
        np.random.set_state(before)
