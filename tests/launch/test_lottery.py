"""Lottery studies from the command line: their worker killed in mid-level, and then extended."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta

pytestmark = pytest.mark.ray
STUDY = """
study: tickets
data: {name: gaussian_mixture, classes: 5, features: 7, examples: 131}
model: {name: mlp, hidden: [11, 3]}
optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
train: {epochs: 40, batch_size: 13, precision: float64, evaluate_every: {epochs: 4}}
seeds: 2
procedure:
  {name: lottery, levels: 3, rate: 0.3, rewind_to: {epochs: 5}, controls: [shuffled], children: 1}
execution: {strategy: fused, checkpoint_every: 1}
tracking: {wandb: "off"}
"""


@pytest.fixture
def study(regatta: Regatta) -> Regatta:
    regatta.spec.write_text(STUDY)
    return regatta


def _tables(folder: Path) -> list[pd.DataFrame]:
    with Store.open(folder) as store:
        runs = store.runs().drop(columns=["wall_seconds", "pack_id", "lane"])
        history = store.history().drop(columns="seconds")
        return [
            runs.sort_values("run_id").reset_index(drop=True),
            history.sort_values(["run_id", "step"]).reset_index(drop=True),
            store.probes().sort_values(["run_id", "name", "at"]).reset_index(drop=True),
        ]


def _levels(folder: Path) -> int:
    """The highest level that the store has heard of."""
    try:
        with sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT max(level) FROM history").fetchone()[0] or 0)
    except sqlite3.OperationalError:
        return 0


def _same(folder: Path, whole: Path, tolerance: float) -> None:
    for found, expected in zip(_tables(folder), _tables(whole), strict=True):
        pd.testing.assert_frame_equal(
            found, expected, check_exact=not tolerance, rtol=tolerance, check_like=True
        )


def test_a_worker_killed_in_mid_level_changes_nothing(study: Regatta) -> None:
    whole, broken = study.folder / "whole/tickets", study.folder / "results/tickets"
    study.run("run", results="whole")
    process = study.start("run")
    study.wait_for(lambda: _levels(broken) >= 2)
    victims = [
        pid
        for pid, command in study.descendants(process).items()
        if command.startswith("ray::ResourceTrainable")
    ]
    assert victims
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    _same(broken, whole, 0.0)
    with Store.open(broken) as store:
        assert max(pack["attempts"] for pack in store.packs()) > 1


@pytest.mark.chaos
def test_what_a_study_gains_is_all_that_is_trained(study: Regatta) -> None:
    folder, whole = study.folder / "results/tickets", study.folder / "whole/tickets"
    gained = ("--set", "procedure.levels=4", "--set", "seeds=3")
    study.run("run", *gained, results="whole")
    study.run("run")
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}
    with Store.open(folder) as store:
        old = store.runs().set_index("run_id")["wall_seconds"]
    study.run("run", *gained)
    _same(folder, whole, 1e-9)
    with Store.open(folder) as store:
        new = store.runs().set_index("run_id")["wall_seconds"]
    pd.testing.assert_series_equal(new[old.index], old)
    after = {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}
    assert {name: after[name] for name in before} == before, "no file was written again"
    assert len(after) > len(before)
