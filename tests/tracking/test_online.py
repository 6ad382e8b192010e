"""The mirror with the real wandb client against a loopback double of the server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.store import Store
from orchestrator.tracking import MirrorError, client, mirror_once, run_jobs
from orchestrator.tracking.mirror import bring_up, follow
from orchestrator.tracking.session import Session, session
from tests.tracking.conftest import KEY, steps
from tests.tracking.double import Double

ONLINE = Tracking(wandb="online", project="proj")
Train = Callable[..., None]


def logged_steps(server: Double, run_id: str) -> list[int]:
    return [line["step"] for line in server.runs[run_id].lines]


@pytest.fixture
def live(study: Path, server: Double) -> Iterator[Session]:
    """A session in mid-study; its passes are called by hand."""
    with session(study, ONLINE, "online", wait=False) as one:
        yield one


def test_every_row_arrives_exactly_once(study: Path, server: Double, train: Train) -> None:
    train("r0.1-0", 3)
    train("r0.2-0", 5, "failed")

    assert mirror_once(study, ONLINE) == 3
    assert logged_steps(server, "r0.1-0") == steps(3)
    assert logged_steps(server, "r0.2-0") == steps(5)
    run = server.runs["r0.1-0"]
    assert (run.exit_code, server.runs["r0.2-0"].exit_code) == (0, 1)
    assert (run.summary["status"], run.summary["final/valid/loss"]) == ("completed", 0.1)
    upsert = next(u for u in run.upserts if u.get("displayName"))
    assert (upsert["displayName"], upsert["groupName"]) == ("lr=0.1 seed=0", "lr")
    assert json.loads(upsert["config"])["optimizer"]["value"] == {"name": "sgd", "lr": 0.1}

    asked = len(server.requests)
    assert mirror_once(study, ONLINE) == 0
    assert len(server.requests) == asked


def test_the_server_s_memory_counts_where_ours_is_lost(
    study: Path, server: Double, train: Train
) -> None:
    train("r0.1-0", 3, "failed")
    mirror_once(study, ONLINE)
    (study / "wandb-mirror.json").unlink()
    train("r0.1-0", 5)

    mirror_once(study, ONLINE)

    assert logged_steps(server, "r0.1-0") == steps(5)


def test_rows_arrive_while_runs_train(live: Session, server: Double, train: Train) -> None:
    train("r0.1-0", 2, "running")
    bring_up(live, last=False)
    opened = live.opened["r0.1-0"]
    train("r0.1-0", 4, "running")
    bring_up(live, last=False)
    assert live.opened == {"r0.1-0": opened}
    train("r0.1-0", 6)
    train("r0.2-0", 3, "running")
    bring_up(live, last=False)
    assert list(live.opened) == ["r0.2-0"]
    assert logged_steps(server, "r0.1-0") == steps(6)
    bring_up(live, last=True)
    assert not live.opened
    assert logged_steps(server, "r0.2-0") == steps(3)


def test_an_interrupted_run_goes_on(study: Path, server: Double, train: Train) -> None:
    train("r0.1-0", 2, "running")
    mirror_once(study, ONLINE)
    assert server.runs["r0.1-0"].exit_code == 1
    assert server.runs["r0.1-0"].summary["status"] == "running"
    assert mirror_once(study, ONLINE) == 0
    train("r0.1-0", 5)

    mirror_once(study, ONLINE)

    assert logged_steps(server, "r0.1-0") == steps(5)
    assert server.runs["r0.1-0"].exit_code == 0


def test_few_runs_are_open_at_a_time(
    live: Session, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_jobs, "_OPEN_RUNS", 2)
    for rate in (0.1, 0.2, 0.3):
        train(f"r{rate}-0", 1, "running")
    bring_up(live, last=False)
    assert list(live.opened) == ["r0.1-0", "r0.2-0"]
    train("r0.1-0", 2)
    bring_up(live, last=False)
    assert sorted(live.opened) == ["r0.2-0", "r0.3-0"]
    bring_up(live, last=True)


def test_offline_runs_uploaded_by_hand_are_not_doubled(
    study: Path, server: Double, train: Train
) -> None:
    train("r0.1-0", 3)
    mirror_once(study, Tracking(wandb="offline"))
    command = [str(Path(sys.executable).with_name("wandb")), "sync", "--include-synced"]
    folders = [str(path) for path in (study / "wandb").glob("offline-run-*")]
    for _ in range(2):
        subprocess.run([*command, *folders], cwd=study, capture_output=True, check=True)
    assert logged_steps(server, "r0.1-0") == steps(3)

    mirror_once(study, ONLINE)

    assert logged_steps(server, "r0.1-0") == steps(3)


def test_what_a_refusing_server_missed_is_made_whole(
    study: Path, server: Double, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ASK_SECONDS", 1)
    train("r0.1-0", 3)
    server.mode = "error"
    with pytest.raises(MirrorError, match="did not say what it has"):
        mirror_once(study, ONLINE)
    server.mode = "ok"

    assert mirror_once(study, ONLINE) == 2
    assert logged_steps(server, "r0.1-0") == steps(3)


def test_following_survives_a_broken_store(
    study: Path, server: Double, train: Train, caplog: pytest.LogCaptureFixture
) -> None:
    train("r0.1-0", 3)
    away = study / "away.sqlite"
    (study / "store.sqlite").rename(away)
    answers = iter([False, True])

    def ended(seconds: float) -> bool:
        answer = next(answers)
        if answer:
            away.rename(study / "store.sqlite")
        return answer

    assert follow(study, ONLINE, "online", ended) == 0
    assert "no study here" in caplog.text
    assert logged_steps(server, "r0.1-0") == steps(3)


def test_the_key_is_written_nowhere(study: Path, server: Double, train: Train) -> None:
    train("r0.1-0", 3)
    with Store.open(study):  # keeps the write-ahead log on disk
        mirror_once(study, ONLINE)
        written = [path for path in study.rglob("*") if path.is_file()]
        assert written
        assert [path for path in written if KEY.encode() in path.read_bytes()] == []
