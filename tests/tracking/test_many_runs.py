"""200 runs at a sweep's pace against a server out of order, and what that costs the sweep."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.tracking import mirror_once, start_mirror
from tests.tracking.conftest import steps
from tests.tracking.double import Double
from tests.tracking.sweep import RUNS_ROWS, logged, make_study, play, study_run

pytestmark = [pytest.mark.chaos, pytest.mark.timed]

RUNS = 200
PAUSE = 0.5
WHOLE = {f"r{k}": steps(RUNS_ROWS) for k in range(RUNS)}
Say = Callable[[str, object], None]


def cli(*arguments: str) -> tuple[str, float]:
    """What a command says, and its seconds."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip(), time.monotonic() - begin


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds of the sweep with tracking off."""
    folder = make_study(tmp_path_factory.mktemp("alone") / "lr", RUNS)
    return play(folder, RUNS, seconds=PAUSE, events={})


@pytest.mark.parametrize("fault", ["none", "limit", "error", "hang", "lost", "gone"])
def test_the_sweep_does_not_wait(
    tmp_path: Path, server: Double, alone: float, fault: str, record_property: Say
) -> None:
    """From run 100 on the server is out of order, and is well again after the sweep."""
    folder = make_study(tmp_path / "lr", RUNS)
    begin = time.monotonic()
    mirror = start_mirror(folder, Tracking(wandb="online", project="proj"))
    assert mirror is not None
    events = {RUNS // 2: partial(server.fault, fault)} if fault != "none" else {}
    play(folder, RUNS, seconds=PAUSE, events=events)
    swept = time.monotonic() - begin
    sentence = mirror.finish(180.0)
    took = time.monotonic() - begin
    there = sum(rows == steps(RUNS_ROWS) for rows in logged(server).values())
    server.heal()

    said, seconds = cli("orchestrator", "sync", str(folder))

    figures = {"alone": alone, "swept": swept, "took": took, "there": there, "sync": seconds}
    for name, value in figures.items():
        record_property(name, value)
    print(f"\n{fault}: {figures}; {sentence}; {said}")  # noqa: T201 - figures for the docs
    assert took <= 1.1 * alone
    assert logged(server) == WHOLE
    assert {run.exit_code for run in server.runs.values()} == {0}
    assert len(study_run(server).lines) == 1
    again, _ = cli("orchestrator", "sync", str(folder))
    assert again == "W&B: 0 runs written"


def test_offline_runs_go_through_wandb_sync(
    tmp_path: Path, server: Double, record_property: Say
) -> None:
    """Uploaded by hand, twice; then online: nothing is there twice."""
    folder = make_study(tmp_path / "lr", RUNS)
    play(folder, RUNS, seconds=0.0, events={})
    assert mirror_once(folder, Tracking(wandb="offline", project="proj")) == RUNS + 1
    runs = [str(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]
    for _ in range(2):
        _, seconds = cli("wandb", "sync", "--include-synced", *runs)
        record_property("sync", seconds)
        assert logged(server) == WHOLE
    print(f"\nwandb sync: {seconds:.1f} s")  # noqa: T201 - figures for the docs
    (files,) = server.artifacts.of_type("study")
    assert "exports/runs.parquet" in files.files

    assert mirror_once(folder, Tracking(wandb="online", project="proj")) == RUNS + 1

    assert logged(server) == WHOLE
