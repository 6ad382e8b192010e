"""Random ``kill -9``: nothing is lost, nothing is twice, every result has the same bits."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.store import Store
from orchestrator.store.faults import FELL_BACK, NODE_LOST, WORKER_DIED
from tests.chaos.storm import Cluster, Storm, cluster

STUDY = """\
study: storm
data: {{name: digits}}
model: {{name: mlp, hidden: [16]}}
optimizer: {{name: sgd, momentum: 0.9}}
train: {{epochs: {epochs}, batch_size: 32, evaluate_every: {{epochs: {every}}}}}
seeds: {seeds}
sweep:
  optimizer.lr: {{log: [0.003, 300.0], points: {rates}}}
  schedule: [{{name: constant}}, {{name: cosine, warmup: 0.1}}, {{name: linear}}]
execution: {{strategy: fused, lanes: {lanes}, checkpoint_every: 1}}
tracking: {{wandb: "off"}}
"""

# One pack at a time: with several, which reports first decides what is compared with what.
STOPPED_EARLY = (
    STUDY
    + """\
early_stopping: {{name: asha, grace: {{epochs: 6}}, reduction: 3}}
resources: {{cpus: 1, max_concurrent: 1}}
"""
)


@pytest.fixture(name="raylets")
def _raylets() -> Iterator[Cluster]:
    scratch = tempfile.mkdtemp(prefix="rg", dir="/tmp")  # Ray's sockets need a short path
    try:
        with cluster(scratch) as started:
            yield started
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Everything but times."""
    with Store.open(folder) as store:
        runs, history = store.runs(), store.history()
    assert not history.duplicated(["run_id", "level", "step"]).any()
    return runs.drop(columns="wall_seconds"), history.drop(columns="seconds")


def _packs(store: Store) -> list[tuple[str, list[str], str]]:
    return [(pack["pack_id"], pack["run_ids"], pack["status"]) for pack in store.packs()]


def _weather(
    raylets: Cluster, tmp_path: Path, study: str, kills: list[str], seconds: float
) -> Path:
    """The study calm, then under kills; compares. Returns the folder of the latter."""
    spec = tmp_path / "study.yaml"
    spec.write_text(study)
    rng = random.Random(20)
    took = []
    rows = 1
    for name, kinds in (("calm", []), ("storm", kills)):
        (tmp_path / name).mkdir()
        storm = Storm(raylets, spec, tmp_path / name, kinds, rng, rows)
        took.append(storm.drive(seconds))
        rows = len(_results(storm.folder)[1])
    calm, found = tmp_path / "calm/storm", tmp_path / "storm/storm"
    for ours, theirs in zip(_results(found), _results(calm), strict=True):
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
    with Store.open(found) as store, Store.open(calm) as undisturbed:
        assert store.decisions() == undisturbed.decisions()
        assert _packs(store) == _packs(undisturbed)
        faults = store.fault_counts()
        statuses = Counter(store.statuses().values())
        attempts = sum(pack["attempts"] for pack in store.packs())
        packs = len(store.packs())
        fell_back = store.details(FELL_BACK)
    killed = Counter(storm.log)
    print(f"{killed=} {faults=} {statuses=} {attempts=} {packs=} seconds={took}")  # noqa: T201 - the figures
    assert killed == Counter(kills)
    assert fell_back == [], "kill -9 damages no checkpoint"
    assert not set(statuses) - {"completed", "diverged", "stopped"}
    deaths = faults.get(WORKER_DIED, 0) + faults.get(NODE_LOST, 0)
    # One killed just before the driver is not seen to die, and a raylet may have no worker.
    assert 1 <= deaths <= killed["worker"] + killed["raylet"]
    assert attempts > packs
    assert not list((found / "packs").iterdir())
    output = (tmp_path / "storm/driver.log").read_text()
    assert "Traceback" not in output, output
    return found


@pytest.mark.chaos
@pytest.mark.ray
def test_a_shower_of_kills_changes_no_bit(raylets: Cluster, tmp_path: Path) -> None:
    # Long enough that a kill finds it at work, though the machine is a fast one.
    study = STUDY.format(epochs=120, every=6, seeds=2, rates=4, lanes=8)
    kills = ["worker", "raylet", "driver", "worker"]
    _weather(raylets, tmp_path, study, kills, seconds=200)


@pytest.mark.chaos
@pytest.mark.ray
def test_a_shower_of_kills_changes_no_decision(raylets: Cluster, tmp_path: Path) -> None:
    study = STOPPED_EARLY.format(epochs=60, every=2, seeds=2, rates=5, lanes=10)
    kills = ["worker", "raylet", "driver", "worker"]
    with Store.open(_weather(raylets, tmp_path, study, kills, seconds=200)) as store:
        decisions, statuses = store.decisions(), Counter(store.statuses().values())
        stopped = {run_id for decision in decisions for run_id in decision.stop}
        assert {name for name, s in store.statuses().items() if s == "stopped"} == stopped
    assert statuses.keys() == {"completed", "stopped", "diverged"}
    assert sum(len(decision.join) for decision in decisions) > 10


@pytest.mark.chaos
@pytest.mark.ray
@pytest.mark.timeout(3600)
def test_a_storm_of_kills_changes_no_bit(raylets: Cluster, tmp_path: Path) -> None:
    study = STUDY.format(epochs=40, every=1, seeds=10, rates=10, lanes=25)
    kills = ["worker"] * 16 + ["raylet"] * 7 + ["driver"] * 7
    random.Random(4).shuffle(kills)
    _weather(raylets, tmp_path, study, kills, seconds=3000)
