"""A sweep played by the recorder alone: what a driver writes, at its pace, with no training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.store import Outcome, Store
from tests.tracking.conftest import steps
from tests.tracking.double import Double, Run

RUNS_ROWS = 7
"""Rows of each run: two reports, of 3 and 4."""


def _outcome(run_id: str, rows: int, status: str) -> Outcome:
    return Outcome(
        run_id=run_id,
        lane=0,
        status=status,
        reason="",
        steps=7 * rows,
        epochs=rows,
        examples=77 * rows,
        wall_seconds=1.0,
        final={"valid/loss": 1.0 + int(run_id[1:])},
        best={"valid/loss": 0.5},
    )


def make_study(folder: Path, runs: int) -> Path:
    """A study with so many runs planned, ``r0``, ``r1``, …, one learning rate each."""
    with Store.create(folder) as store:
        store.set_meta(
            study="lr",
            spec="study: lr\n",
            objective={"metric": "valid/loss", "mode": "min"},
            report={"top": 3},
            tracking={"wandb": "online", "project": "proj"},
        )
        store.plan_runs(
            (f"r{k}", 0, {"optimizer": {"name": "sgd", "lr": (k + 1) / 1000}, "seed": 0})
            for k in range(runs)
        )
        store.start_pack("pack", list(store.statuses()), {})
    return folder


def play(
    folder: Path, runs: int, *, seconds: float, events: Mapping[int, Callable[[], None]]
) -> float:
    """Records runs one after the other, ``seconds`` each; the seconds that it took.

    Args:
        events: what happens before the run of this number.
    """
    begin = time.monotonic()
    with Store.create(folder) as store:
        for number in range(runs):
            events.get(number, lambda: None)()
            for rows, status in ((3, "running"), (RUNS_ROWS, "completed")):
                history = [
                    {"run_id": f"r{number}", "level": 0, "step": step, "epoch": step / 7}
                    | {"examples": 11 * step, "seconds": 0.5, "valid/loss": 1 / step}
                    for step in steps(rows)
                ]
                store.record("pack", history, [_outcome(f"r{number}", rows, status)])
                time.sleep(seconds / 2)
    return time.monotonic() - begin


def logged(server: Double) -> dict[str, list[int]]:
    """run_id → the steps of its rows, in the order in which the server has them."""
    return {
        name: [line["step"] for line in run.lines]
        for name, run in server.runs.items()
        if not name.startswith("lr-")
    }


def study_run(server: Double) -> Run:
    """What the server has of the study's own run."""
    (found,) = (run for name, run in server.runs.items() if name.startswith("lr-"))
    return found
