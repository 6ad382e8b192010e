"""Label smoothing is torch's, while training only."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from trainables.arrays import Arrays
from trainables.configs import RunConfig, fusion_key
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.losses import cross_entropy, training_loss

Maker = Callable[..., RunConfig]


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_equals_torch(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = 5 * torch.randn(3, 7, 11, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 11, (3, 7), generator=generator)
    value = training_loss("cross_entropy", share)(outputs, targets)
    for lane in range(3):
        z = outputs[lane].clone().requires_grad_()
        losses = F.cross_entropy(z, targets[lane], label_smoothing=share, reduction="none")
        losses.mean().backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(value.losses[lane], losses.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(value.gradient[lane], z.grad, rtol=1e-10, atol=1e-15)
    assert value.scores.equal(cross_entropy(outputs, targets).scores)


def test_valid_and_test_are_measured_without(make_run: Maker, small_data: DataSet) -> None:
    """Before the first step both runs are the same network: only what they minimize differs."""
    train = {"steps": 7, "precision": "float64"}
    stacks = []
    for smoothing in ({}, {"label_smoothing": 0.2}):
        run = make_run(train=train | smoothing)
        arrays = Arrays.of(small_data, torch.device("cpu"), torch.float64)
        stack = Stack([run], arrays)
        stack._rates.zero_()
        stack.advance(1)
        stacks.append(stack.evaluate()[0])
    plain, smooth = stacks
    assert plain["valid/loss"] == smooth["valid/loss"]
    assert plain["train/accuracy"] == smooth["train/accuracy"]
    assert plain["train/loss"] != pytest.approx(smooth["train/loss"], rel=1e-3)


def test_runs_that_smooth_alike_share_a_pack(make_run: Maker) -> None:
    keys = [fusion_key(make_run(train={"label_smoothing": s})) for s in (0.0, 0.1, 0.1, 0.2)]
    assert keys[1] == keys[2]
    assert len(set(keys)) == 3
