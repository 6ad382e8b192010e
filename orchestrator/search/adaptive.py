"""A searcher as a source of runs: it learns from each suggestion as soon as its last seed ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.search.advisor import Advisor
from orchestrator.search.waiting import Waiting
from orchestrator.spec.space import PointError
from orchestrator.spec.study import Study
from orchestrator.store import FINISHED, SETTLED, Outcome, Suggestion
from trainables.configs.function_run import Run
from trainables.configs.run import RunConfig, run_id

MAX_TRIES = 200
"""Suggestions in a row that are refused, or known already, before the search gives up."""
Values = tuple[float, ...]
"""One for each objective."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A suggestion, with the runs that it means."""

    name: str
    point: Mapping[str, Any]
    runs: Mapping[str, Run]

    def stored(self) -> Suggestion:
        return Suggestion(suggestion_id=self.name, point=self.point, run_ids=tuple(self.runs))


@dataclass(slots=True)
class _Pending:
    """A suggestion whose runs have not all ended."""

    names: list[str]
    """Its ids: a searcher may ask for the same again before it has an answer."""
    left: set[str]
    ended: dict[str, Values | None] = field(default_factory=dict)
    """Run → its values; None where it has none."""
    diverged: bool = False
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    """Run → step → objective."""
    sent: int = 0


