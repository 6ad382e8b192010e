"""A server out of order costs the sweep nothing, and W&B has every row once in the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.tracking import MirrorError, client, confirm, launcher, mirror_once, start_mirror
from orchestrator.tracking.mirror import bring_up
from orchestrator.tracking.session import session
from tests.tracking.conftest import KEY, steps
from tests.tracking.double import FAULTS, Double
from tests.tracking.sweep import RUNS_ROWS, logged, make_study, play, study_run
from tests.tracking.test_process import wait_until

ONLINE = Tracking(wandb="online", project="proj")
Train = Callable[..., None]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can wait for."""
    monkeypatch.setattr(client, "_INIT_SECONDS", 1.0)
    monkeypatch.setattr(client, "_UPLOAD_SECONDS", 1.0)
    monkeypatch.setattr(client, "_ASK_SECONDS", 1)
    monkeypatch.setattr(confirm, "_PAUSES", (0.0,))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_what_a_fault_took_is_sent_again(
    study: Path, server: Double, train: Train, fault: str
) -> None:
    """The fault begins with one run open and half there, and another one to come."""
    train("r0.1-0", 2, "running")
    mirror_once(study, ONLINE)
    assert logged(server) == {"r0.1-0": steps(2)}
    train("r0.1-0", 3, "running")
    with session(study, ONLINE, "online", wait=False) as one:
        bring_up(one, last=False)
        train("r0.1-0", 5)
        train("r0.2-0", 3)
        server.fault(fault)
        with pytest.raises(MirrorError):
            bring_up(one, last=False)
        assert one.marks["r0.1-0"] == "running 2"
    server.heal()

    mirror_once(study, ONLINE)

    assert logged(server) == {"r0.1-0": steps(5), "r0.2-0": steps(3)}
    assert {run.exit_code for run in server.runs.values()} == {0}
    # Once as it stood at first, once as it stands now.
    assert len(study_run(server).lines) == 2
    assert mirror_once(study, ONLINE) == 0


def _texts(folder: Path, server: Double) -> list[bytes]:
    """All that was written to disk, and all that the server was given to keep."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    files += [data for one in server.artifacts.versions.values() for data in one.files.values()]
    for run in server.runs.values():
        files += [*run.files.values(), repr((run.upserts, run.lines, run.summary)).encode()]
    return files


def test_a_sweep_through_every_fault(
    tmp_path: Path, server: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One mirror lives through all of them, the last of which outlives the sweep."""
    monkeypatch.setattr(launcher, "_LEAST_PATIENCE", 0.5)
    runs, pause = 18, 0.2
    folder = make_study(tmp_path / "lr", runs)
    mirror = start_mirror(folder, ONLINE)
    assert mirror is not None

    def turn(name: str) -> None:
        # The first fault waits until the mirror is at work.
        wait_until(lambda: bool(server.runs))
        server.heal()
        server.fault(name)

    turns = ("limit", "error", "hang", "lost", "gone")
    events = {4 + 3 * k: partial(turn, name) for k, name in enumerate(turns)}
    play(folder, runs, seconds=pause, events=events)
    begin = time.monotonic()
    sentence = mirror.finish(180.0)
    assert time.monotonic() - begin < 15.0
    assert sentence.endswith(f"`regatta sync {folder}` makes it whole")
    server.heal()

    assert mirror_once(folder, ONLINE) >= 1

    assert logged(server) == {f"r{k}": steps(RUNS_ROWS) for k in range(runs)}
    assert {run.exit_code for run in server.runs.values()} == {0}
    assert [text for text in _texts(folder, server) if KEY.encode() in text] == []


def _ended(server: Double) -> int:
    return sum(run.exit_code is not None for run in list(server.runs.values()))


def test_a_sync_that_is_killed_goes_on(tmp_path: Path, server: Double) -> None:
    runs = 12
    folder = make_study(tmp_path / "lr", runs)
    play(folder, runs, seconds=0.0, events={})
    (folder / "report.html").write_text("<p>the report</p>", encoding="utf-8")
    first = subprocess.Popen([sys.executable, "-m", "orchestrator", "sync", str(folder)])
    wait_until(lambda: _ended(server) >= 2, 60.0)
    first.kill()
    first.wait()
    assert _ended(server) < runs

    mirror_once(folder, ONLINE)

    assert logged(server) == {f"r{k}": steps(RUNS_ROWS) for k in range(runs)}
    assert len(study_run(server).lines) == 1
    (files,) = server.artifacts.of_type("study")
    assert {"report.html", "exports/runs.parquet", "exports/history.parquet"} <= {*files.files}
    assert [text for text in _texts(folder, server) if KEY.encode() in text] == []
