"""A study that is killed, interrupted or loses a worker ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta

pytestmark = pytest.mark.ray
RUNS = 12


def _rows(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM history").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _alive(pid: int) -> bool:
    """Whether the process runs: one that only waits to be reaped has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def _results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Everything but times."""
    with Store.open(folder) as store:
        runs, history = store.runs(), store.history()
    assert not history.duplicated(["run_id", "level", "step"]).any()
    return runs.drop(columns="wall_seconds"), history.drop(columns="seconds")


def _same(folder: Path, undisturbed: Path) -> None:
    for found, expected in zip(_results(folder), _results(undisturbed), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_killed_and_interrupted_studies_go_on_bitwise(regatta: Regatta) -> None:
    whole, broken = regatta.folder / "whole/small", regatta.folder / "broken/small"
    regatta.run("run", results="whole")

    killed = regatta.start("run", results="broken")
    regatta.wait_for(lambda: _rows(broken) > 2 * RUNS)
    below = regatta.descendants(killed)
    assert any("raylet" in command for command in below.values())
    killed.kill()
    killed.communicate()
    # Ray's two agents follow a minute later by themselves; what trains must be gone.
    training = [pid for pid, command in below.items() if "Agent" not in command]
    gone = time.monotonic() + 20
    while any(_alive(pid) for pid in training):
        assert time.monotonic() < gone, "a killed driver leaves processes behind"
        time.sleep(0.1)
    after_kill = _rows(broken)
    assert after_kill < 20 * RUNS

    interrupted = regatta.start("run", results="broken")
    regatta.wait_for(lambda: _rows(broken) > after_kill + RUNS)
    interrupted.send_signal(signal.SIGINT)
    output, _ = interrupted.communicate(timeout=180)
    assert interrupted.returncode == 130, output
    assert "Traceback" not in output
    assert "Go on with: regatta run" in output

    assert "Report: " in regatta.run("run", results="broken")
    _same(broken, whole)
    with Store.open(broken) as store:
        assert max(pack["attempts"] for pack in store.packs()) == 3
        assert set(store.statuses().values()) == {"completed", "diverged"}
    assert not (broken / "packs").exists() or not list((broken / "packs").iterdir())

    again = regatta.run("run", results="broken")
    assert "10 completed, 2 diverged" in again
    _same(broken, whole)


def test_a_killed_worker_costs_nothing_but_time(regatta: Regatta) -> None:
    regatta.run("run", results="whole")
    folder = regatta.folder / "results/small"
    process = regatta.start("run")
    regatta.wait_for(lambda: _rows(folder) > 2 * RUNS)
    below = regatta.descendants(process)
    victims = [
        pid for pid, command in below.items() if command.startswith("ray::ResourceTrainable")
    ]
    assert victims, below
    os.kill(victims[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    _same(folder, regatta.folder / "whole/small")
    with Store.open(folder) as store:
        assert sorted(pack["attempts"] for pack in store.packs()) == [1, 2]


def test_a_second_driver_is_refused_and_a_wider_study_adds_only_what_is_new(
    regatta: Regatta,
) -> None:
    folder = regatta.folder / "results/small"
    first = regatta.start("run")
    regatta.wait_for(lambda: _rows(folder) > 0)
    second = regatta.start("run")
    refusal, _ = second.communicate(timeout=180)
    assert second.returncode == 2
    assert "another `regatta run` is at work there" in refusal
    first.communicate(timeout=240)
    assert first.returncode == 0
    before = _results(folder)[0].set_index("run_id")
    regatta.run("run", "--set", "seeds=3")
    after = _results(folder)[0].set_index("run_id")
    assert len(after) == RUNS + 6
    pd.testing.assert_frame_equal(after.loc[before.index], before, check_exact=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.batch_size=5000", "train.batch_size: 5000 exceeds digits's 1168 training examples"),
        ("data={name: 'nosuch:data'}", "data: nosuch:data: No module named 'nosuch'"),
        ("model={name: 'nosuch:net'}", "model.name: nosuch:net: No module named 'nosuch'"),
        ("resources.cpus=4096", "resources.cpus: a pack asks for 4096, there are "),
    ],
    ids=lambda value: value.partition("=")[0],
)
def test_a_study_that_does_not_fit_is_one_line(
    regatta: Regatta, override: str, message: str
) -> None:
    process = regatta.start("run", "--set", override)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 2
    (line,) = output.splitlines()
    assert line.startswith(f"{regatta.spec}: {message}")
