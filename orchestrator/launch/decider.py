"""After each report: which lanes are stopped, and which runs take their places."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.decide import Lanes, decide, standing
from orchestrator.early_stopping import Rules
from orchestrator.search import Source
from orchestrator.store import FINISHED, Decision, Outcome, Store
from trainables.configs.function_run import as_columns
from trainables.configs.run import fusion_key
from trainables.ray_pack import PackTask

_SECONDS_BETWEEN_NOTES = 5.0


class Decider:
    """Commits a report together with what follows from it.

    A report that is replayed, as a pack went on from a checkpoint, decides nothing: what followed
    from it stands in the store. It may have something new in it all the same: parts of a pack
    that was split begin runs that had joined it, or had to wait, at other reports than the whole
    did, and a store that was repaired may have lost rows.
    """

    def __init__(
        self, store: Store, rules: Rules, source: Source, elapsed: Callable[[], float]
    ) -> None:
        """
        Args:
            elapsed: seconds of wall clock that the study has taken so far, in all launches.
        """
        self._store = store
        self._rules = rules
        self._source = source
        self._elapsed = elapsed
        self._noted = time.monotonic()
        self._lanes: dict[str, Lanes] = {}

    def begin(self, task: PackTask) -> None:
        """A pack begins, or begins again."""
        statuses = self._store.statuses()
        lanes = pack_lanes(task, self._store)
        self._lanes[task.pack_id] = Lanes(
            width=len(task.runs),
            key=fusion_key(task.runs[0][1]),
            live={r for r in lanes if statuses.get(r) not in FINISHED},
        )

    def take_in(
        self,
        task: PackTask,
        report: int,
        rows: Sequence[Mapping[str, Any]],
        outcomes: Sequence[Outcome],
        *,
        done: bool,
        measured: Sequence[Mapping[str, Any]] = (),
    ) -> list[Outcome]:
        """Records a report and what is decided upon it.

        Args:
            report: its number in the pack.
            done: whether the worker has ended the pack.
            measured: see ``Store.record``.

        Returns:
            How its runs stand now.
        """
        decision, replayed = None, report <= self._store.last_report(task.pack_id)
        if replayed:
            before = (d for d in self._store.decisions(task.pack_id) if d.report == report)
            decision = next(before, None)
        if not replayed or any(map(self._rules.is_new, rows)):
            decision = _both(decision, self._decide(task, report, rows, outcomes, done=done))
        self._store.record(
            task.pack_id, rows, outcomes, report=report, decision=decision, measured=measured
        )
        self._note_time()
        stop = {} if decision is None else decision.stop
        found = standing([*outcomes, *self._others(stop, outcomes)], stop)
        self._source.tell(found, rows)
        return found

    def _others(self, stop: Mapping[str, str], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Lanes that are stopped at a report that was not theirs: a budget ends them all."""
        missing = stop.keys() - {outcome.run_id for outcome in outcomes}
        return [o for o in self._store.outcomes() if o.run_id in missing] if missing else []

    def _decide(
        self,
        task: PackTask,
        report: int,
        rows: Sequence[Mapping[str, Any]],
        outcomes: Sequence[Outcome],
        *,
        done: bool,
    ) -> Decision | None:
        ended = {outcome.run_id for outcome in outcomes if outcome.status in FINISHED}
        lanes = self._lanes[task.pack_id]
        verdict = decide(self._rules, self._source, lanes, rows, ended, done=done)
        if not verdict.stop and not verdict.join:
            return None
        runs = verdict.join.items()
        self._store.add_runs((name, run.seed, as_columns(run)) for name, run in runs)
        return Decision(
            pack_id=task.pack_id, report=report, stop=verdict.stop, join=tuple(verdict.join)
        )

    def _note_time(self) -> None:
        """So that a study that is killed still knows about how long it has taken."""
        if time.monotonic() - self._noted > _SECONDS_BETWEEN_NOTES:
            self._noted = time.monotonic()
            self._store.set_meta(wall_seconds=self._elapsed())


def _both(before: Decision | None, now: Decision | None) -> Decision | None:
    """What was decided upon a report at first, and what is added to it."""
    if before is None or now is None:
        return before or now
    join = (*before.join, *(run_id for run_id in now.join if run_id not in before.join))
    return dataclasses.replace(before, stop={**now.stop, **before.stop}, join=join)


def pack_lanes(task: PackTask, store: Store) -> list[str]:
    """The runs of a pack, those that have joined it included, in the order of their lanes."""
    joined = [run_id for decision in store.decisions(task.pack_id) for run_id in decision.join]
    return [*(run_id for run_id, _ in task.runs), *joined]
