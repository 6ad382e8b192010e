"""The mirror with the real wandb client, offline: files that wandb's own reader reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.store import Store
from orchestrator.tracking import MirrorError, mirror_once
from orchestrator.tracking.state import exclusive
from tests.tracking.conftest import plan, steps

OFFLINE = Tracking(wandb="offline", project="proj")
Train = Callable[..., None]


def folders(study: Path) -> dict[str, Path]:
    """W&B run id → its offline folder; fails where a run has two."""
    found = [(p.name.split("-", 3)[3], p) for p in (study / "wandb").glob("offline-run-*")]
    assert len(dict(found)) == len(found)
    return dict(found)


def records(folder: Path) -> list[dict[str, Any]]:
    """What wandb's own reader says is in an offline run."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", folder]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def logged_steps(folder: Path) -> list[int]:
    return [r["history"]["item"]["step"] for r in records(folder) if r["type"] == "history"]


def final_summary(content: list[dict[str, Any]]) -> dict[str, Any]:
    updates = [r["summary"]["update"] for r in content if r["type"] == "summary"]
    return {key: value for update in updates for key, value in update.items()}


def study_folder(study: Path) -> Path:
    (found,) = (path for run_id, path in folders(study).items() if run_id.startswith("lr-"))
    return found


def test_a_run_is_written_whole(study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    train("r0.2-1", 2, "failed")

    assert mirror_once(study, OFFLINE) == 3

    found = folders(study)
    assert len(found) == 3
    content = records(found["r0.1-0"])
    (run,) = (r["run"] for r in content if r["type"] == "run")
    assert run["display_name"] == "lr=0.1 seed=0"
    assert (run["run_group"], run["job_type"], run["project"]) == ("lr", "run", "proj")
    assert run["tags"] == ["lr", "mlp", "sgd"]
    assert run["config"]["update"]["model"] == {"name": "mlp", "hidden": [64, 32]}
    assert run["config"]["update"]["optimizer"] == {"name": "sgd", "lr": 0.1}
    (metric,) = (r["metric"] for r in content if r["type"] == "metric")
    assert (metric["glob_name"], metric["step_metric"]) == ("*", "step")
    rows = [r["history"]["item"] for r in content if r["type"] == "history"]
    assert [row["step"] for row in rows] == steps(3)
    assert [row["valid/loss"] for row in rows] == pytest.approx([0.1 / s for s in steps(3)])
    summary = final_summary(content)
    assert summary["status"] == "completed"
    assert (summary["final/valid/loss"], summary["best/valid/loss"]) == (0.1, 0.05)
    assert summary["final/probe/density"] == 0.2107
    assert [r["exit"].get("exit_code", 0) for r in content if r["type"] == "exit"] == [0]
    failed = records(found["r0.2-1"])
    assert [r["exit"]["exit_code"] for r in failed if r["type"] == "exit"] == [1]


def test_what_is_mirrored_is_not_mirrored_again(study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    mirror_once(study, OFFLINE)
    before = sorted((study / "wandb").rglob("*"))

    assert mirror_once(study, OFFLINE) == 0
    assert sorted((study / "wandb").rglob("*")) == before


def test_new_rows_and_runs_are_added_and_nothing_else(study: Path, train: Train) -> None:
    train("r0.1-0", 3)
    train("r0.1-1", 2, "failed")
    mirror_once(study, OFFLINE)
    untouched = folders(study)["r0.1-0"]
    before = untouched.stat().st_mtime_ns
    train("r0.1-1", 4)
    with Store.create(study) as store:
        plan(store, (0.1, 0.2, 0.3, 0.4))
    train("r0.4-0", 5)

    assert mirror_once(study, OFFLINE) == 3

    found = folders(study)
    assert found["r0.1-0"] == untouched
    assert untouched.stat().st_mtime_ns == before
    assert logged_steps(found["r0.1-1"]) == steps(4)
    assert logged_steps(found["r0.4-0"]) == steps(5)


def test_a_half_written_run_is_written_again(study: Path, train: Train) -> None:
    half = study / "wandb" / "offline-run-20200101_000000-r0.1-0"
    half.mkdir(parents=True)
    train("r0.1-0", 3)

    mirror_once(study, OFFLINE)

    assert not half.exists()
    assert logged_steps(folders(study)["r0.1-0"]) == steps(3)


def test_the_study_has_a_run_of_its_own(study: Path, train: Train) -> None:
    for rate, seed in ((0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1), (0.3, 0)):
        train(f"r{rate}-{seed}", 1, "diverged" if rate == 0.1 else "completed")
    (study / "report.html").write_text("<p>the report</p>", encoding="utf-8")

    mirror_once(study, OFFLINE)

    folder = study_folder(study)
    content = records(folder)
    (run,) = (r["run"] for r in content if r["type"] == "run")
    assert (run["display_name"], run["job_type"], run["run_group"]) == ("lr", "study", "lr")
    assert run["config"]["update"]["spec"] == "study: lr\n"
    summary = final_summary(content)
    assert summary["best/configuration"] == "lr=0.2"
    assert summary["best/valid/loss"] == pytest.approx(0.2)
    assert summary["best/seeds"] == 2
    assert (summary["runs/completed"], summary["runs/diverged"]) == (3, 2)
    (page,) = (folder / "files" / "media" / "html").glob("report*.html")
    assert "the report" in page.read_text(encoding="utf-8")
    (table,) = (folder / "files" / "media" / "table").glob("results*.json")
    cells = json.loads(table.read_text(encoding="utf-8"))
    with Store.open(study) as store:
        assert cells["columns"] == list(store.runs().columns)
    assert len(cells["data"]) == 6


def test_the_study_s_run_is_replaced_when_the_report_changes(study: Path, train: Train) -> None:
    train("r0.1-0", 1)
    mirror_once(study, OFFLINE)
    (study / "report.html").write_text("<p>new</p>", encoding="utf-8")

    assert mirror_once(study, OFFLINE) == 1
    assert list((study_folder(study) / "files" / "media" / "html").glob("report*.html"))


@pytest.mark.parametrize(("detail", "expected"), [("best", {"r0.1-0", "r0.1-1"}), ("study", set())])
def test_detail(study: Path, train: Train, detail: Any, expected: set[str]) -> None:
    for rate in (0.1, 0.2):
        for seed in (0, 1):
            train(f"r{rate}-{seed}", 1)

    mirror_once(study, Tracking(wandb="offline", detail=detail))

    assert {name for name in folders(study) if not name.startswith("lr-")} == expected


def test_off_writes_nothing(study: Path, train: Train) -> None:
    train("r0.1-0", 1)
    assert mirror_once(study, Tracking(wandb="off")) == 0
    assert not (study / "wandb").exists()


def test_two_mirrors_do_not_meet(study: Path) -> None:
    with (
        exclusive(study, wait=False),
        pytest.raises(MirrorError, match="another process"),
    ):
        mirror_once(study, OFFLINE)
