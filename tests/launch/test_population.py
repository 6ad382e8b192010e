"""Populations from the command line: killed and resumed, exported, replayed and reported."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import yaml

from orchestrator.api import export_results, replay_study
from orchestrator.report.results import load_results
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.population import population_section
from orchestrator.store import Store, StoreError, lineage
from tests.launch.conftest import Regatta

pytestmark = pytest.mark.ray
STUDY = """
study: crowd
data: {name: least_squares, features: 7, examples: 61, noise: 0.5}
model: {name: linear}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 100, batch_size: 4, loss: quadratic, precision: float64}
seeds: 2
search: {name: pbt, population: 7, interval: {epochs: 2}, quantile: 0.3}
sweep: {optimizer.lr: {log_uniform: [0.001, 0.3]}, optimizer.momentum: {uniform: [0, 0.9]}}
execution: {strategy: fused, checkpoint_every: 1}
tracking: {wandb: "off"}
"""


@pytest.fixture
def crowd(regatta: Regatta) -> Regatta:
    regatta.spec.write_text(STUDY)
    return regatta


def _tables(folder: Path) -> list[pd.DataFrame]:
    with Store.open(folder) as store:
        return [
            store.runs().drop(columns="wall_seconds"),
            store.history().drop(columns="seconds"),
            store.population(),
        ]


def _rows(folder: Path) -> int:
    try:
        with sqlite3.connect(f"file:{folder / 'store.sqlite'}?mode=ro", uri=True) as db:
            return int(db.execute("SELECT count(*) FROM history").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.mark.chaos
def test_a_population_survives_its_worker_bitwise_and_is_replayed(crowd: Regatta) -> None:
    whole, broken = crowd.folder / "whole/crowd", crowd.folder / "results/crowd"
    crowd.run("run", results="whole")
    process = crowd.start("run")
    crowd.wait_for(lambda: _rows(broken) > 14 * 3)
    victims = [
        pid
        for pid, command in crowd.descendants(process).items()
        if command.startswith("ray::ResourceTrainable")
    ]
    assert victims
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    for found, expected in zip(_tables(broken), _tables(whole), strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with Store.open(broken) as store:
        assert max(pack["attempts"] for pack in store.packs()) > 1
        assert sorted(len(pack["run_ids"]) for pack in store.packs()) == [7, 7]
        copies = store.copies()
    # 49 exchanges (none at the end), 2 of 7 members, 2 populations.
    assert len(copies) == 49 * 2 * 2
    _exported(broken, crowd.folder / "tables")
    _reported(broken)
    _replayed(crowd, broken)


def _exported(folder: Path, output: Path) -> None:
    names = [path.name for path in export_results(folder, output)]
    assert names == ["runs.parquet", "history.parquet", "population.parquet"]
    table = pd.read_parquet(output / "population.parquet")
    columns = ["run_id", "seed", "step", "source", "optimizer.lr", "optimizer.momentum"]
    assert list(table) == columns
    runs = pd.read_parquet(output / "runs.parquet").set_index("run_id")
    assert (runs.loc[table["source"], "seed"].to_numpy() == table["seed"]).all()
    history = pd.read_parquet(output / "history.parquet")
    later = table.merge(history, on=["run_id"], suffixes=("", "_then"))
    later = later[later["step_then"] == later["step"] + 15]
    assert len(later) == len(table)
    assert (later["optimizer.lr"] == later["optimizer.lr_then"]).all()


def _reported(folder: Path) -> None:
    results = load_results(folder)
    titles = [section.title for section in sections_of(results)]
    assert titles[1] == "How hyperparameters moved"
    section = population_section(results)
    best = results.runs.sort_values("objective").iloc[0]
    past = lineage(results.copies, best["run_id"])
    assert f"run {best['run_id']}" in section.finding
    assert f"by {len(past.copies)} cop" in section.finding
    assert [figure.name for figure in section.figures] == [
        "population_optimizer_lr",
        "population_optimizer_momentum",
    ]
    assert len(section.tables[1].rows) == len(past.copies) + 1
    for figure in section.figures:
        bold = figure.data[figure.data["kind"] == "the best member's past"]
        assert len(bold) == 100 + 1
        dots = figure.data[figure.data["kind"] == "a copy"]
        assert len(dots) == 49 * 2


def _replayed(crowd: Regatta, folder: Path) -> None:
    with Store.open(folder) as store:
        runs = store.runs().set_index("run_id")
        copies = store.copies()
    best, worst = runs["final/valid/loss"].idxmin(), runs["final/valid/loss"].idxmax()
    for name in (str(best), str(worst)):
        text = replay_study(folder, None if name == best else name)
        study = yaml.safe_load(text)
        crowd.spec.write_text(text)
        crowd.run("run", "--set", f"study=again-{name}", "--set", "tracking.wandb='off'")
        with Store.open(crowd.folder / f"results/again-{name}") as store:
            (again,) = store.outcomes()
        final = float(runs.loc[name, "final/valid/loss"])
        assert again.final["valid/loss"] == pytest.approx(final, rel=1e-10)
        assert len(study["train"]["changes"]) == len(lineage(copies, name).copies)
    with pytest.raises(StoreError, match="there is no run nosuch"):
        replay_study(folder, "nosuch")
