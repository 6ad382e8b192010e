"""All rules of a study as one: asked once a row, whatever is replayed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from orchestrator.early_stopping.clock import Clock
from orchestrator.early_stopping.own_rules import BudgetRule, PatienceRule
from orchestrator.spec.stopping_rules import Asha, Median, Patience, StoppingRule

Row = Mapping[str, Any]


class Rule(Protocol):
    """Sees every evaluation of every run, once, in order of each run's steps.

    What it keeps depends on the set of rows that it has seen, not on how those of different
    runs mixed: so it can be made again from the store.
    """

    def observe(self, run_id: str, row: Row, *, ended: bool) -> str | None:
        """Why the run must end after this evaluation, or None."""

    def remember(self, run_id: str, row: Row, *, ended: bool) -> None:
        """Takes in an evaluation that was decided upon in an earlier launch."""


class Rules:
    """The rules of a study."""

    def __init__(
        self, rules: Sequence[tuple[Rule, str | None]], budgets: Sequence[BudgetRule] = ()
    ) -> None:
        """
        Args:
            rules: each with the metric that it looks at.
            budgets: those of the rules that can end the study.
        """
        self._rules = rules
        self._budgets = budgets
        self._seen: dict[str, int] = {}

    def observe(self, row: Row, *, ended: bool) -> str | None:
        """Why the row's run must end, or None; also where the row was seen before.

        Each rule sees every row that has its metric as a finite number, whatever others say.
        """
        asked = [rule.observe(row["run_id"], row, ended=ended) for rule in self._concerned(row)]
        return next((reason for reason in asked if reason is not None), None)

    def is_new(self, row: Row) -> bool:
        """Whether the row was not seen before."""
        return bool(row["step"] > self._seen.get(row["run_id"], -1))

    def _concerned(self, row: Row) -> list[Rule]:
        """The rules that have not seen the row and can do something with it."""
        if not self.is_new(row):
            return []
        self._seen[row["run_id"]] = row["step"]
        return [
            rule
            for rule, metric in self._rules
            if metric is None or math.isfinite(row.get(metric, math.nan))
        ]

    def used_up(self) -> str | None:
        """Why nothing of the study may go on, or None."""
        return next((why for budget in self._budgets if (why := budget.used_up())), None)

    def rebuild(self, rows: Iterable[Row], statuses: Mapping[str, str]) -> None:
        """Shows the rules what an earlier launch has recorded: they then decide as if undisturbed.

        Args:
            rows: of each run in order of its steps.
            statuses: how the runs stand.
        """
        last: dict[str, Row] = {}
        for row in rows:
            before = last.get(row["run_id"])
            if before is not None:
                self._remember(before, ended=False)
            last[row["run_id"]] = row
        for run_id, row in last.items():
            self._remember(row, ended=statuses.get(run_id) in ("completed", "diverged"))

    def _remember(self, row: Row, *, ended: bool) -> None:
        for rule in self._concerned(row):
            rule.remember(row["run_id"], row, ended=ended)


def make_rules(
    rules: Sequence[StoppingRule],
    clocks: Mapping[str, Clock],
    *,
    elapsed: Callable[[], float],
    gpus: float = 0.0,
    cpus: float = 1.0,
    other: Clock | None = None,
) -> Rules:
    """The rules of a study, as they are at its start.

    Args:
        clocks: run_id → its clock.
        elapsed, gpus, cpus: see ``BudgetRule``.
        other: the clock of runs that are not known yet.
    """

    def clock(run_id: str) -> Clock:
        return clocks[run_id] if other is None else clocks.get(run_id, other)

    known = [*clocks.values(), *([other] if other is not None else [])]
    made: list[tuple[Rule, str | None]] = []
    budgets = []
    for rule in rules:
        if isinstance(rule, Asha | Median):
            made.append((_by_tune(rule, clock, known), rule.metric))
        elif isinstance(rule, Patience):
            made.append((PatienceRule(rule), rule.metric))
        else:
            budgets.append(BudgetRule(rule, elapsed=elapsed, gpus=gpus, cpus=cpus))
            made.append((budgets[-1], None))
    return Rules(made, budgets)


def _by_tune(rule: Asha | Median, clock: Callable[[str], Clock], known: Sequence[Clock]) -> Rule:
    from orchestrator.early_stopping.tune_rules import AshaRule, MedianRule  # imports Ray

    if isinstance(rule, Median):
        return MedianRule(rule, clock)
    lengths = [one.end(rule.max) / one.steps(rule.grace) for one in known]
    return AshaRule(rule, clock, max(lengths, default=1.0))
