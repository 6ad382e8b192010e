"""What a session measures at several places of a run comes through a trial into the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launch import test_bisect, test_decider
from tests.launch.test_pack_trial import Trial
from trainables.configs import RunConfig
from trainables.data import DataSet
from trainables.progress import Report
from trainables.session import PackSession

ROWS = [{"run_id": "r1", "name": "density", "at": "0.weight", "value": 0.5}]


def test_a_trials_result_has_what_its_session_measured(
    tmp_path: Path,
    make_run: Callable[..., RunConfig],
    data_of: Callable[[RunConfig], dict[str, DataSet]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [make_run(seed=seed) for seed in range(2)]
    pack = Trial(tmp_path, runs, data_of(runs[0])).start()
    assert pack.step()["probes"] == []
    advance = PackSession.advance

    def advanced(session: PackSession) -> Report:
        return dataclasses.replace(advance(session), probes=ROWS)

    monkeypatch.setattr(PackSession, "advance", advanced)
    assert pack.step()["probes"] == ROWS


def test_the_recorder_keeps_it(tmp_path: Path, make_run: Callable[..., RunConfig]) -> None:
    driver = test_bisect.Driver(tmp_path, make_run)
    driver.start()
    driver.report(5, probes=ROWS)
    driver.report(5, probes=ROWS)
    assert driver.store.probes().to_dict("records") == ROWS


def test_a_launch_that_decides_keeps_it_too(tmp_path: Path) -> None:
    study = test_decider._Study(tmp_path)
    rows = [{**ROWS[0], "run_id": study.names[1]}]
    study.decider.take_in(study.task, 1, [], [], done=False, measured=rows)
    assert study.store.probes().to_dict("records") == rows
