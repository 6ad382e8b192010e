"""The studies of docs/studies/lr-schedules.md load, and are what the page says of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.spec import load_study
from trainables.configs import SCHEDULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/studies/lr-schedules.md").read_text()
MADE_OF_OTHERS = {"sequence", "chain"}


@pytest.mark.parametrize("name", ["lr_schedules", "lr_schedules_full", "lr_schedules_interactions"])
def test_runs_are_as_many_as_the_page_says(name: str) -> None:
    said = re.search(rf"`sweeps/{name}\.yaml`.*\| ([\d,]+) \|\n", PAGE)
    assert said is not None
    runs = load_study(ROOT / f"sweeps/{name}.yaml").runs()
    assert len(runs) == int(said.group(1).replace(",", ""))
    comment = (ROOT / f"sweeps/{name}.yaml").read_text()
    assert f"{said.group(1)} runs" in comment


def test_the_full_study_has_every_schedule() -> None:
    runs = load_study(ROOT / "sweeps/lr_schedules_full.yaml").runs()
    names = {run.schedule.name for run in runs}
    assert names == set(SCHEDULES) - MADE_OF_OTHERS
    assert {run.optimizer.name for run in runs} == {"sgd", "sps", "sls"}
    by_name = {name: [run for run in runs if run.schedule.name == name] for name in names}
    tests = by_name["range_test"]
    assert len(tests) == 5
    assert {run.optimizer.lr for run in tests} == {10.0}
    assert all(len({run.train.epochs for run in own}) == 3 for n, own in by_name.items()
               if n != "range_test")  # fmt: skip
    methods = [run for run in runs if run.optimizer.name != "sgd"]
    assert {run.schedule.name for run in methods} == {"constant"}


def test_the_page_has_every_schedule() -> None:
    assert all(f"| `{name}` |" in PAGE for name in SCHEDULES)
