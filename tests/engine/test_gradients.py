"""How a step takes its gradients: in parts, uphill, in fewer bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from trainables import models, precision
from trainables.arrays import Arrays
from trainables.configs import RunConfig, Train, fusion_key
from trainables.configs.models import Mlp
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.forward import Network
from trainables.gradients import Batch, batch_gradients
from trainables.losses import LOSSES
from trainables.precision import LaneAutocast

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
NORMED = Mlp(hidden=(11, 3), norm="batch")


def _stack(runs: list[RunConfig], data: DataSet, dtype: torch.dtype = torch.float64) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, dtype))


def _trained(runs: list[RunConfig], data: DataSet, steps: int) -> Stack:
    stack = _stack(runs, data)
    stack.advance(steps)
    return stack


def _solo(stack: Stack, run: RunConfig, data: DataSet) -> nn.Module:
    """The lane's network as the stack initializes it."""
    shape, classes = stack.arrays.input_shape, stack.arrays.outputs
    return models.build(run.model, shape, classes, run.seed).double()


def test_parts_add_up_to_the_batch(make_run: Maker, small_data: DataSet) -> None:
    train = {"steps": 7, "precision": "float64", "batch_size": 15}
    whole = _trained([make_run(train=train, seed=s) for s in (1, 2)], small_data, 7)
    split = train | {"accumulate": 5}
    parts = _trained([make_run(train=split, seed=s) for s in (1, 2)], small_data, 7)
    for name, tensor in whole.params.items():
        torch.testing.assert_close(parts.params[name], tensor, rtol=1e-10, atol=1e-13)
    metrics, losses = whole.evaluate()
    found, own = parts.evaluate()
    assert own == pytest.approx(losses, rel=1e-10)
    assert found["train/accuracy"] == pytest.approx(metrics["train/accuracy"], rel=1e-10)


def test_batch_normalization_sees_one_part_at_a_time(make_run: Maker, small_data: DataSet) -> None:
    """Against the loop that every PyTorch user writes: backward() part by part, then a step."""
    train = {"steps": 5, "precision": "float64", "batch_size": 15, "accumulate": 3}
    run = make_run(train=train, model=NORMED, optimizer=Sgd(lr=0.1), seed=3)
    stack = _stack([run, make_run(train=train, model=NORMED, optimizer=Sgd(lr=0.1))], small_data)
    module = _solo(stack, run, small_data)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for step in range(5):
        batch = stack.batch()
        for x, y in zip(batch.x[0].split(5), batch.targets[0].split(5), strict=True):
            (cross_entropy(module(x), y) / 3).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        stack.advance(step + 1)
    for name, tensor in module.named_parameters():
        torch.testing.assert_close(stack.params[name][0], tensor.detach(), rtol=1e-10, atol=1e-13)
    for name, tensor in module.named_buffers():
        torch.testing.assert_close(stack.buffers[name][0], tensor, rtol=1e-10, atol=1e-13)


