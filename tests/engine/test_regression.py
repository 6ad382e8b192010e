"""Regression through the whole engine: a closed form, R², and losses that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check
from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig, Train, run_id
from trainables.configs.base import Steps
from trainables.configs.data import (
    Data,
    GaussianMixture,
    LeastSquares,
    MatrixFactorization,
    UserData,
)
from trainables.configs.models import Lenet5, Model, Vgg11, Vit
from trainables.configs.optimizers import Sgd
from trainables.configs.run import LossName, data_key
from trainables.data import DataSet, load
from trainables.engine import Stack
from trainables.session import PackSession, Settings

LINEAR = Mlp(hidden=(), bias=False)


def _run(data: Data, loss: LossName, batch: int, steps: int = 1, lr: float = 0.5) -> RunConfig:
    return RunConfig(
        data=data,
        model=LINEAR,
        optimizer=Sgd(lr=lr),
        train=Train(
            steps=steps,
            batch_size=batch,
            loss=loss,
            precision="float64",
            evaluate_every=Steps(steps=1),
        ),
    )


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_gradient_descent_on_least_squares_equals_the_closed_form(noise: float) -> None:
    """w_t − w* = (I − ηH)ᵗ(w_0 − w*), so L(w_t) = L* + ½ Σ λ (1 − ηλ)²ᵗ c², each lane its η."""
    config = LeastSquares(features=7, examples=31, condition=50.0, noise=noise)
    data = load(config)
    rates = (0.05, 0.5, 1.9)
    runs = [_run(config, "quadratic", 31, steps=300, lr=lr) for lr in rates]
    start = Stack(runs, Arrays.of(data, torch.device("cpu"), torch.float64)).params["0.weight"]
    session = PackSession([(run_id(r), r) for r in runs], {data_key(runs[0]): data}, Settings())
    rows = [row for _ in range(300) for row in session.advance().rows]
    x, y = data.train_x.astype(np.float64), data.train_y.astype(np.float64)[:, 0]
    eigenvalues, basis = np.linalg.eigh(x.T @ x / 31)
    optimum = np.linalg.solve(x.T @ x, x.T @ y)
    least = np.square(x @ optimum - y).mean() / 2
    variance = y.var()
    for lane, (run, lr) in enumerate(zip(runs, rates, strict=True)):
        mine = [row for row in rows if row["run_id"] == run_id(run)]
        c = basis.T @ (start[lane, 0].numpy() - optimum)
        t = np.arange(300)[:, None]  # the loss reported for a step is the one before it
        curve = least + 0.5 * (eigenvalues * c**2 * (1 - lr * eigenvalues) ** (2 * t)).sum(1)
        np.testing.assert_allclose([r["train/loss"] for r in mine], curve, rtol=1e-10, atol=1e-14)
        r2 = 1 - 2 * curve / variance
        np.testing.assert_allclose([r["train/r2"] for r in mine], r2, rtol=1e-10, atol=1e-12)
        weights = optimum + basis @ (c * (1 - lr * eigenvalues) ** 300)
        tx, ty = data.test_x.astype(np.float64), data.test_y.astype(np.float64)[:, 0]
        error = np.square(tx @ weights - ty).mean()
        assert mine[-1]["test/loss"] == pytest.approx(error / 2, rel=1e-9)
        assert mine[-1]["test/r2"] == pytest.approx(1 - error / ty.var(), rel=1e-9)
        assert not any("accuracy" in key for key in mine[-1])


def test_two_classes_by_one_output() -> None:
    config = GaussianMixture(classes=2, features=7, separation=6.0)
    run = _run(config, "logistic", 50, steps=60)
    session = PackSession([("a", run)], {data_key(run): load(config)}, Settings())
    while not session.finished:
        session.advance()
    assert session.progress["a"].final["test/accuracy"] > 0.97


REAL = MatrixFactorization()
PIXELS = Digits(targets="inputs")


def floats() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(31, 3))
    return x, x.sum(1)


@pytest.mark.parametrize(
    ("data", "loss", "message"),
    [
        (REAL, "cross_entropy", "cross_entropy needs classes, and matrix_factorization has real"),
        (REAL, "logistic", "logistic needs classes, and matrix_factorization has real targets"),
        (UserData(name=f"{__name__}:floats"), "cross_entropy", "has real targets; use quadratic"),
        (Digits(), "quadratic", "quadratic needs real targets, and digits has classes; use cross"),
        (Digits(), "logistic", "logistic needs 2 classes, and digits has 10"),
        (Digits(), "bernoulli", "bernoulli needs real targets, and digits has classes; use cross"),
        (PIXELS, "cross_entropy", "digits has real targets; use bernoulli or quadratic"),
        (REAL, "bernoulli", "bernoulli needs targets in [0, 1], and matrix_factorization has -"),
    ],
)
def test_a_loss_that_does_not_fit_is_one_line(data: Data, loss: LossName, message: str) -> None:
    run = _run(data, loss, 20)
    loaded: dict[str, DataSet] = {data_key(run): load(data)}
    with pytest.raises(LaunchError) as caught:
        check([run], loaded)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (Lenet5(), Digits(), "lenet5 takes images (channels, height, width); examples of digits"),
        (Vgg11(), UserData(name=f"{__name__}:images"), "vgg11 takes images from 32 pixels a side"),
        (Vit(patch=5), UserData(name=f"{__name__}:images"), "model.patch: 5 must divide the sides"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(model: Model, data: Data, message: str) -> None:
    run = dataclasses.replace(_run(data, "cross_entropy", 2), model=model)
    with pytest.raises(LaunchError) as caught:
        check([run], {data_key(run): load(data)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def images() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(20, 1, 8, 8)), np.arange(20) % 3
