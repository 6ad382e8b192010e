"""What masks leave, counted by hand; and what they alone make of a network, by plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.pruning.test_masked_training import CNN, _mask, _masks
from trainables import models
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig
from trainables.configs.data import LeastSquares
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.data.load import load
from trainables.engine import Stack
from trainables.probes.sparsity import density_rows, sparsity, supermask
from trainables.pruning.connectivity import effective
from trainables.pruning.masks import ones, prunable

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
MLP = Mlp(hidden=(11, 3))
NORMED = Mlp(hidden=(11, 3), norm="batch")


def _stack(make_run: Maker, data: DataSet, model: Any) -> Stack:
    train = {"steps": 19, "precision": "float64"}
    runs = [make_run(train=train, model=model, seed=seed) for seed in range(3)]
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


def test_shares_are_counted(make_run: Maker, small_data: DataSet) -> None:
    """7 → 11 → 3 → 5: 77 + 33 + 15 weights."""
    stack = _stack(make_run, small_data, MLP)
    masks = ones(stack.params, prunable(stack.network.module))
    names = list(masks)
    masks[names[0]][0, 4] = False  # lane 0: unit 4 is reached by nothing: 7 + 3 dead weights
    masks[names[2]][1] = False  # lane 1: a layer without a weight
    _mask(stack, masks)
    found = sparsity(stack)
    assert found[0] == pytest.approx(
        {"probe/density": 118 / 125, "probe/effective_density": 115 / 125, "probe/collapsed": 0}
    )
    assert found[1] == pytest.approx(
        {"probe/density": 110 / 125, "probe/effective_density": 0, "probe/collapsed": 1}
    )
    assert found[2] == {
        "probe/density": 1.0, "probe/effective_density": 1.0, "probe/collapsed": 0.0,
    }  # fmt: skip
    rows = density_rows(stack, ["a", "b", "c"])
    assert len(rows) == 9
    shares = {(row["run_id"], row["at"]): row["value"] for row in rows}
    assert {row["name"] for row in rows} == {"density"}
    assert shares["a", names[0]] == pytest.approx(70 / 77)
    assert shares["b", names[2]] == 0
    assert shares["c", names[0]] == shares["a", names[1]] == 1


def test_effective_density_is_absent_where_it_does_not_apply(
    make_run: Maker, small_data: DataSet
) -> None:
    stack = _stack(make_run, small_data, CNN)
    _mask(stack, _masks(stack))
    assert effective(stack.network.module, stack.masks) is None
    assert all(set(lane) == {"probe/density", "probe/collapsed"} for lane in sparsity(stack))


def test_lanes_without_masks_have_no_shares(make_run: Maker, small_data: DataSet) -> None:
    stack = _stack(make_run, small_data, MLP)
    assert sparsity(stack) == [{}, {}, {}]
    assert density_rows(stack, ["a", "b", "c"]) == []


@pytest.mark.parametrize("model", [MLP, NORMED], ids=["chain", "batch norm"])
def test_a_supermask_is_the_masked_network_as_it_stands(
    make_run: Maker, small_data: DataSet, model: Any
) -> None:
    stack = _stack(make_run, small_data, model)
    masks = _masks(stack)
    _mask(stack, masks)
    found = supermask(stack)
    for lane, run in enumerate(stack.runs):
        module = models.build(model, (7,), 5, run.seed).double().eval()
        with torch.no_grad():
            for name, param in module.named_parameters():
                if name in masks:
                    param.mul_(masks[name][lane])
        expected = {}
        for part, (x, y) in (("valid", stack.arrays.valid), ("test", stack.arrays.test)):
            with torch.no_grad():
                outputs = module(x)
            expected[f"probe/supermask/{part}/loss"] = cross_entropy(outputs, y).item()
            hits = (outputs.argmax(1) == y).double().mean().item()
            expected[f"probe/supermask/{part}/accuracy"] = hits
        assert found[lane] == pytest.approx(expected, rel=1e-10)
    assert found[0] != pytest.approx(supermask(_stack(make_run, small_data, model))[0]), (
        "masks tell"
    )


def test_a_supermask_of_real_targets_has_what_the_history_has(make_run: Maker) -> None:
    config = LeastSquares(examples=101, features=7)
    train = {"steps": 7, "batch_size": 13, "loss": "quadratic", "precision": "float64"}
    run = make_run(data=config, train=train, optimizer=Sgd(lr=0.0))
    stack = Stack([run] * 3, Arrays.of(load(config), CPU, torch.float64))
    _mask(stack, _masks(stack))
    found = supermask(stack)
    stack.advance(1)  # at a rate of 0
    metrics, _ = stack.evaluate()
    for lane in range(3):
        expected = {
            f"probe/supermask/{part}/{what}": metrics[f"{part}/{what}"][lane]
            for part in ("valid", "test")
            for what in ("loss", "r2")
        }
        assert found[lane] == pytest.approx(expected, rel=1e-12)
