"""Methods that precondition, where matrices are singular, lanes break and weights are masked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.engine.dense_optimizers import NETWORK, quadratic
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig
from trainables.configs.preconditioned import AdaHessian, Shampoo, Soap, Sophia
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.hyper import hyperparameters
from trainables.lanes import Tree, norm
from trainables.optimizers import OPTIMIZERS, Context, factors
from trainables.pruning import masks as pruning

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "shampoo": (Shampoo, {"start": 1, "preconditioner_every": 2, "ridge": 1e-6}),
    "shampoo alone": (Shampoo, {"grafting": "none", "eps": 1e-2, "block_size": 5}),
    "shampoo on adam": (Shampoo, {"grafting": "adam", "decay": 0.9, "statistics_every": 2}),
    "soap": (Soap, {"eps": 1e-2, "precondition_every": 2}),
    "adahessian": (AdaHessian, {"eps": 1.0, "hessian_every": 2}),
    "sophia-g": (Sophia, {"hessian_every": 2}),
    "sophia-h": (Sophia, {"hessian_every": 2, "estimator": "hutchinson"}),
}
"""With a damping that a single example's small curvature needs, where it alone bounds the step."""


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    double = runs[0].train.precision == "float64"
    return Stack(runs, Arrays.of(data, CPU, torch.float64 if double else torch.float32))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", METHODS)
def test_a_wild_lane_harms_no_other(
    make_run: Maker, small_data: DataSet, name: str, precision: str
) -> None:
    """Batches of one example, so that no factor has rank; a rate and a damping out of bounds."""
    train = {"steps": 29, "batch_size": 1, "precision": precision}

    def trained(wild: dict[str, float], damped: dict[str, float]) -> Stack:
        options: list[dict[str, float]] = [{}, wild, damped, {}]
        kind, own = METHODS[name]
        runs = [
            make_run(train=train, optimizer=kind(**{"lr": 0.01} | own | more), seed=seed)
            for seed, more in enumerate(options)
        ]
        stack = _stack(runs, small_data)
        stack.advance(29)
        return stack

    tame, found = trained({}, {}), trained({"lr": 1e30}, {"eps": 1e30})
    for key, tensor in found.params.items():
        assert tensor[[0, 3]].equal(tame.params[key][[0, 3]])
        assert tensor[[0, 2, 3]].isfinite().all()
    losses = found.evaluate()[1]
    assert not (abs(losses[:, 1]) < 1e6).all(), "it ends as diverged"
    assert (losses[:, [0, 2, 3]] < 1e2).all()


def test_masks_leave_factors_alone(make_run: Maker, small_data: DataSet) -> None:
    """Those of a square weight are of its shape, and are no numbers of single weights."""
    for config in (Shampoo(lr=0.1, start=0), Soap(lr=0.1)):
        model = Mlp(hidden=(7, 7))
        stack = _stack([make_run(model=model, optimizer=config)], small_data)
        stack.advance(3)
        state = stack.state_dict()
        masks = {"2.weight": torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(3)) < 0.5}
        left = pruning.with_masks(state, masks)["state"]
        for slot, tree in left.items():
            for key, tensor in tree.items():
                whole = state["state"][slot][key]
                if slot in ("momentum", "diagonal", "m") and key in masks:
                    assert tensor.equal(whole.where(masks[key], 0))
                else:
                    assert tensor.equal(whole), (slot, key)
        assert factors.key("2.weight", 1) in left["statistics"]


def test_a_grafted_length_is_that_of_what_is_left() -> None:
    """Preconditioning fills masked places; they are no part of the step, nor of its length."""
    generator = torch.Generator().manual_seed(3)
    start = {"weight": torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)}
    mask = torch.rand(2, 5, 3, generator=generator) < 0.5
    config = Shampoo(lr=0.1, grafting="sgd", momentum=0.0, start=0)
    ours, around = OPTIMIZERS["shampoo"], quadratic(1.0)
    around.restrict = lambda tree: {name: tensor.where(mask, 0) for name, tensor in tree.items()}
    context = Context(config, torch.zeros(2), 1.0, lambda at: torch.zeros(2), 0, around)
    grads = around.restrict(start)
    hyper = hyperparameters([config] * 2, CPU)
    params, _ = ours.update(grads, ours.init(start, config, NETWORK), start, hyper, context)
    moved = (params["weight"] - start["weight"]).where(mask, 0)
    torch.testing.assert_close(norm({"": moved}), 0.1 * norm(grads))


@pytest.mark.parametrize("grafting", ["none", "sgd", "adagrad"])
def test_shampoo_sees_what_is_left(make_run: Maker, small_data: DataSet, grafting: Any) -> None:
    """A hidden unit that is masked away enters neither statistics nor lengths: a network that
    never had it trains the same."""
    config = Shampoo(lr=0.1, grafting=grafting, start=2, preconditioner_every=3, weight_decay=0.1)
    big, small = (
        _stack([make_run(model=Mlp(hidden=(n,)), optimizer=config, train=train)], small_data)
        for train in [{"steps": 11, "precision": "float64"}]
        for n in (7, 6)
    )
    cut: Tree = {name: torch.ones_like(p, dtype=torch.bool) for name, p in big.params.items()}
    cut["0.weight"][:, 6], cut["0.bias"][:, 6], cut["2.weight"][:, :, 6] = False, False, False
    big.load_state_dict(pruning.with_masks(big.state_dict(), cut))
    state = small.state_dict()
    params = {"0.weight": big.params["0.weight"][:, :6], "0.bias": big.params["0.bias"][:, :6]}
    params |= {"2.weight": big.params["2.weight"][:, :, :6], "2.bias": big.params["2.bias"]}
    small.load_state_dict({**state, "params": params})
    for stack in (big, small):
        stack.advance(11)
    for name, at in (("0.weight", (..., slice(6), slice(None))), ("2.weight", (..., slice(6)))):
        torch.testing.assert_close(big.params[name][at], small.params[name], rtol=1e-9, atol=1e-12)
