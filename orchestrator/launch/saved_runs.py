"""Which runs' final states are kept where only the best configurations' are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.launch.extend import runs_folder
from orchestrator.launch.planned import planned_runs
from orchestrator.plan import by_kind
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
            runs: run_id → configuration, of all that are known.
            top: how many configurations are kept.
        """
        self._folder = folder
        self._sign = -1.0 if objective.mode == "max" else 1.0
        self._metric = objective.metric
        self._top = top
        self._configuration: dict[str, str] = {}
        self._left: dict[str, set[str]] = {}
        self._values: dict[str, dict[str, tuple[bool, float]]] = {}
        self._kept: set[str] = set()
        self.add(runs)

    def add(self, runs: Mapping[str, RunConfig]) -> None:
        """Further runs: all seeds of configurations that a search suggests."""
        for name, run in runs.items():
            configuration = run_id(dataclasses.replace(run, seed=0))
            self._configuration[name] = configuration
            self._left.setdefault(configuration, set()).add(name)

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
            self._delete(self._values[configuration])

    def sweep(self, run_ids: Iterable[str]) -> None:
        """Of runs of a pack that has ended: a worker writes the state of a run that it is told to
        stop only after the run was counted as stopped, and writes replayed ones again."""
        self._delete(name for name in run_ids if self._is_overtaken(name))

    def _is_overtaken(self, name: str) -> bool:
        configuration = self._configuration.get(name, "")
        settled = self._left.get(configuration) == set()
        return settled and configuration not in self._kept

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
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
    """What looks after the final states of a study; None where none or all are kept.

    Of a search it knows what was suggested so far, and is to be shown the rest.
    """
    if study.execution.save != "best":
        return None
    runs = by_kind(planned_runs(study, store))[0]
    best = BestRuns(runs_folder(store.folder), runs, study.objective, study.report.top)
    best.observe(store.outcomes())
    return best
