"""A study whose configurations a searcher suggests: run, killed, gone on with, widened."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.search.known import kept_suggestions, warm_start
from orchestrator.search.searchers import PACKAGES, missing_package
from orchestrator.spec import load_study
from orchestrator.store import Store, StoreError
from tests.launch.conftest import Regatta

pytestmark = pytest.mark.ray
STUDY = """\
study: searched
data: {name: digits}
model: {name: mlp, hidden: [16]}
optimizer: {name: sgd, momentum: 0.9}
train: {epochs: 60, batch_size: 32, evaluate_every: {epochs: 5}}
search: {name: "a_searcher:Near", runs: 6}
seeds: 2
sweep:
  optimizer.lr: {log_uniform: [1.0e-4, 1.0]}
execution: {strategy: fused, lanes: 4, checkpoint_every: 1}
tracking: {wandb: "off"}
"""


def statuses(folder: Path) -> dict[str, str]:
    try:
        with Store.open(folder) as store:
            return store.statuses()
    except StoreError:  # not there, or not yet
        return {}


def rows(folder: Path) -> int:
    try:
        with Store.open(folder) as store:
            return sum(1 for _ in store.reports())
    except StoreError:
        return 0


def runs_of(folder: Path) -> pd.DataFrame:
    with Store.open(folder) as store:
        frame = store.runs()
    return frame.drop(columns=["wall_seconds", "pack_id", "lane"]).set_index("run_id")


@pytest.mark.chaos
@pytest.mark.parametrize("search", ["a_searcher:Near", "optuna"])
def test_a_search_that_is_killed_goes_on_and_can_be_widened(regatta: Regatta, search: str) -> None:
    if search == "optuna":
        pytest.importorskip("optuna")
    text = STUDY.replace("a_searcher:Near", search)
    shutil.copy(Path(__file__).with_name("a_searcher.py"), regatta.folder)
    regatta.spec.write_text(text)
    folder = regatta.folder / "results/searched"

    killed = regatta.start("run")
    regatta.wait_for(lambda: rows(folder) > 12)
    with Store.open(folder) as store:
        before, packs = store.suggestions(), {p["pack_id"]: p["run_ids"] for p in store.packs()}
    killed.kill()
    killed.communicate()
    assert "completed" not in statuses(folder).values() or len(before) < 6

    output = regatta.run("run")
    assert "12 completed" in output
    with Store.open(folder) as store:
        after = store.suggestions()
        assert after[: len(before)] == before, "what was out is gone on with"
        assert {p["pack_id"]: p["run_ids"] for p in store.packs()}.items() >= packs.items()
        study = load_study(regatta.spec)
        kept = kept_suggestions(study, store)
        warm = warm_start(study, store, kept)
    assert len(after) == len(kept) == 6
    assert [one.suggestion_id for one in after] == [f"s-{n:06d}" for n in range(6)]
    assert len(warm.evaluated) == 6
    first = runs_of(folder)

    regatta.spec.write_text(text.replace("runs: 6", "runs: 8"))
    assert "16 completed" in regatta.run("run")
    widened = runs_of(folder)
    assert len(widened) == 16
    pd.testing.assert_frame_equal(widened.loc[first.index], first, check_exact=True)
    rates = sorted(set(widened["config.optimizer.lr"]))
    assert len(rates) == 8
    assert "8 configurations" in (folder / "report.html").read_text()
    assert "16, 16 of them finished" in regatta.run("plan", str(regatta.spec))
    status = regatta.run("status", str(folder))
    assert "16 completed" in status
    regatta.run("export", str(folder), "-o", str(regatta.folder / "tables"))
    exported = pd.read_parquet(regatta.folder / "tables/runs.parquet")
    assert len(exported) == 16


def test_a_searcher_that_raises_ends_the_study_with_one_line(regatta: Regatta) -> None:
    shutil.copy(Path(__file__).with_name("a_searcher.py"), regatta.folder)
    regatta.spec.write_text(STUDY.replace("Near", "Broken"))
    process = regatta.start("run")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 2, output
    assert output.strip().splitlines()[-1] == (
        f"{regatta.spec}: search: Broken raised ZeroDivisionError: no luck"
    )


OWN = """\
study: own
trainable: descent:train
config: {lr: 0.1}
seeds: 2
search: {name: "a_searcher:Drawn", runs: 3}
sweep:
  config.lr: {log_uniform: [0.001, 1.0]}
objective: {metric: valid/loss, mode: min}
tracking: {wandb: "off"}
"""
DESCENT = """\
from ray import tune

def train(config):
    x = 1.0 + config["seed"]
    for _ in range(3):
        x -= config["lr"] * x
        tune.report({"valid/loss": x})
"""


@pytest.mark.chaos
def test_a_search_over_own_training_goes_on_with_more_runs(regatta: Regatta) -> None:
    shutil.copy(Path(__file__).with_name("a_searcher.py"), regatta.folder)
    (regatta.folder / "descent.py").write_text(DESCENT)
    regatta.spec.write_text(OWN)
    folder = regatta.folder / "results/own"
    assert "6 completed" in regatta.run("run")
    first = runs_of(folder)
    regatta.spec.write_text(OWN.replace("runs: 3", "runs: 4"))
    assert "8 completed" in regatta.run("run")
    runs = runs_of(folder)
    pd.testing.assert_frame_equal(runs.loc[first.index], first, check_exact=True)
    for _, run in runs.iterrows():
        expected = (1 + run["seed"]) * (1 - run["config.lr"]) ** 3
        assert run["final/valid/loss"] == pytest.approx(expected, rel=1e-12)
    assert runs["config.lr"].nunique() == 4


def test_a_searcher_that_is_not_installed_is_one_line(regatta: Regatta) -> None:
    missing = next(name for name, modules in PACKAGES.items() if not all(map(find_spec, modules)))
    regatta.spec.write_text(STUDY.replace("a_searcher:Near", missing))
    process = regatta.start("run")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output.strip() == (f"{regatta.spec}: {missing_package(load_study(regatta.spec))}")
