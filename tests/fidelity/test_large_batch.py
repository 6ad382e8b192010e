"""Large-batch scaling of a small network on MNIST, and what warmup and layerwise rates are worth.

Published: perfect scaling, diminishing returns, a floor (Shallue et al. 2019, figure 1); the noise
scale within a factor of 5 of the critical batch size (McCandlish et al. 2018); gradual warmup
against none at a large batch (Goyal et al. 2017, table 1).
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.launch.check import load_data
from orchestrator.plan import unique_runs
from orchestrator.report.large_batch import best, exponent, fit, points, trials
from orchestrator.spec import load_study
from orchestrator.store import Store
from tests.launch.conftest import Regatta
from trainables.configs import RunConfig
from trainables.progress import Progress
from trainables.session import PackSession, Settings

ROOT = Path(__file__).parents[2]
SWEEP = ROOT / "sweeps/large_batch.yaml"
MNIST = Path(os.environ.get("REGATTA_MNIST", ROOT / "../shared/data/mnist"))
EXAMPLES = 55_000
OPTIMIZERS = """\
[{name: sgd, momentum: 0.9, weight_decay: 0.001}, {name: lars, momentum: 0.9, weight_decay: 0.001},
 {name: lamb, weight_decay: 0.001}]"""
LAYERWISE = [
    "study=large-batch-layerwise",
    f"sweep.optimizer={OPTIMIZERS}",
    "sweep.train.batch_size=[4096]",
    "sweep.let.rate={log: [0.015625, 16.0], points: 21}",
    "sweep.let.base={tied: \"0.1 if optimizer.name == 'sgd' else 16 if optimizer.name == 'lars'"
    ' else 0.01"}',
    'sweep.optimizer.lr={tied: "base * rate"}',
    "sweep.train.steps=null",
    "train.steps=200",
]
WARMUP = """\
study: warmup-at-the-full-batch
data: {name: digits}
model: {name: mlp, hidden: [64, 32]}
optimizer: {name: sgd, momentum: 0.9}
train: {epochs: 160, batch_size: 1168, evaluate_every: {epochs: 20}}
seeds: 10
sweep:
  optimizer.lr: {log: [0.1, 1.6], points: 9}
  schedule: [{name: constant}, {name: constant, warmup: {epochs: 40}}]
"""
Record = Callable[[str, object], None]

pytestmark = [pytest.mark.fidelity, pytest.mark.timeout(4 * 3600)]
needs_mnist = pytest.mark.skipif(
    not any(MNIST.glob("train-images-idx3-ubyte*")),
    reason=f"no MNIST in {MNIST}; REGATTA_MNIST=FOLDER says where it is",
)


def overrides() -> list[str]:
    """Those for MNIST, as the head of the study has them."""
    head = SWEEP.read_text().split("# Warmups beside")[0].split("# MNIST")[1]
    words = shlex.split(head[head.index("regatta run") :].replace("\\\n# ", ""))
    found = [word for option, word in pairwise(words) if option == "--set"]
    return [word.replace("root: data/mnist", f'root: "{MNIST.resolve()}"') for word in found]


def _trained(name: str, more: list[str], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trials and history of the study, run whole."""
    scratch = tempfile.mkdtemp(prefix="rg", dir="/tmp")  # Ray's sockets need a short path
    regatta = Regatta(folder, scratch)
    try:
        regatta.spec.write_text(SWEEP.read_text())
        sets = [part for word in [*overrides(), *more] for part in ("--set", word)]
        regatta.run("run", "--set", "tracking.wandb=off", *sets, seconds=3.5 * 3600)
        with Store.open(folder / "results" / name) as store:
            return trials(store.runs(), store.meta()["axes"]), store.history()
    finally:
        regatta.close()
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _trained("large-batch-mnist", [], tmp_path_factory.mktemp("scaling"))


