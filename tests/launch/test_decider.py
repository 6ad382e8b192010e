"""What follows from a report: stops, joins, and nothing from one that is replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.early_stopping import Rules
from orchestrator.launch.decider import Decider
from orchestrator.search import DesignSource
from orchestrator.store import Decision, Outcome, Store
from tests.search.test_source import _runs
from tests.store.test_store import _outcome, _row
from trainables.configs.base import to_plain
from trainables.ray_pack import PackTask


class _Source(DesignSource):
    """Remembers what it was told."""

    def __init__(self, runs: Mapping[str, Any]) -> None:
        super().__init__(runs)
        self.told: list[dict[str, str]] = []

    def tell(self, outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> None:
        self.told.append({outcome.run_id: outcome.status for outcome in outcomes})


class _Bad:
    """Stops the runs that it is told to."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.over: str | None = None

    def observe(self, run_id: str, row: Any, *, ended: bool) -> str | None:
        return "bad: so it is" if run_id in self.bad else None

    def remember(self, run_id: str, row: Any, *, ended: bool) -> None:
        """Nothing to remember."""

    def used_up(self) -> str | None:
        return self.over


class _Study:
    """A pack of five runs, and four more that wait."""

    def __init__(self, folder: Path) -> None:
        runs = _runs((3,), 9)
        self.names = sorted(runs)
        self.store = Store.create(folder)
        self.store.plan_runs((n, runs[n].seed, to_plain(runs[n])) for n in self.names)
        self.source = _Source({name: runs[name] for name in self.names[5:]})
        self.rule: Any = _Bad()
        self.task = PackTask(
            pack_id="p",
            runs=tuple((name, runs[name]) for name in self.names[:5]),
            settings={},
            folder=folder,
            runs_folder=folder / "runs",
            checkpoint_every=None,
            import_from="",
        )
        self.store.add_pack("p", self.names[:5], {})
        self.launch()

    def launch(self) -> None:
        self.store.start_pack("p", self.names[:5], {})
        rules = Rules([(self.rule, None)], [self.rule])
        rules.rebuild(self.store.reports(), self.store.statuses())
        self.decider = Decider(self.store, rules, self.source, lambda: 0.0)
        self.decider.begin(self.task)

    def report(
        self, number: int, lanes: Sequence[int], *, done: bool = False, **ended: str
    ) -> list[Outcome]:
        names = [self.names[lane] for lane in lanes]
        rows = [_row(name, 10 * number) for name in names]
        outcomes = [_outcome(name, **ended) for name in names]
        return self.decider.take_in(self.task, number, rows, outcomes, done=done)


@pytest.fixture(name="study")
def _study(tmp_path: Path) -> _Study:
    return _Study(tmp_path / "study")


def test_runs_join_once_half_of_the_lanes_are_free(study: _Study) -> None:
    n = study.names
    study.rule.bad = {n[0], n[1]}
    standing = study.report(1, range(5))
    assert [o.status for o in standing] == ["stopped", "stopped", "running", "running", "running"]
    assert study.store.decisions() == [
        Decision(pack_id="p", report=1, stop=dict.fromkeys(n[:2], "bad: so it is"))
    ]
    study.report(2, [2], status="completed")
    assert study.store.decisions()[1] == Decision(pack_id="p", report=2, join=tuple(n[5:8]))
    assert study.source.told[1] == {n[2]: "completed"}
    assert study.store.statuses()[n[5]] == "running"
    study.report(3, [3, 4, 5, 6, 7])
    assert len(study.store.decisions()) == 2


def test_a_run_that_ended_with_the_report_is_not_stopped(study: _Study) -> None:
    study.rule.bad = {study.names[0]}
    study.report(1, [0], status="diverged")
    assert study.store.decisions() == []


def test_a_replayed_report_decides_nothing(study: _Study) -> None:
    study.report(1, range(5))
    study.report(2, range(5))
    study.launch()
    study.rule.bad = set(study.names)
    study.report(1, range(5), steps=11)
    study.report(2, range(5))
    assert study.store.decisions() == []
    study.rule.bad = {study.names[3]}
    study.report(3, range(5))
    assert [d.report for d in study.store.decisions()] == [3]


def test_nothing_joins_a_pack_that_the_worker_has_ended(study: _Study) -> None:
    study.report(1, range(5), status="completed", done=True)
    assert study.store.decisions() == []


def test_a_used_up_budget_ends_every_lane_and_lets_none_join(study: _Study) -> None:
    study.report(1, range(5))
    study.rule.over = "budget: 3 hours are used up"
    standing = study.report(2, [0, 1])
    (decision,) = study.store.decisions()
    assert decision.stop == dict.fromkeys(study.names[:5], "budget: 3 hours are used up")
    assert decision.join == ()
    assert {o.run_id: o.status for o in standing} == dict.fromkeys(study.names[:5], "stopped")
    assert study.store.statuses()[study.names[5]] == "pending"


def test_what_is_new_in_a_replayed_report_is_decided_upon(study: _Study) -> None:
    """A part of a pack begins what had joined the pack at another report than the pack did."""
    n = study.names
    study.report(1, range(3))
    study.report(2, range(3))
    study.launch()
    study.rule.bad = {n[0], n[4]}
    study.report(1, range(5))
    (decision,) = study.store.decisions()
    assert decision == Decision(pack_id="p", report=1, stop={n[4]: "bad: so it is"})
    study.report(2, [3], status="completed")
    assert study.source.told[-1] == {n[3]: "completed"}
    study.launch()
    study.report(1, range(5))
    assert study.store.decisions()[0] == decision


def test_two_decisions_upon_one_report_are_one(study: _Study) -> None:
    n = study.names
    study.rule.bad = {n[0]}
    study.report(1, [0])
    study.launch()
    study.rule.bad = {n[1]}
    study.report(1, [0, 1])
    (decision,) = study.store.decisions()
    assert decision.stop == dict.fromkeys(n[:2], "bad: so it is")


def test_a_decision_that_is_replayed_takes_effect_again(study: _Study) -> None:
    """A store that was repaired has older runs than decisions."""
    n = study.names
    study.rule.bad = {n[0], n[1], n[2]}
    study.report(1, range(5))
    assert study.store.decisions()[0].join == tuple(n[5:8])
    study.report(2, [5], status="completed")
    study.store._db.execute("UPDATE runs SET status = 'pending' WHERE run_id = ?", (n[0],))
    study.launch()
    standing = study.report(1, range(5))
    assert {o.run_id for o in standing if o.status == "stopped"} == set(n[:3])
    statuses = study.store.statuses()
    assert statuses[n[0]] == "stopped"
    assert statuses[n[5]] == "completed", "not begun again"
