"""Rules of our own: patience with one run, and budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.spec.stopping_rules import Budget, Patience
from orchestrator.store.standing import PATIENCE


class PatienceRule:
    """Ends a run whose metric has not improved by more than a margin for some evaluations.

    With b the best value at the last improvement, an evaluation improves where its value is
    better than b by more than ``min_delta``; values that are no numbers do not.
    """

    def __init__(self, rule: Patience) -> None:
        self._rule = rule
        self._sign = 1 if rule.mode == "max" else -1
        self._best: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def observe(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> str | None:
        """Why the run must end after this evaluation, or None."""
        value = self._sign * row[str(self._rule.metric)]
        if value > self._best.get(run_id, -math.inf) + self._rule.min_delta:
            self._best[run_id], self._since[run_id] = value, 0
            return None
        since = self._since[run_id] = self._since.get(run_id, 0) + 1
        if ended or since < self._rule.evaluations:
            return None
        return (
            f"{PATIENCE}{self._rule.metric} has not improved for {since} evaluations"
            f" at step {row['step']}"
        )

    def remember(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> None:
        """Takes in an evaluation of an earlier launch."""
        self.observe(run_id, row, ended=ended)


class BudgetRule:
    """Ends runs that have taken their time, and the study once it has used up its own."""

    def __init__(
        self,
        rule: Budget,
        *,
        elapsed: Callable[[], float],
        gpus: float,
        cpus: float,
    ) -> None:
        """
        Args:
            elapsed: seconds of wall clock that the study has taken so far, in all launches.
            gpus, cpus: what a pack takes.
        """
        self._rule = rule
        self._elapsed = elapsed
        self._gpus, self._cpus = gpus, cpus
        self._seconds: dict[str, float] = {}

    def observe(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> str | None:
        """See ``PatienceRule.observe``."""
        self._seconds[run_id] = max(row["seconds"], self._seconds.get(run_id, 0.0))
        limit = self._rule.run_seconds
        if ended or limit is None or row["seconds"] < limit:
            return None
        return f"budget: {limit:g} s of training are used up at step {row['step']}"

    def remember(self, run_id: str, row: Mapping[str, Any], *, ended: bool) -> None:
        """Takes in an evaluation of an earlier launch."""
        self.observe(run_id, row, ended=ended)

    def used_up(self) -> str | None:
        """Why nothing of the study may go on, or None.

        A run's seconds are its share of its pack's, so their sum is the time of all packs.
        """
        trained = sum(self._seconds.values()) / 3600
        used: Iterable[tuple[float | None, float, str]] = (
            (self._rule.hours, self._elapsed() / 3600, "hours"),
            (self._rule.gpu_hours, trained * self._gpus, "GPU-hours"),
            (self._rule.cpu_hours, trained * self._cpus, "CPU-hours"),
        )
        for limit, amount, unit in used:
            if limit is not None and amount >= limit:
                return f"budget: {limit:g} {unit} are used up"
        return None
