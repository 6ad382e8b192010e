"""What the terminal shows follows from what was reported."""

from __future__ import annotations

import dataclasses
import io
import math
from typing import Any

import pytest
from rich.console import Console

from orchestrator.progress import Tally, duration, line, panel
from orchestrator.spec import Objective
from orchestrator.store import Outcome


def _loss(value: float) -> dict[str, float]:
    return {"valid/loss": value}


def _outcome(run_id: str, status: str, steps: int, loss: float) -> Outcome:
    measured: dict[str, Any] = {"lane": 0, "epochs": 1.0, "examples": 1, "wall_seconds": 1.0}
    return Outcome(
        run_id=run_id,
        status=status,
        reason="",
        steps=steps,
        final=_loss(loss),
        best={},
        **measured,
    )


@pytest.fixture(name="tally")
def _tally() -> Tally:
    pending = [_outcome(name, "pending", 0, math.nan) for name in "abcd"]
    return Tally(Objective(), dict.fromkeys("abcd", 100), pending)


def test_counts_share_and_best(tally: Tally) -> None:
    assert tally.share_done == 0
    assert tally.seconds_left is None
    tally.observe([], [_outcome("a", "completed", 100, 0.5), _outcome("b", "running", 40, 0.4)])
    tally.observe([], [_outcome("c", "diverged", 10, 0.1), _outcome("d", "running", 0, math.nan)])
    tally.observe([], [_outcome("b", "running", 50, 0.4)])
    assert tally.counts == {"completed": 1, "running": 2, "diverged": 1}
    assert tally.share_done == pytest.approx((100 + 50 + 100) / 400)
    assert tally.best == (0.5, "a"), "what still trains is not the best yet"
    assert tally.seconds_left is not None
    text = line(tally)
    for part in ("1 completed", "2 running", "1 diverged", "best 0.5", "left"):
        assert part in text


def test_best_so_far_until_a_run_has_had_all_of_its_training(tally: Tally) -> None:
    tally.observe([], [_outcome("b", "running", 50, 0.4), _outcome("c", "diverged", 9, 0.1)])
    tally.observe([], [_outcome("d", "running", 0, math.nan)])
    assert tally.best == (0.4, "b"), "a diverged run is no best, and NaN is no value"
    assert "best so far 0.4" in line(tally)
    stopped = _outcome("c", "stopped", 50, 0.2)
    tally.observe([], [stopped])
    assert "best so far 0.2" in line(tally)
    reason = "asha: max is reached at step 60"
    tally.observe([], [dataclasses.replace(stopped, run_id="b", reason=reason, final=_loss(0.7))])
    assert line(tally).endswith("best 0.7")


def test_time_left_follows_from_what_this_launch_has_done() -> None:
    before = [_outcome(name, "completed", 100, 0.5) for name in "abc"]
    tally = Tally(
        Objective(), dict.fromkeys("abcd", 100), [*before, _outcome("d", "pending", 0, 1)]
    )
    tally.observe([], [_outcome("d", "running", 10, 0.4)])
    assert tally.seconds_left is None, "one report is no pace"
    assert tally._first is not None
    tally._first = (tally._first[0] - 20.0, tally._first[1])
    tally.observe([], [_outcome("d", "running", 30, 0.4)])
    assert tally.seconds_left == pytest.approx(70.0, rel=0.01), "20 steps took 20 seconds"


def test_runs_that_a_search_has_not_asked_for_are_to_come() -> None:
    tally = Tally(Objective(), {}, [_outcome("a", "running", 5, 0.4)], runs=60)
    assert "1 running · 59 to come" in line(tally)


def test_a_replay_moves_nothing_back(tally: Tally) -> None:
    tally.observe([], [_outcome("a", "completed", 100, 0.5)])
    tally.observe([], [_outcome("a", "running", 20, 0.9)])
    assert tally.counts["completed"] == 1
    assert tally.share_done == pytest.approx(0.25)


def test_a_panel_fits_a_narrow_terminal(tally: Tally) -> None:
    tally.observe([], [_outcome("a", "completed", 100, 0.5)])
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(panel(tally, "study"))
    text = console.export_text()
    assert "1 completed" in text
    assert text.splitlines()[2].startswith("runs"), "the bar has a line of its own"
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.6, "8 s"), (125, "2 min 05 s"), (12_000, "3 h 20 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
