"""Lanes that are stopped from outside, and runs that join a pack on its way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables import checkpoint, pack_stacks
from trainables.configs import RunConfig
from trainables.configs.base import Steps
from trainables.configs.optimizers import Sgd
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.session import PackSession, Settings
from trainables.stack_width import Way, choose_way

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
TRAIN = {"steps": 23, "evaluate_every": Steps(steps=5)}
FUSED = Settings(strategy="fused")


def _named(runs: list[RunConfig]) -> list[tuple[str, RunConfig]]:
    return [(run_id(run), run) for run in runs]


def _bits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in a fixed order, without what a clock says."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return sorted(rows, key=lambda row: (row["run_id"], row["step"]))


def _finish(session: PackSession) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    return rows


@pytest.fixture
def runs(make_run: Maker) -> list[RunConfig]:
    return [make_run(train=TRAIN, seed=seed, optimizer=Sgd(lr=0.1)) for seed in range(7)]


def test_a_stopped_lane_keeps_what_it_has_and_costs_nothing_more(
    runs: list[RunConfig], data_of: Data
) -> None:
    session = PackSession(_named(runs[:3]), data_of(runs[0]), FUSED)
    first = session.advance()
    stopped = session.progress[run_id(runs[1])]
    final = dict(stopped.final)
    session.stop({run_id(runs[1]): "because"})
    seconds = stopped.wall_seconds
    rows = _finish(session)
    assert (stopped.status, stopped.reason, stopped.steps) == ("stopped", "because", 5)
    assert (stopped.final, stopped.wall_seconds) == (final, seconds)
    assert stopped.best.keys() == final.keys()
    assert {row["run_id"] for row in rows} == {run_id(runs[0]), run_id(runs[2])}
    solo = PackSession(_named([runs[2]]), data_of(runs[0]), FUSED)
    mine = [r for r in _bits(first.rows + rows) if r["run_id"] == run_id(runs[2])]
    for found, expected in zip(mine, _bits(_finish(solo)), strict=True):
        assert found["valid/loss"] == pytest.approx(expected["valid/loss"], rel=1e-4)


def test_all_lanes_stopped_is_the_end(runs: list[RunConfig], data_of: Data) -> None:
    session = PackSession(_named(runs[:2]), data_of(runs[0]), FUSED)
    session.advance()
    session.stop({run_id(run): "budget" for run in runs[:2]})
    assert session.finished
    assert session.advance().rows == []


def test_a_run_that_has_ended_is_not_stopped(runs: list[RunConfig], data_of: Data) -> None:
    session = PackSession(_named(runs[:1]), data_of(runs[0]), FUSED)
    _finish(session)
    session.stop({run_id(runs[0]): "too late"})
    assert session.progress[run_id(runs[0])].reason == "trained to the end"


def test_joined_runs_train_as_alone(runs: list[RunConfig], data_of: Data) -> None:
    session = PackSession(_named(runs[:3]), data_of(runs[0]), FUSED)
    rows = session.advance().rows
    session.stop({run_id(runs[0]): "x", run_id(runs[1]): "x"})
    session.join(_named(runs[3:5]))
    assert [session.progress[run_id(run)].lane for run in runs[3:5]] == [3, 4]
    rows += _finish(session)
    assert [choice.lanes for choice in session.choices] == [3, 2]
    both = PackSession(_named(runs[3:5]), data_of(runs[0]), FUSED)
    joined = {run_id(run) for run in runs[3:5]}
    # A group of the same width computes the same bits, whatever else the pack holds.
    assert [r for r in _bits(rows) if r["run_id"] in joined] == _bits(_finish(both))


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_pack_with_joined_runs_goes_on_bitwise(
    runs: list[RunConfig], data_of: Data, tmp_path: Path, killed_after: int
) -> None:
    def decide(session: PackSession) -> None:
        """What the driver decided, by the number of the report that it followed."""
        if session.reports == 1:
            session.stop({run_id(runs[0]): "x", run_id(runs[1]): "x"})
            session.join(_named(runs[3:5]))
        if session.reports == 2:
            session.stop({run_id(runs[3]): "y"})

    def go_on(session: PackSession, upto: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while not session.finished and session.reports < upto:
            if session.reports == killed_after:
                checkpoint.save(tmp_path / f"{upto}.pt", session.state_dict())
            decide(session)
            rows += session.advance().rows
        return rows

    whole = PackSession(_named(runs[:3]), data_of(runs[0]), FUSED)
    expected = go_on(whole, 100)
    broken = PackSession(_named(runs[:3]), data_of(runs[0]), FUSED)
    rows = go_on(broken, killed_after)
    saved = checkpoint.load(tmp_path / "100.pt")
    assert saved is not None
    again = PackSession.restore(saved, _named(runs), data_of(runs[0]), FUSED)
    assert again.reports == killed_after
    rows += go_on(again, 100)
    assert _bits(rows) == _bits(expected)
    statuses = {name: (p.status, p.reason, p.lane) for name, p in whole.progress.items()}
    assert {n: (p.status, p.reason, p.lane) for n, p in again.progress.items()} == statuses


def test_the_ways_of_joined_groups_are_kept(runs: list[RunConfig], data_of: Data) -> None:
    settings = Settings(strategy="auto", ways=(Way(3), Way(1)))
    session = PackSession(_named(runs[:3]), data_of(runs[0]), settings)
    session.join(_named(runs[3:5]))
    session.join(_named(runs[5:]))
    assert [choice.width for choice in session.choices[:2]] == [3, 1]
    assert session.choices[0].reason == session.choices[1].reason == "as recorded"
    assert session.choices[2].reason != "as recorded"


def test_runs_that_join_share_memory_with_those_that_train(
    runs: list[RunConfig], data_of: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with all that ever were in the pack: each group would have less than the last."""
    given: list[int] = []

    def choose(*args: Any, repeats: float) -> Any:
        given.append(args[-1])
        return choose_way(*args[:-1], None, repeats=repeats)

    monkeypatch.setattr(pack_stacks, "choose_way", choose)
    settings = Settings(strategy="fused", memory=7 * 10**8)
    session = PackSession(_named(runs[:3]), data_of(runs[0]), settings)
    session.advance()
    session.stop({run_id(run): "x" for run in runs[:2]})
    session.join(_named(runs[3:5]))
    session.stop({run_id(run): "x" for run in runs[2:5]})
    session.join(_named(runs[5:]))
    assert given[1] == given[0] * 2 // 3
    assert given[2] == given[0]
