"""What the terminal shows follows from what was reported."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from orchestrator.progress import Tally, duration, line, panel
from orchestrator.spec import Objective
from orchestrator.store import Outcome


def _outcome(run_id: str, status: str, steps: int, loss: float) -> Outcome:
    measured: dict[str, Any] = {"lane": 0, "epochs": 1.0, "examples": 1, "wall_seconds": 1.0}
    return Outcome(
        run_id=run_id,
        status=status,
        reason="",
        steps=steps,
        final={"valid/loss": loss},
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
    tally.observe([], [_outcome("a", "completed", 100, 0.5), _outcome("b", "running", 50, 0.4)])
    tally.observe([], [_outcome("c", "diverged", 10, 0.1), _outcome("d", "running", 0, math.nan)])
    assert tally.counts == {"completed": 1, "running": 2, "diverged": 1}
    assert tally.share_done == pytest.approx((100 + 50 + 100) / 400)
    assert tally.best == (0.4, "b"), "a diverged run is no best, and NaN is no value"
    assert tally.seconds_left is not None
    text = line(tally)
    for part in ("1 completed", "2 running", "1 diverged", "best 0.4", "left"):
        assert part in text


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
