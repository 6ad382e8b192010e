"""Gradual warmup where it is known to help: a product of matrices that starts steep.

W₄ W₃ W₂ W₁ from orthogonal matrices times a has curvature a⁶ at the start, and far less once the
product has shrunk to the target. Without warmup the start bounds the learning rate.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainables.configs import RunConfig, Train
from trainables.configs.base import Steps
from trainables.configs.data import MatrixFactorization
from trainables.configs.models import DeepLinear
from trainables.configs.optimizers import Sgd
from trainables.configs.run import Target, data_key, run_id
from trainables.configs.schedules import Constant
from trainables.data.load import load
from trainables.session import PackSession, Settings

DATA = MatrixFactorization(rows=7, columns=5, rank=1)
RATES = np.geomspace(0.064, 2.048, 11)
SEEDS = range(3)
NONE, GRADUAL = Constant(), Constant(warmup=Steps(steps=19), warmup_start=1 / 64)


def _run(scale: float, schedule: Constant, rate: float, seed: int) -> RunConfig:
    train = Train(
        steps=293,
        batch_size=DATA.rows,
        loss="quadratic",
        evaluate_every=Steps(steps=1),
        target=Target(metric="valid/loss", value=0.01),
    )
    model = DeepLinear(hidden=(7, 7, 7), init="orthogonal", scale=scale)
    return RunConfig(
        data=DATA, model=model, optimizer=Sgd(lr=rate), schedule=schedule, train=train, seed=seed
    )


def _medians(scale: float, schedule: Constant) -> dict[float, float]:
    """Rate → the median of the seeds' steps to the target; infinite where it is not reached."""
    runs = {
        (rate, seed): _run(scale, schedule, float(rate), seed) for rate in RATES for seed in SEEDS
    }
    ids = {key: run_id(run) for key, run in runs.items()}
    data = {data_key(_run(scale, schedule, 1.0, 0)): load(DATA)}
    pack = [(ids[key], run) for key, run in runs.items()]
    session = PackSession(pack, data, Settings(strategy="fused"))
    while not session.finished:
        session.advance()

    def steps(rate: float, seed: int) -> float:
        progress = session.progress[ids[rate, seed]]
        return progress.steps if progress.reason == "target reached" else math.inf

    return {rate: float(np.median([steps(rate, seed) for seed in SEEDS])) for rate in RATES}


def test_gradual_warmup_beats_none_where_the_start_is_steep() -> None:
    none, gradual = _medians(2.0, NONE), _medians(2.0, GRADUAL)
    assert min(gradual.values()) < 0.7 * min(none.values())
    largest = [max(r for r, s in found.items() if s < math.inf) for found in (none, gradual)]
    assert largest[1] > 1.9 * largest[0]


def test_warmup_is_no_free_gain_where_the_start_is_flat() -> None:
    none, gradual = _medians(1.0, NONE), _medians(1.0, GRADUAL)
    assert min(gradual.values()) > 0.9 * min(none.values())
    rate = RATES[3]  # stable with and without: warmup only loses time
    assert none[rate] < gradual[rate] == pytest.approx(none[rate] + 19 / 2, abs=3)
