"""Which runs' final states are kept where only the best configurations' are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.launch.extend import runs_folder
from orchestrator.plan import by_kind, unique_runs
from orchestrator.spec.study import OwnObjective, Study
from orchestrator.store import SETTLED, Outcome, Store
from trainables.configs.run import RunConfig, run_id


class BestRuns:
    """Deletes the final states of configurations that others have overtaken.

    A configuration is judged by its mean over seeds once all of them have ended; until then,
    and where one failed, which is tried again, what it has stays: its place is not known. Those
    that have had all of their training come before those that were stopped, as in the report.
    """

    def __init__(
        self, folder: Path, runs: Mapping[str, RunConfig], objective: OwnObjective, top: int
    ) -> None:
        """
        Args:
            folder: of the final states.
            runs: run_id → configuration, of the whole study.
            top: how many configurations are kept.
        """
        self._folder = folder
        self._sign = -1.0 if objective.mode == "max" else 1.0
        self._metric = objective.metric
        self._top = top
        self._configuration = {
            name: run_id(dataclasses.replace(run, seed=0)) for name, run in runs.items()
        }
        self._left: dict[str, set[str]] = {}
        for name, configuration in self._configuration.items():
            self._left.setdefault(configuration, set()).add(name)
        self._values: dict[str, dict[str, tuple[bool, float]]] = {}
        self._kept: set[str] = set()

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Takes in how runs stand, once the store has it."""
        ended = [o for o in outcomes if o.status in SETTLED and o.run_id in self._configuration]
        for outcome in ended:
            configuration = self._configuration[outcome.run_id]
            self._values.setdefault(configuration, {})[outcome.run_id] = self._value(outcome)
            self._left[configuration].discard(outcome.run_id)
        changed = {self._configuration[outcome.run_id] for outcome in ended}
        whole = {configuration for configuration in changed if not self._left[configuration]}
        if not whole:
            return
        candidates = self._kept | whole
        best = sorted(candidates, key=self._place)[: self._top]
        self._kept = {one for one in best if math.isfinite(self._place(one)[1])}
        for configuration in candidates - self._kept:
            for name in self._values[configuration]:
                (self._folder / f"{name}.pt").unlink(missing_ok=True)

    def _value(self, outcome: Outcome) -> tuple[bool, float]:
        """Whether it was stopped, and a value: the smaller the better, infinite where the run did
        not end well."""
        value = outcome.final.get(self._metric, math.nan)
        well = outcome.status in ("completed", "stopped") and math.isfinite(value)
        return not outcome.whole, self._sign * value if well else math.inf

    def _place(self, configuration: str) -> tuple[bool, float]:
        stopped, values = zip(*self._values[configuration].values(), strict=True)
        return any(stopped), sum(values) / len(values)


def saved_runs(study: Study, store: Store) -> BestRuns | None:
    """What looks after the final states of a study; None where none or all are kept."""
    if study.execution.save != "best":
        return None
    runs = by_kind(unique_runs(study.runs()))[0]
    best = BestRuns(runs_folder(store.folder), runs, study.objective, study.report.top)
    best.observe(store.outcomes())
    return best
