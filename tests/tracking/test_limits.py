"""What W&B takes of a study that is larger than its projects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.spec.study import Tracking
from orchestrator.store.schema import MOST_METRICS
from orchestrator.tracking import client, limits, mirror_once, run_jobs
from tests.spec.malformed import study as study_text
from tests.tracking.conftest import steps
from tests.tracking.sweep import RUNS_ROWS, make_study, play
from tests.tracking.test_offline import folders, logged_steps


@pytest.mark.parametrize(
    ("detail", "runs", "expected"),
    [
        ("auto", 9_999, "all"),
        ("auto", 10_000, "best"),
        ("all", 10_000, "all"),
        ("best", 3, "best"),
        ("study", 3, "study"),
    ],
)
def test_what_is_mirrored_of_so_many_runs(detail: str, runs: int, expected: str) -> None:
    tracking = Tracking(detail=detail)  # type: ignore[arg-type]
    assert limits.detail_of(tracking, runs) == expected


def test_a_study_beyond_the_limit_is_mirrored_by_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RUNS", 5)
    folder = make_study(tmp_path / "lr", 5)
    play(folder, 5, seconds=0.0, events={})

    assert mirror_once(folder, Tracking(wandb="offline")) == 4

    # The final loss rises with the number, and report.top is 3.
    assert {name for name in folders(folder) if not name.startswith("lr-")} == {"r0", "r1", "r2"}


def _written_out(count: int) -> list[int]:
    """The rows of a run that are sent, by asking of each whether it goes."""
    sent = []
    for row in range(count):
        stride, end = 1, 20_000
        while row >= end:
            stride, end = stride * 10, end * 10
        if row % stride == 0:
            sent.append(row)
    return sent


@pytest.mark.parametrize("count", [0, 1, 19_997, 20_000, 20_001, 20_011, 199_999, 200_003, 220_009])
def test_rows_thin_out(count: int) -> None:
    assert limits.kept(range(count)) == _written_out(count)


def test_rows_never_reach_w_and_b_s_limit_and_stay_as_more_follow() -> None:
    most = limits.kept(range(3_000_017))
    assert len(most) < len(limits.kept(range(200_000_000))) == 92_000 < limits.POINTS
    shorter = limits.kept(range(177_013))
    assert most[: len(shorter)] == shorter
    # Each metric of a store may be a row's, a final and a best one; and a few facts of a run.
    assert 3 * MOST_METRICS + len(run_jobs._SUMMARY) < limits.METRICS


def test_a_long_run_is_sent_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_EACH", 3)
    folder = make_study(tmp_path / "lr", 1)
    play(folder, 1, seconds=0.0, events={})
    mirror_once(folder, Tracking(wandb="offline"))
    assert logged_steps(folders(folder)["r0"]) == [*steps(3), steps(RUNS_ROWS)[3]]


def test_the_warning_says_what_happens() -> None:
    assert limits.said(Tracking(), 9_999, 5) == ""
    assert limits.said(Tracking(wandb="off"), 10_000, 5) == ""
    assert limits.said(Tracking(detail="study"), 10_000, 5) == ""
    assert limits.said(Tracking(), 12_345, 5) == (
        "12,345 runs; W&B asks for fewer than 10,000 a project, so the best 5 configurations"
        " are mirrored, and the study's own run"
    )
    assert "tracking.detail is all" in limits.said(Tracking(detail="all"), 10_000, 5)


@pytest.mark.parametrize(("seeds", "warned"), [(9_999, False), (10_000, True)])
def test_validate_warns(tmp_path: Path, seeds: int, warned: bool) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(study_text(f"seeds: {seeds}\ntracking: {{detail: all}}\n"))
    command = [sys.executable, "-m", "orchestrator", "validate", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ("warning: 10,000 runs; W&B asks for fewer" in said.replace("\n", " ")) is warned


def test_runs_are_asked_for_a_page_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Api:
        def __init__(self, timeout: int) -> None:
            assert timeout == client._ASK_SECONDS

        def runs(self, where: str, *, filters: dict[str, dict[str, list[str]]], **_: object):
            assert where == "team/proj"
            asked.append(filters["name"]["$in"])
            return []

    monkeypatch.setattr(client.wandb, "Api", Api)
    names = [f"r{k}" for k in range(211)]
    assert client.held(Tracking(project="proj", entity="team"), names) == {}
    assert [len(part) for part in asked] == [100, 100, 11]
    assert [name for part in asked for name in part] == names
