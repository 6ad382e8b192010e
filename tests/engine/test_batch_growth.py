"""Growing batches: the table of sizes, and training as PyTorch does with those batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from trainables import models, schedules
from trainables.arrays import Arrays
from trainables.configs import RunConfig, Train, fusion_key
from trainables.configs.base import Epochs, Steps
from trainables.configs.models import Mlp
from trainables.configs.optimizers import Sgd
from trainables.configs.regularization import BatchGrowth, Swa
from trainables.configs.run import run_id, step_ends
from trainables.configs.schedules import Cosine, Step
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import permutation
from trainables.session import PackSession, Settings
from trainables.stack_width import choose_way

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
GROWTH = BatchGrowth(milestones=(Epochs(epochs=1.5), Epochs(epochs=3.0)), factor=2)


def _written_out(epochs: int) -> list[int]:
    """Batches in each step of GROWTH, epoch by epoch: seven of 13; two a step from the 10th on."""
    by_epoch = [[1] * 7, [1, 1, 1, 2, 2], [2, 2, 2, 1]]
    return [count for counts in [*by_epoch, *[[4, 3]] * (epochs - 3)] for count in counts]


def _counts(train: Train, per_epoch: int, batches: int) -> list[int]:
    return [b - a for a, b in pairwise(step_ends(train, per_epoch, batches))]


def _train(growth: BatchGrowth | None, **more: Any) -> Train:
    return Train(**{"epochs": 5.0, "batch_size": 13, "batch_growth": growth} | more)


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        (None, [1] * 35),
        (GROWTH, _written_out(5)),
        (BatchGrowth(milestones=(0.5,), factor=3), [1] * 18 + [3] + [3, 3, 1] * 2),
        (
            BatchGrowth(milestones=(0.5,), factor=3, largest=38),
            [1] * 18 + [2, 1] + [2, 2, 2, 1] * 2,
        ),
        (BatchGrowth(milestones=(Steps(steps=30), 0.4, 0.4)), [1] * 14 + [4, 3] * 2 + [4] + [3]),
        (BatchGrowth(milestones=(0.0,), factor=99, largest=13), [1] * 35),
        (BatchGrowth(milestones=(0.0,), factor=99), [7] * 5),
        (BatchGrowth(milestones=()), [1] * 35),
    ],
    ids=str,
)
def test_batches_a_step(growth: BatchGrowth | None, expected: Sequence[int]) -> None:
    assert _counts(_train(growth), 7, 35) == list(expected)


def test_a_step_is_whole_where_training_ends_within_it() -> None:
    ends = step_ends(_train(BatchGrowth(milestones=(0.0,), factor=4)), 7, 30)
    assert list(ends) == [0, 4, 7, 11, 14, 18, 21, 25, 28, 32]


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


def _run(make_run: Maker, seed: int, **train: Any) -> RunConfig:
    settings = {"epochs": 5.0, "batch_growth": GROWTH, "precision": "float64"} | train
    return make_run(
        train=settings,
        seed=seed,
        model=Mlp(hidden=(11, 3), norm="batch"),
        optimizer=Sgd(lr=0.1, momentum=0.9),
        schedule=Cosine(warmup=Epochs(epochs=1.0)),
    )


def test_trains_as_pytorch_on_those_batches(make_run: Maker, small_data: DataSet) -> None:
    """The rate of a step is that of its share of training, and batches are those of the order."""
    runs = [_run(make_run, seed) for seed in (3, 1)]
    stack = _stack(runs, small_data)
    stack.advance(35)
    assert (stack.step, stack.updates) == (35, len(_written_out(5)))
    x, y = stack.arrays.train
    _, losses = stack.evaluate()
    for lane, run in enumerate(runs):
        module = models.build(run.model, (7,), 5, run.seed).double()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        rates = schedules.table(run.schedule, 0.1, 35, 7)
        seen, own = 0, []
        for count in _written_out(5):
            epoch, position = divmod(seen, 7)
            order = permutation(run.seed, epoch, 91)[13 * position : 13 * (position + count)]
            assert len(order) == 13 * count
            optimizer.param_groups[0]["lr"] = rates[seen].item()
            loss = cross_entropy(module(x[order]), y[order])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            own.append(loss.item())
            seen += count
        assert losses[:, lane] == pytest.approx(own, rel=1e-9)
        for name, tensor in module.named_parameters():
            found = stack.params[name][lane]
            torch.testing.assert_close(found, tensor.detach(), rtol=1e-9, atol=1e-12)


def test_units_of_what_is_reported(
    make_run: Maker, small_data: DataSet, data_of: Callable[[RunConfig], dict[str, DataSet]]
) -> None:
    """Epochs and examples are those seen; evaluations come at the first step that reaches them."""
    runs = [
        _run(make_run, 0, evaluate_every=Steps(steps=5)),
        _run(make_run, 1, evaluate_every=Steps(steps=5), epochs=3.3),
    ]
    session = PackSession([(run_id(r), r) for r in runs], data_of(runs[0]), Settings())
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    for run, seen in zip(runs, ([5, 10, 16, 20, 25, 32, 35], [5, 10, 16, 20, 25]), strict=True):
        own = [row for row in rows if row["run_id"] == run_id(run)]
        ends = list(step_ends(run.train, 7, 35))
        assert [row["examples"] for row in own] == [13 * batches for batches in seen]
        assert [row["epoch"] for row in own] == pytest.approx([b / 7 for b in seen])
        assert [row["step"] for row in own] == [ends.index(batches) for batches in seen]
    # An evaluation that a step has passed begins a new interval: from 16 on, two steps.
    stack = _stack(runs[:1], small_data)
    found = []
    for stop in (15, 20):
        stack.advance(stop)
        found.append(len(stack.evaluate()[1]))
    assert found == [len([*[1] * 10, 2, 2, 2]), 2]
    # A mean over examples: the interval from 28 to 35 has a step of 4 batches and one of 3.
    stack = _stack(runs[:1], small_data)
    for stop in (25, 28):
        stack.advance(stop)
        stack.evaluate()
    stack.advance(35)
    metrics, losses = stack.evaluate()
    *_, four, three = losses[:, 0]
    assert len(losses) == 3
    assert metrics["train/loss"][0] == pytest.approx((3 * losses[0, 0] + 4 * four + 3 * three) / 10)
    assert metrics["lr"][0] == stack._rates[32, 0]


def test_packed_solo_compacted_and_resumed(make_run: Maker, small_data: DataSet) -> None:
    """Neighbours that are shorter, and evaluations, move no step."""
    runs = [_run(make_run, s, epochs=e) for s, e in ((0, 3.3), (1, 5.0), (2, 5.0))]
    packed = _stack(runs, small_data)
    packed.advance(packed.next_stop())
    packed.advance(24)
    assert packed.due() == [0]
    resumed = _stack(runs, small_data)
    resumed.load_state_dict(copy.deepcopy(packed.state_dict()))
    compacted = packed.keep([2, 1])
    for stack in (packed, resumed, compacted):
        stack.advance(35)
    assert all(resumed.params[n].equal(t) for n, t in packed.params.items())
    own, others = (stack.evaluate()[0]["train/loss"] for stack in (compacted, packed))
    assert own == pytest.approx(others[[2, 1]], rel=1e-9)
    for lane, run in ((1, runs[1]), (2, runs[2])):
        solo = _stack([run], small_data)
        for stop in (3, 11, 24, 35):
            solo.advance(stop)
        for name, tensor in solo.params.items():
            own = packed.params[name][lane]
            torch.testing.assert_close(tensor[0], own, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(compacted.params[name][2 - lane], own, rtol=1e-9, atol=1e-12)


def test_averages_are_taken_at_the_ends_of_steps(make_run: Maker, small_data: DataSet) -> None:
    """Every two batches from the second on: each step of two or more is one moment."""
    swa = Swa(start=Steps(steps=2), every=Steps(steps=2))
    stack = _stack([_run(make_run, 3, swa=swa)] * 2, small_data)
    kept: list[torch.Tensor] = []
    for before, after in pairwise(stack.ends):
        stack.advance(after)
        if after // 2 > before // 2:
            kept.append(stack.params["0.weight"][1])
        if kept:
            average = stack._evaluated()[0]["0.weight"][1]
            torch.testing.assert_close(average, torch.stack(kept).mean(0), rtol=1e-10, atol=1e-13)
    assert len(kept) == 14


def test_width_is_measured_in_steps(make_run: Maker, small_data: DataSet) -> None:
    growth = BatchGrowth(milestones=(0.0,), factor=7)
    arrays = Arrays.of(small_data, CPU, torch.float64)
    for epochs, reason in ((9.0, "too little to measure"), (11.0, "ms a lane")):
        runs = [_run(make_run, s, epochs=epochs, batch_growth=growth) for s in (0, 1)]
        assert choose_way(runs, arrays, "auto", None).reason.startswith(reason)


def test_training_may_be_given_in_steps(make_run: Maker, small_data: DataSet) -> None:
    """They count batches of the first size, as all durations do: 35 are 5 epochs of 7."""
    in_epochs, in_steps = (
        _stack([_run(make_run, 3, **length)], small_data)
        for length in ({"epochs": 5.0}, {"steps": 35})
    )
    assert list(in_steps.ends) == list(in_epochs.ends)
    assert len(in_steps.ends) - 1 < 35
    for stack in (in_epochs, in_steps):
        stack.advance(35)
    assert in_steps.params["0.weight"].equal(in_epochs.params["0.weight"])


def test_a_schedule_keeps_its_epochs(make_run: Maker, small_data: DataSet) -> None:
    run = make_run(
        train={"epochs": 5.0, "batch_growth": GROWTH},
        schedule=Step(every=Epochs(epochs=2.0), gamma=0.1),
        optimizer=Sgd(lr=1.0),
    )
    stack = _stack([run], small_data)
    rates = {}
    for after in list(stack.ends)[1:]:
        stack.advance(after)
        rates[after] = stack._rates[stack.last, 0].item()
    for after, rate in rates.items():
        assert rate == pytest.approx(0.1 ** ((after - 1) // 14))


def test_what_lanes_share(make_run: Maker) -> None:
    def key(growth: BatchGrowth | None, epochs: float = 5.0) -> str:
        return fusion_key(make_run(train={"epochs": epochs, "batch_growth": growth}))

    shares = BatchGrowth(milestones=(0.5,))
    assert len({key(g) for g in (None, GROWTH, shares, BatchGrowth(milestones=(0.6,)))}) == 4
    assert key(GROWTH) == key(GROWTH, 3.0)
    assert key(shares) != key(shares, 3.0)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"growth": BatchGrowth(largest=12)}, "largest: 12 of batch_growth is below batch_si"),
    ],
)
def test_what_does_not_fit(train: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _train(**{"growth": GROWTH} | train)
