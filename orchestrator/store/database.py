"""The study's results on disk: one SQLite database, the truth that W&B and reports mirror."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.store import (
    decisions,
    faults,
    history,
    packs,
    populations,
    probes,
    standing,
    suggestions,
)
from orchestrator.store.connected import Connected
from orchestrator.store.decisions import Decision
from orchestrator.store.inherit import Trained, inherit, metrics_of, trained_runs
from orchestrator.store.patience import lasting
from orchestrator.store.populations import Copied
from orchestrator.store.repair import StoreError as StoreError
from orchestrator.store.saved import saved_sentence
from orchestrator.store.standing import Outcome
from orchestrator.store.suggestions import Suggestion

if TYPE_CHECKING:
    import pandas as pd


class Store(Connected):
    """Results of one study, in ``folder/store.sqlite`` (WAL; one writer, many readers).

    Every method that writes is one transaction: a crash leaves all of it or nothing.
    """

    @lasting
    def set_meta(self, **values: Any) -> None:
        """Facts of the study as a whole: its spec, versions, machine, cost."""
        rows = [(key, json.dumps(value)) for key, value in values.items()]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def meta(self) -> dict[str, Any]:
        return {
            key: json.loads(value)
            for key, value in self._db.execute("SELECT key, value FROM meta ORDER BY key")
        }

    @lasting
    def plan_runs(self, runs: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Makes (run_id, seed, configuration) the planned runs; what is known already stays.

        Runs that an earlier version of the study planned keep their results, marked as
        no longer planned.
        """
        with self._transaction():
            self._db.execute("UPDATE runs SET planned = 0")
            packs.add_runs(self._db, runs)

    def add_runs(self, runs: Iterable[tuple[str, int, Mapping[str, Any]]]) -> None:
        """Adds (run_id, seed, configuration) to the planned runs; what is known already stays."""
        with self._transaction():
            packs.add_runs(self._db, runs)

    def add_suggestions(
        self, added: Sequence[Suggestion], runs: Iterable[tuple[str, int, Mapping[str, Any]]]
    ) -> None:
        """Keeps what a search asks for, and plans (run_id, seed, configuration) of it."""
        with self._transaction():
            suggestions.write(self._db, added)
            packs.add_runs(self._db, runs)

    def suggestions(self) -> list[Suggestion]:
        """All that searches of this study ever asked for, in that order."""
        return suggestions.read(self._db)

    def configurations(self, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """run_id → configuration as plain data, in the order asked for."""
        return packs.configurations(self._db, run_ids)

    def add_pack(self, pack_id: str, run_ids: Sequence[str], settings: Mapping[str, Any]) -> None:
        """Makes a further pack, before it starts; one of an earlier time begins anew."""
        with self._transaction():
            packs.add_pack(self._db, pack_id, run_ids, settings)

    def statuses(self) -> dict[str, str]:
        """run_id → status, of the planned runs."""
        query = "SELECT run_id, status FROM runs WHERE planned ORDER BY number"
        return dict(self._db.execute(query))

    @lasting
    def plan_packs(self, planned: Iterable[tuple[str, Sequence[str], Mapping[str, Any]]]) -> None:
        """Makes (pack_id, run_ids, settings) the packs to be trained, before any of them starts.

        So that a study that is killed at once still goes on with the same packs. Unfinished
        packs of an earlier plan that are not named again are dropped.
        """
        with self._transaction():
            packs.plan(self._db, planned)

    @lasting
    def start_pack(self, pack_id: str, run_ids: Sequence[str], settings: Mapping[str, Any]) -> None:
        """A pack begins, or begins again: its unfinished runs are now running."""
        with self._transaction():
            packs.start(self._db, pack_id, run_ids, settings)

    @lasting
    def discard_history(self, run_id: str, *, after: int) -> None:
        """Drops what a run has reported beyond step ``after``: it is about to go on from there.

        What a user's own function reports again need not be the same steps.
        """
        with self._transaction():
            self._db.execute(
                "DELETE FROM history WHERE step > ?"
                " AND number = (SELECT number FROM runs WHERE run_id = ?)",
                (after, run_id),
            )

    @lasting
    def set_pack(self, pack_id: str, *, status: str, settings: Mapping[str, Any]) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE packs SET status = ?, settings = ? WHERE pack_id = ?",
                (status, json.dumps(settings), pack_id),
            )

    def packs(self) -> list[dict[str, Any]]:
        """Every pack that was ever planned."""
        return packs.read(self._db)

    @lasting
    def record(
        self,
        pack_id: str,
        rows: Sequence[Mapping[str, Any]],
        outcomes: Sequence[Outcome],
        *,
        report: int = 0,
        decision: Decision | None = None,
        events: Sequence[Mapping[str, Any]] = (),
        measured: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """One report of a pack: history rows and how its runs stand now, in one transaction.

        A row or outcome that is there already is written again with equal numbers (a pack
        that restarted from a checkpoint replays them): nothing is counted twice.

        Args:
            report: its number in the pack.
            decision: what follows from it.
            events: copies made in populations.
            measured: run_id, name, at and value of each measurement (``Store.probes``).
        """
        with self._transaction():
            history.insert(self._db, self._metrics, rows)
            standing.write(self._db, pack_id, outcomes)
            populations.write(self._db, events)
            probes.write(self._db, measured)
            decisions.note_report(self._db, pack_id, report)
            if decision is not None:
                decisions.write(self._db, decision)

    def last_report(self, pack_id: str) -> int:
        """The number of the last report of a pack that was recorded; 0 before the first."""
        return decisions.last_report(self._db, pack_id)

    def decisions(self, pack_id: str | None = None) -> list[Decision]:
        """What was decided for one pack, or for all, in the order of their reports."""
        return decisions.read(self._db, pack_id)

    def copies(self) -> list[Copied]:
        """Who went on as whom in the populations of a study, in the order of steps."""
        return populations.read(self._db)

    def trained_runs(self) -> list[Trained]:
        """Every run that has ended and is not trained again, of earlier plans, too."""
        return trained_runs(self._db)

    def metrics_of(self, run_id: str, *, until: int) -> list[dict[str, float]]:
        """A run's metrics at each evaluation up to step ``until``."""
        return metrics_of(self._db, run_id, self._metrics, until)

    @lasting
    def inherit(self, origins: Iterable[tuple[str, str, int]]) -> None:
        """(run_id, shorter run, step): the run goes on from there, and has the history so far."""
        with self._transaction():
            for run_id, origin, until in origins:
                inherit(self._db, run_id, origin, self._metrics, until)

    @lasting
    def fail_runs(self, run_ids: Sequence[str], error: str) -> list[Outcome]:
        """Marks those of the runs that have not finished as failed; returns how they stand."""
        reason = (error.strip().splitlines() or ["unknown"])[-1][:500]
        marks = ", ".join("?" * len(run_ids))
        with self._transaction():
            self._db.execute(
                f"UPDATE runs SET status = 'failed', reason = ?, error = ?"  # noqa: S608 - marks
                f" WHERE run_id IN ({marks}) AND status IN ('pending', 'running')",
                (reason, error, *run_ids),
            )
        wanted = set(run_ids)
        return [outcome for outcome in self.outcomes() if outcome.run_id in wanted]

    @lasting
    def note(self, kind: str, pack_id: str, detail: str) -> None:
        """Counts one of the kinds in ``store.faults``."""
        with self._transaction():
            faults.add(self._db, kind, pack_id, detail)

    @lasting
    def note_death(self, pack_id: str, kind: str, detail: str, reached: int) -> faults.Deaths:
        """A pack's worker is gone; returns how often that was so.

        Args:
            reached: the furthest that the pack has come, in steps of all its runs.
        """
        with self._transaction():
            reached = max(reached, faults.reached(self._db, pack_id))
            faults.add(self._db, kind, pack_id, detail, reached)
        return faults.deaths(self._db, pack_id)

    @lasting
    def split_pack(
        self,
        pack_id: str,
        parts: Sequence[tuple[str, Sequence[str]]],
        settings: Mapping[str, Any],
    ) -> None:
        """Plans ``parts``, (pack_id, run_ids) of each, in the place of a pack."""
        with self._transaction():
            faults.split(self._db, pack_id, parts, settings)

    def parents(self) -> dict[str, str]:
        """pack_id → the pack that it was split off."""
        return faults.parents(self._db)

    def details(self, kind: str) -> list[str]:
        """What was said of each fault of a kind, in order."""
        return faults.details(self._db, kind)

    def fault_counts(self) -> dict[str, int]:
        """kind → how often, of all that went wrong on the way."""
        return faults.counts(self._db)

    def outcomes(self, *, planned: bool = True) -> list[Outcome]:
        """How every planned run stands; or every run of the store."""
        return standing.read(self._db, planned=planned)

    def as_columns(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Metrics under names that a history column can have.

        SQLite knows no capitals in names: a second spelling, and the name of a fixed column,
        gets a number, such as ``Loss (2)`` beside ``loss``.

        Raises:
            StoreError: there would be more columns than SQLite takes.
        """
        try:
            return history.as_columns(self._metrics, metrics)
        except ValueError as error:
            raise StoreError(str(error)) from error

    def saved(self, outcomes: Sequence[Outcome] | None = None) -> str:
        """A sentence on what early stopping has saved; empty where no run was stopped.

        Args:
            outcomes: ``outcomes()``, where the caller has them already.
        """
        outcomes = self.outcomes() if outcomes is None else outcomes
        trains = self.configurations([o.run_id for o in outcomes if o.status == "stopped"])
        return saved_sentence(outcomes, {name: c.get("train", {}) for name, c in trains.items()})

    def runs(self) -> pd.DataFrame:
        """The planned runs in the export schema: one row a run.

        Configuration keys stand under ``config.``, last values under ``final/``, best
        values under ``best/``.
        """
        from orchestrator.store import frames  # pandas takes a moment to import

        return frames.runs(self._db, self.meta().get("study", ""))

    def history(self) -> pd.DataFrame:
        """Every evaluation of every planned run, in the export schema."""
        from orchestrator.store import frames

        return frames.history(self._db, self._metric_columns())

    def population(self) -> pd.DataFrame:
        """Every copy made in a population: one row each; empty where there was none.

        Columns: run_id, seed, step (batches), source, and ``optimizer.`` and a name for each
        hyperparameter from there on.
        """
        from orchestrator.store import frames

        return frames.population(self.copies(), self._db)

    def probes(self) -> pd.DataFrame:
        """Measurements at several places of a run, a row each; empty where there are none.

        Columns: run_id, name (such as ``line/valid/loss``), at (such as ``0.5``; a text), value.
        """
        from orchestrator.store import frames

        return frames.probes(self._db)

    def reports(self) -> Iterator[dict[str, Any]]:
        """The rows of all planned runs as they were recorded, run after run, in order of steps.

        What was not measured is left out of a row.
        """
        return history.rows(self._db, self._metric_columns())
