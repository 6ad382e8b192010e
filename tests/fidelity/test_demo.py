"""The demo, run whole: what its report says of the digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.launch.conftest import Regatta, regatta

__all__ = ["regatta"]  # the fixture
DEMO = Path(__file__).parents[2] / "sweeps/lr_schedules.yaml"


@pytest.mark.fidelity
@pytest.mark.ray
def test_the_selected_configuration_is_accurate_on_every_seed(regatta: Regatta) -> None:
    regatta.spec.write_text(DEMO.read_text())
    regatta.run("run", "--set", "tracking.wandb=off", seconds=240)
    with Store.open(regatta.folder / "results/lr-schedules") as store:
        runs, axes = store.runs(), store.meta()["axes"]
    assert set(runs["status"]) <= {"completed", "diverged"}
    assert len(runs) == 180 == 3 * len(axes["optimizer.lr"]) * len(axes["schedule"])
    keys = ["config.schedule.name", "config.optimizer.lr"]
    whole = runs[runs["status"] == "completed"].groupby(keys).filter(lambda group: len(group) == 3)
    means = whole.groupby(keys)["final/valid/loss"].mean()
    chosen = whole.set_index(keys).loc[means.idxmin(), "final/test/accuracy"]
    assert chosen.min() >= 0.97, (means.idxmin(), sorted(chosen))
