"""The mirror's process: started, finished in time, and gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.tracking import Mirror, launcher, start_mirror
from orchestrator.tracking.state import resolve_mode
from tests.tracking.conftest import KEY, steps
from tests.tracking.double import Double
from tests.tracking.test_offline import folders, logged_steps

Train = Callable[..., None]


def wait_until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_of(folder: Path) -> list[int]:
    """The processes that were started with this test's folder in their environment."""
    home = f"HOME={folder.parent / 'home'}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if home in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


Start = Callable[[Tracking], tuple[Mirror, int]]


@pytest.fixture
def start(study: Path) -> Iterator[Start]:
    """Starts a mirror and gives its process id; none outlives a failing test."""
    started: list[subprocess.Popen[bytes]] = []

    def starting(tracking: Tracking) -> tuple[Mirror, int]:
        mirror = start_mirror(study, tracking)
        assert mirror is not None
        assert mirror.process is not None
        started.append(mirror.process)
        return mirror, mirror.process.pid

    yield starting
    for process in started:
        assert process.stdin is not None
        process.stdin.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def test_off_starts_nothing(study: Path) -> None:
    assert start_mirror(study, Tracking(wandb="off")) is None


def test_runs_appear_while_the_study_goes_on(start: Start, study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    train("r0.2-0", 1, "running")
    mirror, _ = start(Tracking(wandb="auto"))
    wait_until(lambda: "r0.1-0" in (folders(study) if (study / "wandb").exists() else {}))
    train("r0.2-0", 4)

    sentence = mirror.finish(20.0)

    place = study / "wandb"
    assert sentence == (
        f"W&B (offline): 3 runs in {place}; upload with `wandb sync {place}/offline-run-*`"
    )
    assert logged_steps(folders(study)["r0.1-0"]) == steps(3)
    assert logged_steps(folders(study)["r0.2-0"]) == steps(4)
    wait_until(lambda: processes_of(study) == [])


def test_the_mirror_yields_to_the_training(start: Start, study: Path) -> None:
    mirror, pid = start(Tracking(wandb="offline"))
    assert os.getsid(pid) == pid
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, pid) >= 10)
    mirror.finish(20.0)


def test_it_ends_when_its_launcher_is_killed(study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    code = (
        "import os, signal, sys, pathlib\n"
        "from orchestrator.spec.study import Tracking\n"
        "from orchestrator.tracking import start_mirror\n"
        "start_mirror(pathlib.Path(sys.argv[1]), Tracking(wandb='offline'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    launched = subprocess.run([sys.executable, "-c", code, str(study)], check=False)
    assert launched.returncode == -signal.SIGKILL

    wait_until(lambda: processes_of(study) == [])
    assert logged_steps(folders(study)["r0.1-0"]) == steps(3)


@pytest.mark.timed
@pytest.mark.parametrize("mode", ["error", "hang"])
def test_a_server_out_of_order_delays_nothing(
    start: Start, study: Path, server: Double, train: Train, mode: str
) -> None:
    server.mode = mode
    train("r0.1-0", 3)
    mirror, _ = start(Tracking(wandb="online"))
    wait_until(lambda: bool(server.requests))
    before = time.monotonic()

    sentence = mirror.finish(1.0)

    assert time.monotonic() - before < 3.0
    assert sentence == (
        f"W&B did not answer in 1 s (see {study / 'wandb.log'}): everything is in the store;"
        f" `regatta sync {study}` makes it whole"
    )
    wait_until(lambda: processes_of(study) == [])


def test_online_the_sentence_names_the_project(
    start: Start, study: Path, server: Double, train: Train
) -> None:
    train("r0.1-0", 3)
    mirror, _ = start(Tracking(wandb="auto", project="proj"))

    assert mirror.finish(20.0) == "W&B (online): 2 runs in project proj"
    assert [line["step"] for line in server.runs["r0.1-0"].lines] == steps(3)
    assert KEY not in (study / "wandb.log").read_text(encoding="utf-8")


def test_without_a_key_online_says_so(start: Start, study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    mirror, _ = start(Tracking(wandb="online"))
    sentence = mirror.finish(20.0)
    assert sentence.startswith("W&B did not take everything (see ")
    assert "API key" in (study / "wandb.log").read_text(encoding="utf-8")


def test_a_mirror_that_cannot_start_only_says_so(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher.sys, "executable", str(study / "no-python"))
    mirror = start_mirror(study, Tracking(wandb="offline"))
    assert mirror is not None
    assert mirror.finish(1.0).startswith("W&B could not be started")


def test_auto_asks_for_a_key_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    auto = Tracking()
    assert resolve_mode(auto) == "offline"
    (tmp_path / "home" / ".netrc").write_text(
        "machine api.wandb.ai login user password x\n", encoding="utf-8"
    )
    assert resolve_mode(auto) == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert resolve_mode(auto) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert resolve_mode(auto) == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolve_mode(auto) == "offline"
    assert resolve_mode(Tracking(wandb="online")) == "online"
    assert resolve_mode(Tracking(wandb="off")) is None


def test_the_launcher_imports_neither_wandb_nor_pandas() -> None:
    code = (
        "import sys, orchestrator.tracking; print({'wandb', 'pandas', 'torch'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