def test_dropout_differs_from_part_to_part() -> None:
    """A batch of twice the same examples: with the same masks its loss would be that of a half."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 5), nn.Dropout(0.5))
    params = {name: p.detach().expand(2, *p.shape) for name, p in module.named_parameters()}
    half, labels = torch.randn(2, 3, 7), torch.zeros(2, 3, dtype=torch.int64)
    keys = torch.tensor([11, 12])
    once = Batch(half, labels, keys, None)
    twice = Batch(torch.cat([half, half], 1), torch.cat([labels, labels], 1), keys, None)
    found = [
        batch_gradients(Network.of(module), params, {}, batch, LOSSES["cross_entropy"], parts)
        for batch, parts in ((once, 1), (twice, 2))
    ]
    assert not torch.isclose(found[0].losses, found[1].losses).any()


def test_parts_must_divide_the_batch() -> None:
    with pytest.raises(ValueError, match="accumulate: 3 does not divide batch_size 64"):
        Train(steps=1, accumulate=3)


def test_sharpness_aware_minimization(make_run: Maker, small_data: DataSet) -> None:
    """Against the method as its paper describes it, one network at a time, radii by lane."""
    radii = (0.05, 0.5)
    runs = [
        make_run(
            train={"steps": 7, "precision": "float64", "sam_rho": rho},
            optimizer=Sgd(lr=0.1, momentum=0.9),
            model=NORMED,
            seed=seed,
        )
        for seed, rho in enumerate(radii)
    ]
    stack = _stack(runs, small_data)
    modules = [_solo(stack, run, small_data) for run in runs]
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in modules]
    for step in range(7):
        batch = stack.batch()
        for lane, (module, optimizer) in enumerate(zip(modules, optimizers, strict=True)):
            params = list(module.parameters())
            first = cross_entropy(module(batch.x[lane]), batch.targets[lane])
            gradients = torch.autograd.grad(first, params)
            length = torch.cat([g.flatten() for g in gradients]).norm()
            climbs = [radii[lane] * g / length for g in gradients]
            kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
            with torch.no_grad():
                torch._foreach_add_(params, climbs)
            cross_entropy(module(batch.x[lane]), batch.targets[lane]).backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                torch._foreach_sub_(params, climbs)
                for name, buffer in module.named_buffers():
                    buffer.copy_(kept[name])
            optimizer.step()
            optimizer.zero_grad()
        stack.advance(step + 1)
    for lane, module in enumerate(modules):
        for name, tensor in module.named_parameters():
            found = stack.params[name][lane]
            torch.testing.assert_close(found, tensor.detach(), rtol=1e-9, atol=1e-12)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(stack.buffers[name][lane], buffer, rtol=1e-10, atol=1e-13)


def test_what_lanes_share(make_run: Maker) -> None:
    runs = [make_run(train=t) for t in ({}, {"sam_rho": 0.1}, {"sam_rho": 0.2})]
    plain, some, more = (fusion_key(run) for run in runs)
    assert some == more != plain
    parts = make_run(train={"batch_size": 14, "accumulate": 2})
    assert fusion_key(parts) != fusion_key(make_run(train={"batch_size": 14}))


class _Mixed(nn.Module):
    """What autocast treats in its three ways: products, sums of many, and the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, bias=False)  # its gradient before a norm is only noise
        self.norm = nn.BatchNorm2d(3)
        self.middle = nn.Linear(12, 12)
        self.layer = nn.LayerNorm(12)
        self.out = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.conv(x))).flatten(2)  # (B, 3, 12)
        attended = torch.softmax(x @ x.mT, -1) @ x
        x = self.layer(self.middle(x) + attended)
        return self.out(x.mean(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_autocast_in_lanes_is_that_of_torch(low: torch.dtype) -> None:
    torch.manual_seed(0)
    module = _Mixed()
    x = torch.randn(7, 1, 4, 8)
    mine, theirs = [], []
    for store, context in (
        (mine, LaneAutocast(low)),
        (theirs, torch.autocast("cpu", dtype=low)),
    ):
        module.norm.reset_running_stats()
        with context:
            predicted = module(x)
        store.append(predicted.float())
        store.extend(torch.autograd.grad(predicted.float().square().sum(), module.parameters()))
        assert predicted.dtype == low
    for found, expected in zip(mine, theirs, strict=True):
        largest = expected.abs().max().item()
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2 * largest)


@pytest.mark.parametrize("name", ["bfloat16", "float16", "tf32"])
def test_fewer_bits_packed_equal_solo(make_run: Maker, small_data: DataSet, name: str) -> None:
    runs = [
        make_run(train={"steps": 14, "precision": name}, model=NORMED, seed=seed)
        for seed in range(3)
    ]
    packed = _stack(runs, small_data, precision.STORED["tf32"])
    packed.advance(14)
    metrics, _ = packed.evaluate()
    for lane, run in enumerate(runs):
        solo = _stack([run], small_data, torch.float32)
        solo.advance(14)
        alone, _ = solo.evaluate()
        close = {"rel": 1e-4 if name == "tf32" else 5e-2}
        assert alone["valid/loss"][0] == pytest.approx(metrics["valid/loss"][lane], **close)
    full = _stack([make_run(train={"steps": 14}, model=NORMED)], small_data, torch.float32)
    full.advance(14)
    exact = full.evaluate()[0]["valid/loss"][0]
    assert metrics["valid/loss"][0] == pytest.approx(exact, rel=0.1)
    assert (metrics["valid/loss"][0] == exact) == (name == "tf32")


def test_fewer_bits_resume_bitwise(make_run: Maker, small_data: DataSet) -> None:
    runs = [make_run(train={"steps": 9, "precision": "float16"}, seed=s) for s in (0, 1)]
    whole = _stack(runs, small_data, torch.float32)
    whole.advance(4)
    resumed = _stack(runs, small_data, torch.float32)
    resumed.load_state_dict(whole.state_dict())
    for stack in (whole, resumed):
        stack.advance(9)
    assert all(resumed.params[n].equal(t) for n, t in whole.params.items())
    assert resumed._scale["good"].tolist() == whole._scale["good"].tolist()
    assert whole.keep([1])._scale["scale"].shape == (1,)


def test_a_loss_scale_moves_as_that_of_torch() -> None:
    """Each lane beside a ``GradScaler`` of its own, over steps good and bad."""
    generator = torch.Generator().manual_seed(5)
    good = torch.rand(4101, 2, generator=generator) > 0.0005
    good[:2100, 1] = True
    scale = precision.first_scale("float16", 2, CPU)
    scalers = [torch.amp.GradScaler("cpu") for _ in range(2)]
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizers = [torch.optim.SGD([w], lr=0.0) for w in weights]
    for row in good:
        for lane, scaler in enumerate(scalers):
            loss = weights[lane].sum() * (1.0 if row[lane] else float("inf"))
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizers[lane])
            scaler.update()
            optimizers[lane].zero_grad()
        scale = precision.next_scale(scale, row)
        assert scale["scale"].tolist() == [scaler.get_scale() for scaler in scalers]
    assert not good.all()
    assert scale["scale"][1] != 65536


def test_a_step_without_numbers_is_left_out(make_run: Maker, small_data: DataSet) -> None:
    """A scale beyond float16 gives infinite gradients: that lane stands still, and halves it."""
    runs = [make_run(train={"steps": 9, "precision": "float16"}, seed=s) for s in (0, 1)]
    stack = _stack(runs, small_data, torch.float32)
    stack._scale["scale"][1] = 2.0**30
    before: dict[str, Any] = {name: t.clone() for name, t in stack.params.items()}
    stack.advance(1)
    moved = [
        any(not t[lane].equal(before[n][lane]) for n, t in stack.params.items()) for lane in (0, 1)
    ]
    assert moved == [True, False]
    assert stack._scale["scale"].tolist() == [65536, 2.0**29]
    assert stack._scale["good"].tolist() == [1, 0]