class AdaptiveSource:
    """Runs that a searcher asks for: see ``Source``.

    A suggestion is one configuration, trained with all seeds of the study. What is told:

    - the mean of each objective over the seeds, at the last evaluation; also of runs that were
      stopped early;
    - where a seed has diverged, or a point is refused, the worst values told so far: a searcher
      should learn to avoid the region, and most (TPE among them, which ranks values) take no
      notice of trials in error;
    - an error where a run has failed (the cause may be anything), or nothing was told yet.
    """

    def __init__(
        self,
        study: Study,
        advisor: Advisor,
        *,
        keep: Callable[[Asked], None],
        outstanding: int,
        known: Sequence[Asked] = (),
        outcomes: Sequence[Outcome] = (),
        training: frozenset[str] = frozenset(),
        asked: int = 0,
        refuse: Callable[[Run], str | None] = lambda run: None,
    ) -> None:
        """
        Args:
            advisor: it has been told what ``known`` has come to.
            keep: puts a suggestion into the store, before any of its runs starts.
            outstanding: suggestions that are trained or wait at the same time, at most.
            known: suggestions of earlier launches, which count among the study's ``runs``.
            outcomes: how their runs stand.
            training: those of their runs that are in packs already.
            asked: how often a searcher was asked before.
            refuse: why a configuration does not go with its data, or None.
        """
        assert hasattr(study.search, "runs")
        self._study = study
        self._metrics = [objective.metric for objective in study.objectives]
        self._signs = [1 if objective.mode == "min" else -1 for objective in study.objectives]
        self._advisor = advisor
        self._keep = keep
        self._outstanding = outstanding
        self._refuse = refuse
        self._budget: int = study.search.runs - len(known)
        self._asked = asked
        self._waiting = Waiting()
        self._pending: dict[str, _Pending] = {}
        self._of_run: dict[str, str] = {}
        self._done: dict[str, Values | None] = {}
        self._worst: Values | None = None
        self._silent = 0
        self.ended: str | None = None
        """Why the search has ended before its ``runs``, or None."""
        standing = {outcome.run_id: outcome for outcome in outcomes}
        for one in known:
            self._resume(one, standing, training)

    def _resume(
        self, one: Asked, standing: Mapping[str, Outcome], training: frozenset[str]
    ) -> None:
        self._begin(one)
        pending = self._pending[one.name]
        for name in one.runs:
            outcome = standing.get(name)
            if outcome is not None and outcome.status in SETTLED:
                self._end(pending, outcome)
        if not pending.left:
            self._conclude(one.name, tell=False)
            return
        waiting = {name: one.runs[name] for name in one.runs if name in pending.left - training}
        if waiting:
            self._waiting.add(waiting)

    def take(self, lanes: int, key: str | None) -> dict[str, RunConfig] | None:
        """See ``Source.take``: a pack with free lanes rather than one that waits for ever."""
        while not self._waiting.enough(lanes, key) and self._may_ask():
            if not self._ask():
                break
        taken = self._waiting.take(lanes, key)
        if taken or self._exhausted():
            return cast("dict[str, RunConfig]", taken)
        return None

    def _exhausted(self) -> bool:
        return not self._pending and not self._may_ask()

    def _may_ask(self) -> bool:
        return self.ended is None and self._budget > 0 and len(self._pending) < self._outstanding

    def _ask(self) -> bool:
        """Asks until there is a new configuration; False where there is none now."""
        for _ in range(MAX_TRIES):
            name = f"s-{self._asked:06d}"
            point = self._advisor.ask(name)
            if not isinstance(point, dict):
                self._nothing(point)
                return False
            self._asked += 1
            self._silent = 0
            if self._started(name, point):
                return True
        if not self._pending:
            self.ended = f"{MAX_TRIES} suggestions in a row were refused, or known already"
        return False

    def _nothing(self, answer: str) -> None:
        """The searcher gave no point. One that waits for results that are all there never will."""
        if answer == "finished":
            self.ended = "the searcher has no more suggestions"
        elif not self._pending:
            self._silent += 1
            if self._silent >= MAX_TRIES:
                self.ended = "the searcher gives no more suggestions"

    def _started(self, name: str, point: Mapping[str, Any]) -> bool:
        """Whether the point is a new configuration, which then waits for a pack."""
        try:
            configuration = self._study.configuration(point)
        except PointError:
            self._answer(name, self._worst)
            return False
        if self._refuse(configuration) is not None:
            self._answer(name, self._worst)
            return False
        runs = {
            run_id(run): run
            for run in (dataclasses.replace(configuration, seed=seed) for seed in self._study.seeds)
        }
        first = next(iter(runs))
        if first in self._done:
            self._answer(name, self._done[first])
            return False
        if first in self._of_run:
            self._pending[self._of_run[first]].names.append(name)
            return False
        one = Asked(name=name, point=point, runs=runs)
        self._keep(one)
        self._begin(one)
        self._budget -= 1
        self._waiting.add(runs)
        return True

    def _begin(self, one: Asked) -> None:
        self._pending[one.name] = _Pending(names=[one.name], left=set(one.runs))
        self._of_run |= dict.fromkeys(one.runs, one.name)

    def tell(self, outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> None:
        """See ``Source.tell``; what is told twice counts once."""
        self._progress(rows)
        for outcome in outcomes:
            name = self._of_run.get(outcome.run_id)
            pending = self._pending.get(name or "")
            if name is None or pending is None or outcome.run_id not in pending.left:
                continue
            if outcome.status in FINISHED:
                self._end(pending, outcome)
                if not pending.left:
                    self._conclude(name)

    def recall(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Sends on what suggestions that have not ended reported in earlier launches."""
        self._progress([row for row in rows if row["run_id"] in self._of_run])

    def _progress(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sends on each evaluation that all seeds have reached, as their mean."""
        if len(self._metrics) > 1:
            return  # no searcher of Ray Tune takes progress of several objectives
        touched: dict[str, None] = {}
        for row in rows:
            name = self._of_run.get(row["run_id"])
            if name in self._pending and self._metrics[0] in row:
                curves = self._pending[name].curves
                curves.setdefault(row["run_id"], {})[row["step"]] = row[self._metrics[0]]
                touched[name] = None
        for name in touched:
            self._send(self._pending[name])

    def _send(self, pending: _Pending) -> None:
        runs = len(pending.left) + len(pending.ended)
        curves = [list(curve.values()) for curve in pending.curves.values()]
        reached = min(map(len, curves)) if len(curves) == runs else 0
        for index in range(pending.sent, reached):
            value = sum(curve[index] for curve in curves) / runs
            if math.isfinite(value):
                self._advisor.progress(pending.names[0], index + 1, value)
        pending.sent = max(pending.sent, reached)

    def _end(self, pending: _Pending, outcome: Outcome) -> None:
        values = tuple(outcome.final.get(metric, math.nan) for metric in self._metrics)
        good = outcome.status in ("completed", "stopped") and all(map(math.isfinite, values))
        pending.left.discard(outcome.run_id)
        pending.ended[outcome.run_id] = values if good else None
        pending.diverged |= not good and outcome.status != "failed"

    def _conclude(self, name: str, *, tell: bool = True) -> None:
        """All seeds of a suggestion have ended."""
        pending = self._pending.pop(name)
        found = list(pending.ended.values())
        failed = None in found
        values = None if failed else _mean([one for one in found if one is not None])
        if values is not None:
            self._worst = self._worse(values)
        elif pending.diverged:
            values = self._worst
        for run_name in pending.ended:
            del self._of_run[run_name]
            self._done[run_name] = values
        if tell:
            for one in pending.names:
                self._answer(one, values, evaluations=max(1, pending.sent))

    def _answer(self, name: str, values: Values | None, evaluations: int = 1) -> None:
        self._advisor.tell(name, values, evaluations)

    def _worse(self, values: Values) -> Values:
        if self._worst is None:
            return values
        return tuple(
            max(sign * old, sign * new) * sign
            for sign, old, new in zip(self._signs, self._worst, values, strict=True)
        )


def _mean(values: Sequence[Values]) -> Values:
    return tuple(sum(column) / len(column) for column in zip(*values, strict=True))
