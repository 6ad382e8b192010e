"""After each report: which lanes are stopped, and which runs take their places."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    from it stands in the store.
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
        self._live: dict[str, set[str]] = {}

    def begin(self, task: PackTask) -> None:
        """A pack begins, or begins again."""
        statuses = self._store.statuses()
        lanes = pack_lanes(task, self._store)
        self._live[task.pack_id] = {r for r in lanes if statuses.get(r) not in FINISHED}

    def take_in(
        self,
        task: PackTask,
        report: int,
        rows: Sequence[Mapping[str, Any]],
        outcomes: Sequence[Outcome],
        *,
        done: bool,
    ) -> list[Outcome]:
        """Records a report and what is decided upon it.

        Args:
            report: its number in the pack.
            done: whether the worker has ended the pack.

        Returns:
            How its runs stand now.
        """
        if report <= self._store.last_report(task.pack_id):
            self._store.record(task.pack_id, rows, outcomes)
            return list(outcomes)
        decision = self._decide(task, report, rows, outcomes, done=done)
        self._store.record(task.pack_id, rows, outcomes, report=report, decision=decision)
        self._note_time()
        stop = {} if decision is None else decision.stop
        standing = [
            dataclasses.replace(o, status="stopped", reason=stop[o.run_id])
            if o.run_id in stop
            else o
            for o in [*outcomes, *self._others(stop, outcomes)]
        ]
        self._source.tell(standing, rows)
        return standing

    def failed(self, outcomes: Sequence[Outcome]) -> None:
        """Runs of a pack that was given up, which no report will tell of."""
        self._source.tell(outcomes, [])

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
        stop = {}
        for row in rows:
            reason = self._rules.observe(row, ended=row["run_id"] in ended)
            if reason is not None and row["run_id"] not in ended:
                stop[row["run_id"]] = reason
        live = self._live[task.pack_id]
        live.difference_update(ended, stop)
        over = self._rules.used_up()
        if over is not None:
            stop |= dict.fromkeys(sorted(live), over)
            live.clear()
        join = () if done or over is not None else self._refill(task, live)
        if not stop and not join:
            return None
        return Decision(pack_id=task.pack_id, report=report, stop=stop, join=join)

    def _refill(self, task: PackTask, live: set[str]) -> tuple[str, ...]:
        """Runs for the lanes that are free, once these are at least half of the pack.

        What joins together is a stack of its own, and narrow stacks are slow.
        """
        width = len(task.runs)
        free = width - len(live)
        if 2 * free < width:
            return ()
        runs = self._source.take(free, fusion_key(task.runs[0][1])) or {}
        self._store.add_runs((name, run.seed, as_columns(run)) for name, run in runs.items())
        live.update(runs)
        return tuple(runs)

    def _note_time(self) -> None:
        """So that a study that is killed still knows about how long it has taken."""
        if time.monotonic() - self._noted > _SECONDS_BETWEEN_NOTES:
            self._noted = time.monotonic()
            self._store.set_meta(wall_seconds=self._elapsed())


def pack_lanes(task: PackTask, store: Store) -> list[str]:
    """The runs of a pack, those that have joined it included, in the order of their lanes."""
    joined = [run_id for decision in store.decisions(task.pack_id) for run_id in decision.join]
    return [*(run_id for run_id, _ in task.runs), *joined]