@needs_mnist
@pytest.mark.ray
def test_steps_fall_with_the_batch_and_then_no_more(
    mnist: tuple[pd.DataFrame, pd.DataFrame], record_property: Record
) -> None:
    chosen = best(mnist[0])
    record_property("best", chosen.to_dict("records"))
    reached = chosen[chosen["status"] == "reached"].set_index("batch_size")
    assert len(chosen) >= 12
    assert len(reached) >= 12
    assert {8, EXAMPLES} <= {*reached.index}
    steps = reached["steps"]
    # Perfect scaling: the smallest batches take about equally many examples.
    assert steps[8] / steps[16] == pytest.approx(2, rel=0.3)
    # The floor: the last factor of 3.4 in the batch saves at most a fifth of the steps.
    assert steps[EXAMPLES] > 0.8 * steps[16384]
    assert steps[EXAMPLES] * EXAMPLES > 20 * steps[8] * 8


@needs_mnist
@pytest.mark.ray
def test_the_noise_scale_is_the_critical_batch_size_to_a_factor_of_5(
    mnist: tuple[pd.DataFrame, pd.DataFrame], record_property: Record
) -> None:
    table, history = mnist
    found = fit(table)
    assert found is not None
    assert not found.below_range
    assert not found.above_range
    keys = best(table)[["batch_size", "point"]]
    ids = table.merge(keys, on=["batch_size", "point"])["run_id"]
    scale = history.loc[history["run_id"].isin(ids), "probe/noise_scale"]
    mean = float(np.exp(np.log(scale[scale > 0]).mean()))
    record_property("fit", found)
    record_property("noise scale", mean)
    assert 1 / 5 < mean / found.b_crit.value < 5


@needs_mnist
@pytest.mark.ray
def test_the_best_rate_grows_as_a_power_of_the_batch(
    mnist: tuple[pd.DataFrame, pd.DataFrame], record_property: Record
) -> None:
    found = fit(mnist[0])
    assert found is not None
    whole = exponent(mnist[0])
    below = exponent(mnist[0], largest=found.b_crit.value)
    record_property("exponent", whole)
    record_property("exponent below B_crit", below)
    for law in (whole, below):
        assert law is not None
        assert law.low < law.slope < law.high
    assert whole is not None
    assert whole.low > 0
    assert whole.high < 1.25


@needs_mnist
@pytest.mark.ray
def test_layerwise_rates_against_tuned_momentum(tmp_path: Path, record_property: Record) -> None:
    """Whoever wins is recorded; each optimizer must have its best rate inside what was tried."""
    table, _ = _trained("large-batch-layerwise", LAYERWISE, tmp_path)
    chosen = best(points(table))
    record_property("best", chosen.to_dict("records"))
    assert len(chosen) == 3
    assert {*chosen["status"]} == {"reached"}
    assert {*chosen["edge"]} == {"inside"}


def test_gradual_warmup_allows_larger_rates_on_digits(
    tmp_path: Path, record_property: Record
) -> None:
    """The largest batch there is, Goyal's measure: test error after equally many epochs."""
    path = tmp_path / "warmup.yaml"
    path.write_text(WARMUP)
    runs = unique_runs(load_study(path).runs())
    session = PackSession(
        [(name, run) for name, run in runs.items() if isinstance(run, RunConfig)],
        load_data(runs.values()),
        Settings(strategy="fused"),
    )
    while not session.finished:
        session.advance()
    errors = pd.DataFrame(
        [
            {
                "rate": round(run.optimizer.lr, 3),
                "seed": run.seed,
                "warmup": "none" if run.schedule.warmup == 0 else "gradual",
                "error": _error(session.progress[name]),
            }
            for name, run in runs.items()
            if isinstance(run, RunConfig)
        ]
    )
    wide = errors.pivot_table(index=["rate", "seed"], columns="warmup", values="error")
    means = wide.groupby("rate").mean()
    record_property("mean test error", means.to_dict())
    largest = {way: float(means.index[means[way] < 0.06].max()) for way in ("none", "gradual")}
    assert largest["gradual"] > 1.3 * largest["none"]
    gain = (wide["none"] - wide["gradual"]).loc[largest["gradual"]].to_numpy(np.float64)
    low, high = stats.t.interval(0.95, len(gain) - 1, loc=gain.mean(), scale=stats.sem(gain))
    record_property("gain at the largest useful rate", (gain.mean(), low, high))
    assert low > 0


def _error(progress: Progress) -> float:
    """Of the test set; chance where the run diverged."""
    found = progress.final.get("test/error", math.nan)
    return found if progress.status == "completed" and math.isfinite(found) else 0.9
