"""Lottery tickets of LeNet-300-100 on MNIST (Frankle & Carbin 2019, section 2), five seeds.

As in the paper: Glorot's initialization, Adam at 1.2e-3, batches of 60, 5,000 images held out, a
fifth of each layer pruned a level and a tenth of the last, weights put back to the initialization.
Deviation: 5,000 steps instead of 50,000.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.store import Store
from tests.launch.conftest import Regatta

ROOT = Path(__file__).parents[2]
MNIST = Path(os.environ.get("REGATTA_MNIST", ROOT / "../shared/data/mnist"))
STUDY = f"""\
study: lottery-mnist
data: {{name: mnist, root: "{MNIST.resolve()}"}}
model: {{name: lenet_300_100, init: xavier}}
optimizer: {{name: adam, lr: 1.2e-3}}
train: {{steps: 5000, batch_size: 60, evaluate_every: {{steps: 500}}}}
seeds: 5
procedure:
  name: lottery
  levels: 9
  controls: [reinitialized]
  children: 1
  children_at: [0, 7, 9]
objective: {{metric: valid/accuracy, mode: max}}
tracking: {{wandb: "off"}}
"""
SEEDS = 5
LADDER = {1: 80.04, 3: 51.28, 7: 21.07, 9: 13.52}
"""Prunings → percent of the 266,200 weights that are left, as published but for the first, which is
(0.8 · 265,200 + 0.9 · 1,000) / 266,200."""

pytestmark = [
    pytest.mark.fidelity,
    pytest.mark.ray,
    pytest.mark.timeout(3 * 3600),
    pytest.mark.skipif(
        not any(MNIST.glob("train-images-idx3-ubyte*")),
        reason=f"no MNIST in {MNIST}; REGATTA_MNIST=FOLDER says where it is",
    ),
]
Record = Callable[[str, object], None]


class Networks:
    """What became of the study's networks."""

    def __init__(self, runs: pd.DataFrame, history: pd.DataFrame) -> None:
        level = runs["config.lottery.level"].fillna(0).astype(int)
        child = runs["config.lottery.child"].fillna(0).astype(int)
        kind = runs["config.lottery.control"].fillna("ticket").where(child == 0, "child")
        self.runs = runs.assign(at=level, kind=kind)
        self.history = history

    def of(self, column: str, level: int, kind: str = "ticket") -> pd.Series:
        """A column of the networks of a level, seed by seed; level 0 is dense."""
        found = self.runs[(self.runs["at"] == level) & (self.runs["kind"] == kind)]
        assert len(found) == SEEDS
        return found.set_index("seed")[column].sort_index()

    def early(self, level: int, kind: str = "ticket") -> pd.DataFrame:
        """Step and test accuracy at the evaluation with the lowest validation loss, by seed."""
        ids = self.of("run_id", level, kind)
        best = self.history.loc[self.history.groupby("run_id")["valid/loss"].idxmin()]
        return best.set_index("run_id").loc[ids].set_index(ids.index)[["step", "test/accuracy"]]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    scratch = tempfile.mkdtemp(prefix="rg", dir="/tmp")  # Ray's sockets need a short path
    regatta = Regatta(tmp_path_factory.mktemp("lottery"), scratch)
    try:
        regatta.spec.write_text(STUDY)
        regatta.run("run", seconds=2.5 * 3600)
        with Store.open(regatta.folder / "results/lottery-mnist") as store:
            runs, history = store.runs(), store.history()
        assert set(runs["status"]) == {"completed"}
        yield Networks(runs, history)
    finally:
        regatta.close()
        shutil.rmtree(scratch, ignore_errors=True)


def interval(differences: pd.Series) -> tuple[float, float, float]:
    """Mean of paired differences with the ends of its 95 % interval (Student's t)."""
    values = differences.to_numpy(np.float64)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=values.mean(), scale=stats.sem(values))
    return float(values.mean()), float(low), float(high)


def test_levels_leave_the_published_shares(networks: Networks) -> None:
    for level, percent in LADDER.items():
        for kind in ("ticket", "reinitialized"):
            shares = 100 * networks.of("final/probe/density", level, kind)
            assert shares.round(2).tolist() == [percent] * SEEDS


@pytest.mark.parametrize("level", [7, 9])
def test_tickets_beat_other_first_weights(
    networks: Networks, level: int, record_property: Record
) -> None:
    """Published: half a point at 21 %, and 2.51 times sooner at the lowest validation loss."""
    column = "final/test/accuracy"
    ticket, control = (networks.of(column, level, k) for k in ("ticket", "reinitialized"))
    early = {kind: networks.early(level, kind) for kind in ("ticket", "reinitialized")}
    sooner = early["reinitialized"]["step"] / early["ticket"]["step"]
    gain = early["ticket"]["test/accuracy"] - early["reinitialized"]["test/accuracy"]
    record_property("ticket", ticket.tolist())
    record_property("reinitialized", control.tolist())
    record_property("gain at the end", interval(ticket - control))
    record_property("gain at the lowest validation loss", interval(gain))
    record_property("times sooner at the lowest validation loss", sooner.tolist())
    _, low, _ = interval(ticket - control)
    assert low > 0, (ticket.tolist(), control.tolist())


def test_an_eighth_of_the_weights_is_as_accurate_as_all(
    networks: Networks, record_property: Record
) -> None:
    """Published: more accurate than all by more than 0.3 points at 13.5 %."""
    ticket, dense = (networks.of("final/test/accuracy", level) for level in (9, 0))
    record_property("ticket", ticket.tolist())
    record_property("dense", dense.tolist())
    record_property("gain", interval(ticket - dense))
    assert ticket.mean() >= dense.mean(), (ticket.tolist(), dense.tolist())


@pytest.mark.parametrize("level", [0, 7, 9])
def test_networks_from_one_initialization_are_connected(
    networks: Networks, level: int, record_property: Record
) -> None:
    """Two data orders from the initialization on, the same mask: an error barrier below a point.

    Frankle et al. 2020 find LeNet on MNIST, alone of their networks, stable from step 0 on, dense
    and pruned.
    """
    barriers = networks.of("final/probe/barrier/test/error", level, "child")
    record_property("barriers", barriers.tolist())
    assert barriers.mean() < 0.01, barriers.tolist()
