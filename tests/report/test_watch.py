"""``regatta report --watch``: a report a change, until the study has finished. Time is planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report import watch
from orchestrator.report.watch import TRIES, watch_report
from orchestrator.store import Outcome, Store, StoreError
from tests.report.stores import plant

AXES = {"optimizer.lr": [0.1, 0.3]}
PLANS = '<meta http-equiv="refresh"'


@pytest.fixture
def study(tmp_path: Path) -> Path:
    plant(tmp_path / "study", lambda chosen, seed: "pending", AXES, seeds=1)
    return tmp_path / "study"


def finish_a_run(folder: Path, run_id: str) -> None:
    row = {"run_id": run_id, "level": 0, "step": 7, "epoch": 1.0, "examples": 77, "seconds": 0.1}
    ended = Outcome(
        run_id=run_id,
        lane=0,
        status="completed",
        reason="",
        steps=7,
        epochs=1.0,
        examples=77,
        wall_seconds=1.0,
        error="",
        final={"valid/loss": 0.5},
        best={"valid/loss": 0.5},
    )
    with Store.create(folder) as store:
        store.start_pack(run_id, [run_id], {})
        store.record(run_id, [row | {"valid/loss": 0.5}], [ended])


class Night:
    """Sleeps are counted; before each one ends, the next thing of a list happens."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self.events = list(events)
        self.slept: list[float] = []
        self.now = 0.0
        self.said: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.events.pop(0)()

    def watch(self, folder: Path, **options: Any) -> Path:
        return watch_report(
            folder, every=7.0, say=self.said.append, sleep=self.sleep, clock=self.clock, **options
        )

    def clock(self) -> float:
        return self.now


def done(folder: Path) -> None:
    with Store.create(folder) as store:
        store.set_meta(finished="2026-01-02T03:04:05+00:00")


def test_a_report_a_change_and_a_whole_one_in_the_end(study: Path) -> None:
    page = study / "report.html"
    seen: list[str] = []

    def look_and(event: Callable[[], object]) -> Callable[[], None]:
        def happens() -> None:
            seen.append(page.read_text(encoding="utf-8"))
            event()

        return happens

    night = Night(
        look_and(lambda: finish_a_run(study, "run00000")),
        look_and(lambda: None),
        look_and(lambda: finish_a_run(study, "run00001")),
        look_and(lambda: done(study)),
    )
    assert night.watch(study) == page
    assert night.slept == [7.0] * 4
    assert ["<b>1</b> completed" in text for text in seen] == [False, True, True, False]
    assert "<b>2</b> completed" in seen[3]
    assert all(f'{PLANS} content="7">' in text for text in seen)
    assert PLANS not in page.read_text(encoding="utf-8")
    assert (study / "figures").is_dir(), "the last one is as any report"


def test_nothing_new_is_not_written_again(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[dict[str, Any]] = []

    def write(folder: Path, output: Path | None, **options: Any) -> Path:
        written.append(options)
        return folder / "report.html"

    monkeypatch.setattr(watch, "write_report", write)
    Night(*[lambda: None] * 5, lambda: done(study)).watch(study)
    assert written == [{"figures": False, "reload": 7.0}, {}]


def test_a_long_report_leaves_the_machine_to_the_sweep(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(lambda: finish_a_run(study, "run00000"), lambda: done(study))

    def write(folder: Path, output: Path | None, **_: Any) -> Path:
        night.now += 31.0
        return folder

    monkeypatch.setattr(watch, "write_report", write)
    night.watch(study)
    assert night.slept == [62.0, 62.0]


def test_a_store_that_is_away_for_a_while(study: Path) -> None:
    away = study.with_name("away")
    night = Night(
        lambda: shutil.move(study, away),
        lambda: None,
        lambda: shutil.move(away, study),
        lambda: done(study),
    )
    night.watch(study)
    assert [line.split()[0] for line in night.said] == ["Report:", "Not", "Not"]
    assert "trying again" in night.said[1]


def test_a_store_that_stays_away_is_an_error(study: Path) -> None:
    night = Night(lambda: shutil.rmtree(study), *[lambda: None] * TRIES)
    with pytest.raises(StoreError, match="no study here"):
        night.watch(study)
    assert len(night.slept) == TRIES


def test_no_study_at_all_is_an_error_at_once(tmp_path: Path) -> None:
    night = Night()
    with pytest.raises(StoreError, match="no study here"):
        night.watch(tmp_path)
    assert night.slept == []


def test_the_command_ends_as_the_study_does(study: Path) -> None:
    done(study)
    result = CliRunner().invoke(app, ["report", str(study), "--watch", "--every", "1"])
    assert (result.exit_code, result.output) == (0, f"Finished. Report: {study}/report.html\n")


def test_ctrl_c_is_130(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "watch_report", interrupted)
    result = CliRunner().invoke(app, ["report", str(study), "--watch"])
    assert result.exit_code == 130
    assert result.output == "No longer watched; the study goes on.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--watch", "--every", "0"], "--every: must be 1 to 86400 seconds, got 0\n"),
        (["--watch", "--every", "nan"], "--every: must be 1 to 86400 seconds, got nan\n"),
        (["--watch", "--every=-5"], "--every: must be 1 to 86400 seconds, got -5\n"),
        (["--watch", "--every", "1e6"], "--every: must be 1 to 86400 seconds, got 1e+06\n"),
        (["--every", "5"], "--every: only goes with --watch\n"),
    ],
)
def test_a_malformed_interval_is_one_line(study: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["report", str(study), *options])
    assert (result.exit_code, result.output) == (2, said)
