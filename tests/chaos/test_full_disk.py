"""A study on a disk that is too small ends with one line, and goes on once there is room."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta
from tests.launch.conftest import regatta as regatta
from tests.store.test_storage import small_disk

pytestmark = [pytest.mark.ray, pytest.mark.chaos]
MORE = ("--set", "train.epochs=60", "--set", "train.evaluate_every={epochs: 1}")


def _results(folder: Path) -> list[pd.DataFrame]:
    with Store.open(folder) as store:
        return [
            store.runs().drop(columns="wall_seconds"),
            store.history().drop(columns="seconds"),
        ]


def test_a_full_disk_is_one_line_and_no_loss(
    regatta: Regatta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGATTA_STORAGE_SECONDS", "3")
    with small_disk(regatta.folder / "disk", "300k") as again:
        process = regatta.start("run", *MORE, results="disk")
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 1, output
        assert "Traceback" not in output
        (last,) = [line for line in output.splitlines() if "all that was committed" in line]
        assert "store.sqlite: no space left (database or disk is full), for 3 s" in last
        again("size=64m")
        output = regatta.run("run", *MORE, results="disk")
        assert "10 completed, 2 diverged" in output
        regatta.run("run", *MORE, results="whole")
        found, expected = (_results(regatta.folder / name / "small") for name in ("disk", "whole"))
        for ours, theirs in zip(found, expected, strict=True):
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
