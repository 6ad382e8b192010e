"""Deep autoencoders: what K-FAC needs of the steps of tuned momentum.

Published: Martens & Grosse 2015 (arXiv 1503.05671, figures 10 and 11) train the autoencoders of
Hinton & Salakhutdinov 2006 by K-FAC in far fewer iterations than by tuned SGD with Nesterov
momentum. Asked of us: in a fifth of the steps, the loss that momentum has at the end.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from orchestrator.launch.check import load_data
from orchestrator.plan import unique_runs
from orchestrator.spec import load_study
from trainables.configs import RunConfig
from trainables.session import PackSession, Settings

ROOT = Path(__file__).parents[2]
MNIST = Path(os.environ.get("REGATTA_MNIST", ROOT / "../shared/data/mnist"))
SHARE = 5


class Task(NamedTuple):
    text: str
    steps: int
    """Of momentum."""
    batch: int
    momentum: str
    """What is tried of it."""


DIGITS = Task(
    """\
data: {name: digits, targets: inputs}
model: {name: mlp, hidden: [48, 32, 16, 8, 16, 32, 48], activation: tanh, init: lecun}
seeds: 2
""",
    1500,
    1168,
    """\
optimizer: {name: sgd, momentum: 0.9, nesterov: true}
sweep:
  optimizer.lr: {log: [0.003, 0.3], points: 7}
  optimizer.momentum: [0.9, 0.97, 0.99]
""",
)
ON_MNIST = Task(
    f"""\
data: {{name: mnist, root: "{MNIST.resolve()}", targets: inputs}}
model: {{name: mlp, hidden: [256, 64, 16, 64, 256], activation: tanh, init: lecun}}
seeds: 1
""",
    600,
    1000,
    """\
optimizer: {name: sgd, momentum: 0.9, nesterov: true}
sweep:
  optimizer.lr: [0.0003, 0.001, 0.003, 0.01]
  optimizer.momentum: [0.9, 0.97]
""",
)
KFAC = """\
optimizer: {name: kfac, statistics_every: 1, inverse_every: 5}
sweep:
  optimizer.lr: {log: [0.03, 1.0], points: 4}
  optimizer.damping: {log: [0.001, 1.0], points: 4}
  optimizer.kl_clip: [0.01]
"""
HESSIAN_FREE = """\
optimizer: {name: hessian_free, cg_iterations: 30}
sweep:
  optimizer.damping: {log: [0.1, 10.0], points: 3}
"""
FEW_PRODUCTS = """\
optimizer: {name: hessian_free, cg_iterations: 20}
sweep:
  optimizer.damping: [1.0, 10.0]
"""
Record = Callable[[str, object], None]

pytestmark = [pytest.mark.fidelity, pytest.mark.timeout(2 * 3600)]


def _courses(folder: Path, task: Task, method: str, share: int) -> pd.DataFrame:
    """The training loss of every run: a row an evaluation, a column a (point, seed)."""
    path = folder / "study.yaml"
    sizes = f"steps: {task.steps // share}, batch_size: {task.batch}"
    train = f"train: {{{sizes}, evaluate_every: {{steps: 10}}, loss: bernoulli}}"
    path.write_text(f"study: autoencoder\n{task.text}{method}{train}\n")
    runs = unique_runs(load_study(path).runs())
    pairs = [(name, run) for name, run in runs.items() if isinstance(run, RunConfig)]
    session = PackSession(pairs, load_data(runs.values()), Settings())
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    found = pd.DataFrame(rows).pivot_table(index="step", columns="run_id", values="train/loss")
    points = {name: (_point(run), run.seed) for name, run in pairs}
    found.columns = pd.MultiIndex.from_tuples([points[name] for name in found.columns])
    return found


def _point(run: RunConfig) -> str:
    optimizer: Any = run.optimizer
    names = ("lr", "momentum", "damping", "kl_clip")
    return " ".join(f"{n}={getattr(optimizer, n):g}" for n in names if hasattr(optimizer, n))


def _best(courses: pd.DataFrame) -> tuple[str, pd.Series]:
    """The point with the least mean loss at the end, and its mean over seeds."""
    means = courses.T.groupby(level=0).mean().T
    ends = means.iloc[-1].where(courses.iloc[-1].notna().groupby(level=0).all())
    name = str(ends.idxmin())
    return name, means[name]


@pytest.fixture(scope="module")
def momentum(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], tuple[str, pd.Series]]:
    """Task → the best point of tuned momentum, and its course; trained once."""

    @functools.cache
    def course(task: Task) -> tuple[str, pd.Series]:
        return _best(_courses(tmp_path_factory.mktemp("momentum"), task, task.momentum, 1))

    return course


@pytest.mark.parametrize(
    ("task", "method"),
    [
        pytest.param(DIGITS, KFAC, id="digits-kfac"),
        pytest.param(DIGITS, HESSIAN_FREE, id="digits-hessian_free"),
        pytest.param(
            ON_MNIST,
            FEW_PRODUCTS,
            id="mnist-hessian_free",
            marks=pytest.mark.skipif(
                not any(MNIST.glob("train-images-idx3-ubyte*")),
                reason=f"no MNIST in {MNIST}; REGATTA_MNIST=FOLDER says where it is",
            ),
        ),
    ],
)
def test_a_fifth_of_the_steps(
    tmp_path: Path,
    momentum: Callable[[Task], tuple[str, pd.Series]],
    record_property: Record,
    task: Task,
    method: str,
) -> None:
    name, slow = momentum(task)
    second, fast = _best(_courses(tmp_path, task, method, SHARE))
    wanted = float(slow.iloc[-1])
    reached = fast.index[fast.to_numpy() <= wanted]
    record_property("momentum", (name, wanted, int(slow.index[-1])))
    record_property("second order", (second, float(fast.iloc[-1]), [*map(int, reached[:1])]))
    assert np.isfinite(wanted)
    assert len(reached), (name, wanted, second, float(fast.iloc[-1]))
