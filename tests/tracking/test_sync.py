"""`regatta sync`: the study's own tracking section decides, and a second call adds nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.spec import Tracking
from orchestrator.store import Outcome, Store
from tests.tracking.conftest import KEY
from trainables.configs.base import to_plain


def _sync(folder: Path) -> str:
    command = [sys.executable, "-m", "orchestrator", "sync", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _study(folder: Path, tracking: Tracking) -> None:
    with Store.create(folder) as store:
        store.set_meta(study="small", spec="study: small", tracking=to_plain(tracking))
        store.plan_runs([("a", 0, {"optimizer": {"lr": 0.1}, "seed": 0})])
        store.start_pack("p", ["a"], {})
        row = {"run_id": "a", "level": 0, "step": 1, "epoch": 1.0, "examples": 1, "seconds": 1.0}
        outcome = Outcome(
            run_id="a",
            lane=0,
            status="completed",
            reason="",
            steps=1,
            epochs=1.0,
            examples=1,
            wall_seconds=1.0,
            final={"valid/loss": 0.5},
            best={},
        )
        store.record("p", [{**row, "valid/loss": 0.5}], [outcome])


def test_sync_brings_an_offline_mirror_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    _study(tmp_path, Tracking(wandb="offline"))
    assert _sync(tmp_path) == "W&B: 2 runs written"
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2
    assert (tmp_path / "report.html").is_file()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert _sync(tmp_path) == "W&B: 0 runs written"


def test_sync_writes_nothing_where_tracking_is_off(tmp_path: Path) -> None:
    _study(tmp_path, Tracking(wandb="off"))
    assert _sync(tmp_path) == "W&B: 0 runs written"
    assert not (tmp_path / "wandb").exists()
