"""Autoencoders: the loss of pixels through the engine, and its curvature."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig, Train, run_id
from trainables.configs.base import Steps
from trainables.configs.optimizers import Adam
from trainables.configs.run import data_key
from trainables.curvature import sampling
from trainables.curvature.objective import MEAN_LOSSES
from trainables.curvature.products import OUTPUT_HESSIANS
from trainables.data import load
from trainables.engine import Stack
from trainables.session import PackSession, Settings

PIXELS = Digits(targets="inputs")
RUN = RunConfig(
    data=PIXELS,
    model=Mlp(hidden=(13, 5, 13)),
    optimizer=Adam(lr=0.03),
    train=Train(
        steps=150,
        batch_size=131,
        loss="bernoulli",
        precision="float64",
        evaluate_every=Steps(steps=75),
    ),
)


def _written_out(stack: Stack, lane: int, x: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and mean squared error of a lane's reconstructions."""
    params = {name: p[lane] for name, p in stack.params.items()}
    layers = sorted({name.split(".")[0] for name in params}, key=int)
    h = x
    for place, layer in enumerate(layers):
        h = h @ params[f"{layer}.weight"].T + params[f"{layer}.bias"]
        h = h.relu() if place < len(layers) - 1 else h.sigmoid()
    loss = -(x * h.log() + (1 - x) * (1 - h).log()).sum() / len(x)
    return float(loss), float((h - x).square().sum() / len(x))


def test_what_is_measured_is_of_the_reconstruction_written_out() -> None:
    runs = [RUN, dataclasses.replace(RUN, seed=3)]
    stack = Stack(runs, Arrays.of(load(PIXELS), torch.device("cpu"), torch.float64))
    stack.advance(17)
    metrics, _ = stack.evaluate()
    for part in ("valid", "test"):
        x = getattr(stack.arrays, part)[0]
        for lane in range(2):
            loss, error = _written_out(stack, lane, x)
            assert metrics[f"{part}/loss"][lane] == pytest.approx(loss, rel=1e-10)
            assert metrics[f"{part}/squared_error"][lane] == pytest.approx(error, rel=1e-10)


def test_it_learns_packed_as_alone() -> None:
    runs = [dataclasses.replace(RUN, seed=seed) for seed in (0, 3)]
    data = {data_key(RUN): load(PIXELS)}

    def train(some: list[RunConfig]) -> dict[str, dict[str, float]]:
        session = PackSession([(run_id(r), r) for r in some], data, Settings())
        while not session.finished:
            session.advance()
        return {key: progress.final for key, progress in session.progress.items()}

    packed = train(runs)
    for run in runs:
        (alone,) = train([run]).values()
        for metric, value in packed[run_id(run)].items():
            assert value == pytest.approx(alone[metric], rel=1e-10), metric
    mean = data[data_key(RUN)].train_y.mean(0)
    flat = float(np.square(data[data_key(RUN)].test_y - mean).sum(1).mean())
    assert all(final["test/squared_error"] < 0.7 * flat for final in packed.values())


@pytest.mark.parametrize("name", ["bernoulli"])
def test_output_hessian_and_drawn_targets(name: str) -> None:
    """The Hessian by autograd; targets whose mean gradient is 0 and whose covariance it is."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64)
    y = torch.rand(z.shape, generator=generator, dtype=torch.float64)
    v = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    for lane in range(3):

        def loss(at: Tensor, lane: int = lane) -> Tensor:
            return MEAN_LOSSES[name](at.view(1, 2, 5), y[lane : lane + 1]).sum()

        dense = torch.autograd.functional.hessian(loss, z[lane].flatten())
        expected = (dense @ v[lane].flatten()).view(2, 5)
        found = OUTPUT_HESSIANS[name](z, v)[lane]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
    keys = torch.arange(3) + 11
    many = torch.stack([sampling.drawn(name, z, keys, call) for call in range(4001)])
    assert set(many.unique().tolist()) == {0.0, 1.0}
    p = z.sigmoid()
    noise = 5 * (p * (1 - p) / 4001).sqrt()
    assert bool(((many.mean(0) - p).abs() < noise).all())
