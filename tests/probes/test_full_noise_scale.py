"""The noise scale with the Hessian, against Hessians that are written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.optimizers import Sgd
from trainables.configs.probes import NoiseScale, Probes
from trainables.data import DataSet
from trainables.data.synthetic import least_squares
from trainables.engine import Stack
from trainables.probes.full_noise_scale import full_noise_scale
from trainables.pruning.masks import ones, with_masks

Maker = Callable[..., RunConfig]
CPU = torch.device("cpu")
DOUBLE = {"steps": 5, "precision": "float64"}


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


def _written_out(stack: Stack, lane: int, keep: Tensor) -> tuple[float, float]:
    """B_noise and B_simple of a lane, from all gradients and the whole Hessian.

    Args:
        keep: which of the weights, flat, there are.
    """
    names = [*stack.params]
    shapes = [stack.params[name].shape[1:] for name in names]
    flat = torch.cat([stack.params[name][lane].flatten() for name in names])
    x, y = stack.arrays.train

    def losses(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        params = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        outputs = functional_call(stack.network.module, params, (x,))
        if stack.runs[0].train.loss == "quadratic":
            return (outputs - y).square().sum(1) / 2
        return F.cross_entropy(outputs, y, reduction="none")

    rows = jacrev(losses)(flat)[:, keep]  # (N, weights)
    # Not jacrev twice: of layer normalization that gives another matrix, not even symmetric.
    curvature = torch.autograd.functional.hessian(lambda flat: losses(flat).mean(), flat)
    curvature = curvature[keep][:, keep]
    mean, covariance = rows.mean(0), torch.cov(rows.T)
    full = torch.trace(curvature @ covariance) / (mean @ curvature @ mean)
    return float(full), float(torch.trace(covariance) / (mean @ mean))


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_equals_the_hessian_written_out(make_run: Maker, small_data: DataSet, norm: Any) -> None:
    """Of a network that is differentiated by hand and one that is not, two lanes each."""
    model = Mlp(hidden=(5,), norm=norm, activation="tanh")
    runs = [make_run(train=DOUBLE, model=model, seed=seed) for seed in (1, 2)]
    stack = _stack(runs, small_data)
    stack.advance(5)
    found = full_noise_scale(stack)
    whole = torch.ones(sum(p[0].numel() for p in stack.params.values()), dtype=torch.bool)
    for lane in (0, 1):
        full, simple = _written_out(stack, lane, whole)
        assert found.full[lane] == pytest.approx(full, rel=1e-9)
        assert found.simple[lane] == pytest.approx(simple, rel=1e-9)
        assert full != pytest.approx(simple, rel=0.1)


def test_masked_weights_have_no_part(make_run: Maker, small_data: DataSet) -> None:
    run = make_run(train=DOUBLE, model=Mlp(hidden=(5,), activation="tanh"))
    stack = _stack([run], small_data)
    left = ones(stack.params, ["0.weight"])
    left["0.weight"][:, 1::2] = False
    stack = stack.put([run], with_masks(stack.state_dict(), left))
    keep = [left.get(name, torch.ones_like(p)).flatten() for name, p in stack.params.items()]
    full, simple = _written_out(stack, 0, torch.cat(keep).bool())
    found = full_noise_scale(stack)
    assert found.full[0] == pytest.approx(full, rel=1e-9)
    assert found.simple[0] == pytest.approx(simple, rel=1e-9)


@pytest.mark.parametrize("condition", [1.0, 11.0])
def test_least_squares(make_run: Maker, condition: float) -> None:
    """H = XᵀX/N is known. Where it is the identity, both are one; where it is not, they are not."""
    data = LeastSquares(features=7, examples=131, condition=condition, noise=0.5, seed=3)
    run = make_run(
        train=DOUBLE | {"loss": "quadratic"}, data=data, model=Linear(bias=False), seed=5
    )
    stack = _stack([run], least_squares(data))
    x, y = stack.arrays.train
    rows = x * (x @ stack.params["0.weight"][0].T - y)
    mean, covariance, curvature = rows.mean(0), torch.cov(rows.T), x.T @ x / 131
    full = torch.trace(curvature @ covariance) / (mean @ curvature @ mean)
    found = full_noise_scale(stack)
    assert found.full[0] == pytest.approx(float(full), rel=1e-9)
    same = found.full[0] == pytest.approx(found.simple[0], rel=1e-5)
    assert same == (condition == 1.0)


def test_what_training_measures_is_the_simple_one(make_run: Maker) -> None:
    """Where H is the identity, batches tell the whole noise scale."""
    data = LeastSquares(features=7, examples=1009, condition=1.0, noise=1.0, seed=3)
    run = make_run(
        train={"steps": 500, "precision": "float64", "loss": "quadratic", "batch_size": 130},
        data=data,
        model=Linear(bias=False),
        optimizer=Sgd(lr=1e-300),
        probes=Probes(noise_scale=NoiseScale(every=1, parts=13, decay=1 - 1e-9)),
    )
    stack = _stack([run], least_squares(data))
    exact = full_noise_scale(stack)
    stack.advance(500)
    metrics, _ = stack.evaluate()
    assert metrics["probe/noise_scale"] == pytest.approx(exact.full, rel=0.05)
    assert metrics["probe/noise_scale/trace"] == pytest.approx(exact.trace, rel=0.05)


def test_lanes_have_their_own(make_run: Maker, small_data: DataSet) -> None:
    model = Mlp(hidden=(5,), norm="layer")
    runs = [make_run(train=DOUBLE, model=model, seed=seed) for seed in (1, 2, 3)]
    packed = full_noise_scale(_stack(runs, small_data))
    solo = [full_noise_scale(_stack([run], small_data)).full[0] for run in runs]
    np.testing.assert_allclose(packed.full, solo, rtol=1e-10)
    assert len(set(solo)) == 3


@pytest.mark.parametrize(
    "model",
    [
        Mlp(hidden=(5,), norm="batch"),
        UserModel(name="tests.probes.test_full_noise_scale:dropping"),
    ],
)
def test_examples_must_have_gradients_of_their_own(
    make_run: Maker, small_data: DataSet, model: Any
) -> None:
    with pytest.raises(ValueError, match="batch normalization and dropout"):
        full_noise_scale(_stack([make_run(model=model)], small_data))


def dropping(input_shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(*input_shape, outputs))
