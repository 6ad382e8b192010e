"""Averaged weights are those of ``torch.optim.swa_utils``, in each lane on its own terms."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check
from trainables import models
from trainables.arrays import Arrays
from trainables.configs import RunConfig, Train, UserModel, fusion_key
from trainables.configs.base import Epochs, Steps
from trainables.configs.models import Mlp
from trainables.configs.optimizers import ScheduleFreeSgd, Sgd
from trainables.configs.regularization import Swa
from trainables.configs.run import data_key
from trainables.data import DataSet
from trainables.engine import Stack

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
NORMED = Mlp(hidden=(11, 3), norm="batch")
DECAYS = (0.9, 0.5, 0.999)
SWAS = (
    Swa(start=0.5, every=Steps(steps=7)),
    Swa(start=Steps(steps=3), every=Steps(steps=13)),
    Swa(start=0.0),
    Swa(start=0.99),
)


def _stack(runs: list[RunConfig], data: DataSet, dtype: torch.dtype = torch.float64) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, dtype))


def _runs(make_run: Maker, averages: list[dict[str, Any]], **train: Any) -> list[RunConfig]:
    settings = {"precision": "float64"} | train
    return [
        make_run(train=settings | average, model=NORMED, optimizer=Sgd(lr=0.1), seed=seed)
        for seed, average in enumerate(averages)
    ]


class Beside:
    """One lane trained by PyTorch on the stack's batches, with PyTorch's own average."""

    def __init__(self, stack: Stack, lane: int, **options: Any) -> None:
        run = stack.runs[lane]
        shape, classes = stack.arrays.input_shape, stack.arrays.outputs
        self.lane = lane
        self.module = models.build(run.model, shape, classes, run.seed).double()
        self.optimizer = torch.optim.SGD(self.module.parameters(), lr=run.optimizer.lr)
        self.average = AveragedModel(self.module, **options)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        cross_entropy(self.module(x[self.lane]), y[self.lane]).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def _assert_evaluated(
    stack: Stack, lane: int, module: nn.Module, loss: float, tolerance: float
) -> None:
    """What the stack evaluates is this module: its tensors, and its loss."""
    params, buffers = stack._evaluated()
    close = {"rtol": tolerance, "atol": 1e-3 * tolerance}
    for name, tensor in module.named_parameters():
        torch.testing.assert_close(params[name][lane], tensor.detach(), **close)
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            torch.testing.assert_close(buffers[name][lane], buffer, **close)
    x, y = stack.arrays.valid
    expected = cross_entropy(module.eval()(x), y).item()
    assert loss == pytest.approx(expected, rel=tolerance)
    module.train()


def test_exponential_average_is_that_of_torch(make_run: Maker, small_data: DataSet) -> None:
    runs = _runs(make_run, [{"ema": decay} for decay in DECAYS], steps=200)
    stack = _stack(runs, small_data)
    beside = [
        Beside(stack, lane, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        for lane, decay in enumerate(DECAYS)
    ]
    for one in beside:
        one.average.update_parameters(one.module)  # the first call only copies: θ̄ = θ₀
    for step in range(200):
        batch = stack.batch()
        for one in beside:
            one.step(batch.x, batch.targets)
            one.average.update_parameters(one.module)
        stack.advance(step + 1)
    losses = stack.evaluate()[0]["valid/loss"]
    for one in beside:
        _assert_evaluated(stack, one.lane, one.average.module, losses[one.lane], 1e-9)
        assert not torch.allclose(stack.params["0.weight"], stack._evaluated()[0]["0.weight"])


def test_equal_average_is_that_of_torch(make_run: Maker, small_data: DataSet) -> None:
    """Starts and periods of each lane its own; statistics as ``update_bn`` takes them."""
    runs = _runs(make_run, [{"swa": swa} for swa in SWAS], steps=200, batch_size=15)
    stack = _stack(runs, small_data)
    beside = [Beside(stack, lane) for lane in range(len(runs))]
    moments = [range(100, 201, 7), range(3, 201, 13), range(0, 201, 6), range(198, 201, 6)]
    beside[2].average.update_parameters(beside[2].module)
    for step in range(200):
        batch = stack.batch()
        for one in beside:
            one.step(batch.x, batch.targets)
            if step + 1 in moments[one.lane]:
                one.average.update_parameters(one.module)
        stack.advance(step + 1)
        if step + 1 not in (2, 3, 42, 100, 120, 200):
            continue
        first = step // 6 * 6
        epoch = [stack.batch(first + position).x for position in range(6)]
        losses = stack.evaluate()[0]["valid/loss"]
        for one in beside:
            begun = moments[one.lane][0] <= step + 1
            if begun:
                update_bn([x[one.lane] for x in epoch], one.average)
            module = one.average.module if begun else one.module
            _assert_evaluated(stack, one.lane, module, losses[one.lane], 1e-8)


def test_statistics_are_taken_in_the_parts_that_train(make_run: Maker, small_data: DataSet) -> None:
    average = [{"swa": Swa(start=0.5)}] * 2
    (run, other) = _runs(make_run, average, steps=20, batch_size=15, accumulate=3)
    stack = _stack([run, other], small_data)
    stack.advance(17)
    params, buffers = stack._evaluated()
    module = models.build(run.model, (7,), 5, run.seed).double()
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            tensor.copy_(params[name][0])
    parts = [part for s in range(12, 18) for part in stack.batch(s).x[0].split(5)]
    update_bn(parts, module)
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point():
            torch.testing.assert_close(buffers[name][0], buffer, rtol=1e-10, atol=1e-13)


USERS = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3})


@pytest.mark.parametrize("model", [Mlp(hidden=(11, 3)), NORMED, USERS], ids=lambda m: m.name)
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_packed_solo_compacted_and_resumed(
    make_run: Maker, small_data: DataSet, kind: str, model: Any
) -> None:
    values: list[Any] = list(DECAYS if kind == "ema" else SWAS[:3])
    runs = [
        make_run(train={"steps": 31, kind: value}, model=model, seed=seed)
        for seed, value in enumerate(values)
    ]
    packed = _stack(runs, small_data, torch.float32)
    packed.advance(17)
    resumed = _stack(runs, small_data, torch.float32)
    resumed.load_state_dict(copy.deepcopy(packed.state_dict()))
    compacted = packed.keep([2, 1])
    for stack in (packed, resumed, compacted):
        stack.advance(31)
    expected = packed.evaluate()[0]["valid/loss"]
    assert resumed.evaluate()[0]["valid/loss"].tolist() == expected.tolist()
    assert all(resumed._average[n].equal(t) for n, t in packed._average.items())
    assert compacted.evaluate()[0]["valid/loss"] == pytest.approx(expected[[2, 1]], rel=1e-4)
    for lane, run in enumerate(runs):
        solo = _stack([run], small_data, torch.float32)
        solo.advance(31)
        assert solo.evaluate()[0]["valid/loss"][0] == pytest.approx(expected[lane], rel=1e-4)


def test_training_goes_on_as_without(make_run: Maker, small_data: DataSet) -> None:
    """An average looks on: not a bit of training changes, nor do the buffers that train."""
    stacks = []
    for average in ({}, {"ema": 0.9}, {"swa": Swa(start=0.1)}):
        (run,) = _runs(make_run, [average], steps=23)
        stack = _stack([run], small_data)
        for stop in (7, 14, 23):
            stack.advance(stop)
            stack.evaluate()
        stacks.append(stack)
    for stack in stacks[1:]:
        assert all(t.equal(stacks[0].params[n]) for n, t in stack.params.items())
        assert all(t.equal(stacks[0].buffers[n]) for n, t in stack.buffers.items())


def test_what_lanes_share(make_run: Maker) -> None:
    trains = [{}, {"ema": 0.9}, {"ema": 0.0}, {"swa": Swa()}, {"swa": Swa(start=0.1)}]
    plain, ema, zero, swa, early = (fusion_key(make_run(train=train)) for train in trains)
    assert ema == zero
    assert swa == early
    assert len({plain, ema, swa}) == 3


def test_one_average_at_most(make_run: Maker, small_data: DataSet) -> None:
    with pytest.raises(ValueError, match="write at most one of ema and swa"):
        Train(steps=7, ema=0.9, swa=Swa())
    run = make_run(train={"ema": 0.9}, optimizer=ScheduleFreeSgd(lr=0.1))
    with pytest.raises(ValueError, match="schedule_free_sgd evaluates an average of its own"):
        _stack([run], small_data)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (Steps(steps=21), "train.swa.start: after 21 steps nothing of a training of 21 steps is"),
        (Epochs(epochs=7.0), "train.swa.start: after 49 steps nothing of a training of 21 steps"),
        (Steps(steps=20), None),
    ],
)
def test_a_start_beyond_training_is_one_line(
    make_run: Maker, small_data: DataSet, start: Any, message: str | None
) -> None:
    run = make_run(train={"swa": Swa(start=start)})
    data = {data_key(run): small_data}
    if message is None:
        check([run], data)
        return
    with pytest.raises(LaunchError) as caught:
        check([run], data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
