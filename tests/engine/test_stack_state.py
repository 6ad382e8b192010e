"""Lanes taken out of stacks and put together again train on bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.probes import NoiseScale, Probes
from trainables.configs.regularization import Swa
from trainables.configs.schedules import Plateau
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.stack_state import join, take

Maker = Callable[..., RunConfig]
STEPS = {"steps": 40, "precision": "float64"}
KINDS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": {"optimizer": Adam(lr=0.01)},
    "batch norm": {"model": Mlp(hidden=(11,), norm="batch")},
    "ema": {"train": STEPS | {"ema": 0.9}},
    "swa": {"train": STEPS | {"swa": Swa(start=0.1)}, "model": Mlp(hidden=(11,), norm="batch")},
    "plateau": {"schedule": Plateau(patience=0, threshold=0.5)},
    "noise scale": {
        "probes": Probes(noise_scale=NoiseScale(every=3, parts=13)),
        "model": Mlp(hidden=(11,)),
    },
    "float16": {"train": {"steps": 40, "precision": "float16"}},
}


def _arrays(data: DataSet, run: RunConfig) -> Arrays:
    double = run.train.precision == "float64"
    return Arrays.of(data, torch.device("cpu"), torch.float64 if double else torch.float32)


def _train(stack: Stack, until: int) -> None:
    while stack.step < until:
        stack.advance(min(until, stack.next_stop()))
        if stack.due():
            metrics, _ = stack.evaluate()
            stack.adapt(metrics)


def _same(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            _same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("kind", KINDS)
def test_apart_and_together_again_is_bitwise_as_if_nothing_had_been(
    make_run: Maker, small_data: DataSet, kind: str
) -> None:
    parts = {"train": STEPS} | KINDS[kind]
    runs = [make_run(seed=seed, **parts) for seed in range(5)]
    arrays = _arrays(small_data, runs[0])
    stack = Stack(runs, arrays)
    _train(stack, 17)
    states = [stack.lane_states([lane]) for lane in range(5)]
    _same(join(states), stack.state_dict())
    _same(take(stack.state_dict(), [3]), states[3])
    again = Stack.of_states(runs, arrays, states)
    before = stack.lane_states(range(5))
    _train(again, 40)
    _same(stack.state_dict(), before)  # nothing is shared that training changes
    _train(stack, 40)
    _same(again.state_dict(), stack.state_dict())
    for (name, found), expected in zip(
        again.evaluate()[0].items(), stack.evaluate()[0].values(), strict=True
    ):
        assert found.tobytes() == expected.tobytes(), name


def test_a_lane_in_another_order_and_company_is_the_same_run(
    make_run: Maker, small_data: DataSet
) -> None:
    runs = [make_run(seed=seed, train=STEPS, optimizer=Sgd(lr=0.1)) for seed in range(4)]
    heavy = [
        make_run(seed=seed, train=STEPS, optimizer=Sgd(lr=0.1, momentum=0.9)) for seed in (7, 8)
    ]
    arrays = _arrays(small_data, runs[0])
    plain, other = Stack(runs, arrays), Stack(heavy, arrays)
    _train(plain, 14)
    _train(other, 14)
    chosen = [heavy[1], runs[2], runs[0], heavy[1]]
    mixed = Stack.of_states(
        chosen, arrays, [other.lane_states([1]), plain.lane_states([2, 0]), other.lane_states([1])]
    )
    _same(mixed.lane_states([3]), mixed.lane_states([0]))  # a copy is its source
    for stack in (plain, other, mixed):
        _train(stack, 40)
    for lane, expected in enumerate(
        [other.lane_states([1]), *(plain.lane_states([k]) for k in (2, 0)), other.lane_states([1])]
    ):
        found = mixed.lane_states([lane])["params"]
        for name, tensor in expected["params"].items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-10, atol=1e-12)


def test_lanes_that_cannot_share_a_stack_are_refused(make_run: Maker, small_data: DataSet) -> None:
    run, wider = make_run(), make_run(model=Mlp(hidden=(13, 3)))
    adam = make_run(optimizer=Adam(lr=0.01))
    arrays = _arrays(small_data, run)
    first, later = Stack([run], arrays), Stack([run], arrays)
    later.advance(2)
    with pytest.raises(ValueError, match="differ in updates: 0 and 2"):
        join([first.state_dict(), later.state_dict()])
    for other in (wider, adam):
        with pytest.raises(ValueError, match="no stack in common"):
            join([first.state_dict(), Stack([other], arrays).state_dict()])
