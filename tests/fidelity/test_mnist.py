"""The studies of LeNet on MNIST, run whole: every seed is as accurate as the literature has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.launch.check import check, load_data
from orchestrator.plan import unique_runs
from orchestrator.spec import load_study
from trainables.session import PackSession, Settings

ROOT = Path(__file__).parents[2]
MNIST = Path(os.environ.get("REGATTA_MNIST", ROOT / "../shared/data/mnist"))
ACCURACIES = {"lenet_300_100": 0.98, "lenet5": 0.99}


@pytest.mark.fidelity
@pytest.mark.skipif(
    not any(MNIST.glob("train-images-idx3-ubyte*")),
    reason=f"no MNIST in {MNIST}; REGATTA_MNIST=FOLDER says where it is",
)
@pytest.mark.parametrize("name", ACCURACIES)
def test_lenet_learns_mnist(name: str, record_property: Callable[[str, object], None]) -> None:
    study = load_study(ROOT / f"sweeps/{name}.yaml", [f"data.root={MNIST.resolve()}"])
    runs = unique_runs(study.runs())
    data = load_data(runs.values())
    check(runs.values(), data)
    session = PackSession(list(runs.items()), data, Settings())
    while not session.finished:
        session.advance()
    found = [progress.final["test/accuracy"] for progress in session.progress.values()]
    record_property("test accuracy", found)
    assert len(found) == len(study.seeds) > 1
    assert min(found) >= ACCURACIES[name], found
