"""Early stopping on Ray: killed studies end bit for bit, budgets hold, own training is stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from orchestrator.report.results import load_results
from orchestrator.store import Store
from tests.launch.conftest import Regatta, regatta
from tests.launch.test_faults import _rows, _same

__all__ = ["regatta"]  # the fixture
pytestmark = pytest.mark.ray

# One pack at a time: with several, which reports first decides what is compared with what.
STUDY = """\
study: small
model: {name: mlp, hidden: [16]}
optimizer: {name: sgd}
train: {epochs: 90, batch_size: 32, evaluate_every: {epochs: 2}}
seeds: 2
sweep:
  optimizer.lr: {log: [0.001, 1.0], points: 6}
  optimizer.momentum: [0.0, 0.5]
early_stopping: {name: asha, grace: {epochs: 10}, reduction: 3}
execution: {strategy: fused, lanes: 8, checkpoint_every: 3}
resources: {cpus: 1, max_concurrent: 1}
tracking: {wandb: "off"}
"""
OWN = """\
from ray import tune

def train(config):
    for step in range(1, 21):
        tune.report({"loss": config["level"] + 1 / step, "step": step})
"""
OWN_STUDY = """\
study: small
trainable: mine:train
objective: {metric: loss}
sweep: {config.level: [1, 2, 3, 4, 5, 6]}
early_stopping: {name: asha, grace: {steps: 2}, max: {steps: 20}, reduction: 3}
resources: {cpus: 1, max_concurrent: 1}
tracking: {wandb: "off"}
"""


@pytest.mark.chaos  # the shorter one that `make test` has is in tests/chaos
def test_killed_workers_and_drivers_change_no_bit(regatta: Regatta) -> None:
    regatta.spec.write_text(STUDY)
    whole, broken = regatta.folder / "whole/small", regatta.folder / "broken/small"
    output = regatta.run("run", results="whole")
    assert "runs were stopped early" in output
    with Store.open(whole) as store:
        expected = store.decisions()
        total = len(store.history())
        assert any(decision.join for decision in expected)
        assert {"completed", "stopped"} == set(store.statuses().values())
        assert all(p["status"] == "completed" for p in store.packs())

    first = regatta.start("run", results="broken")
    regatta.wait_for(lambda: _rows(broken) > total // 5)
    workers = [
        pid
        for pid, command in regatta.descendants(first).items()
        if command.startswith("ray::ResourceTrainable")
    ]
    os.kill(workers[0], signal.SIGKILL)
    regatta.wait_for(lambda: _rows(broken) > total // 2)
    first.kill()
    first.communicate()
    assert _rows(broken) < total
    regatta.run("run", results="broken")
    _same(broken, whole)
    with Store.open(broken) as store:
        assert store.decisions() == expected
        assert max(pack["attempts"] for pack in store.packs()) >= 2
    assert "stopped" in regatta.run("status", str(broken))


def test_a_budget_ends_the_study_and_a_larger_one_goes_on(regatta: Regatta) -> None:
    regatta.spec.write_text(STUDY.replace("{name: asha, grace: {epochs: 10}, reduction: 3}",
                                          "{name: budget, cpu_hours: 1e-6}"))  # fmt: skip
    folder = regatta.folder / "results/small"
    output = regatta.run("run")
    assert "budget is used up: raise it in early_stopping to go on" in output
    with Store.open(folder) as store:
        before = store.runs().set_index("run_id")
        counts = before["status"].value_counts()
    assert counts["stopped"] == 8
    assert counts["pending"] == 16
    stopped = before[before["status"] == "stopped"]
    assert set(stopped["reason"]) == {"budget: 1e-06 CPU-hours are used up"}
    assert (stopped["steps"] > 0).all()
    regatta.run("run", "--set", "early_stopping={name: patience, evaluations: 2}")
    with Store.open(folder) as store:
        after = store.runs().set_index("run_id")
    assert set(after["status"]) == {"completed", "stopped"}
    assert after.loc[stopped.index, "reason"].equals(stopped["reason"])


def test_own_training_is_stopped(regatta: Regatta) -> None:
    (regatta.folder / "mine.py").write_text(OWN)
    regatta.spec.write_text(OWN_STUDY)
    output = regatta.run("run")
    assert "runs were stopped early." in output
    with Store.open(Path(regatta.folder / "results/small")) as store:
        runs = store.runs().set_index("config.level")
    # Worse from run to run: the first goes on, all others end at their first rung.
    assert runs["status"].tolist() == ["completed"] + ["stopped"] * 5
    assert runs["steps"].tolist() == [20, 2, 2, 2, 2, 2]
    assert set(runs["reason"][1:]) == {"asha: not among the best third at step 2"}
    assert runs.loc[3, "final/loss"] == 3.5


def test_only_the_best_states_stay_of_a_search_that_stops_runs(regatta: Regatta) -> None:
    """A lane writes its state after the decision to stop it; suggestions are not known before."""
    changes = {
        "epochs: 90": "epochs: 18",
        "epochs: 10}": "epochs: 2}",
        "[0.0, 0.5]": "{uniform: [0.0, 0.5]}",
        "checkpoint_every: 3": "save: best",
        "{log: [0.001, 1.0], points: 6}": "{log_uniform: [0.001, 1.0]}",
    }
    text = STUDY + "search: {name: optuna, runs: 9}\nreport: {top: 2}\n"
    for old, new in changes.items():
        text = text.replace(old, new)
    regatta.spec.write_text(text)
    output = regatta.run("run")
    assert "small: 18 runs of search optuna (tpe), 8 at a time; early stopping: asha" in output
    folder = regatta.folder / "results/small"
    results = load_results(folder)
    assert results.runs["status"].eq("stopped").any()
    best = results.ranked().index[:2]
    kept = set(results.runs.loc[results.runs["configuration"].isin(best), "run_id"])
    found = {path.stem for path in (folder / "runs").glob("*.pt")}
    assert kept <= found
    assert len(found) == 4
