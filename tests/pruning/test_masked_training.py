"""Masked weights stay 0 to the last bit in training, whatever trains; lanes stay their own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.test_stack_state import _same
from trainables import models
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.configs.optimizers import Adam, Lars, Muon, Sgd
from trainables.configs.regularization import BatchGrowth, Swa
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import Tree, norm, select
from trainables.optimizers import OPTIMIZERS
from trainables.pruning import masks as pruning

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
SHARES = (0.7, 0.3, 1.0)
"""Of weights left in each lane; the last is dense."""
CNN = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.3})
NORMED = Mlp(hidden=(11, 3), norm="batch")


def _masks(stack: Stack, shares: tuple[float, ...] = SHARES) -> Tree:
    generator = torch.Generator().manual_seed(5)
    names = pruning.prunable(stack.network.module)
    bounds = torch.tensor(shares)
    return {
        name: torch.rand(stack.params[name].shape, generator=generator)
        < bounds.view(-1, *[1] * (stack.params[name].dim() - 1))
        for name in names
    }


def _stack(runs: list[RunConfig], data: DataSet) -> Stack:
    double = runs[0].train.precision == "float64"
    return Stack(runs, Arrays.of(data, CPU, torch.float64 if double else torch.float32))


def _runs(make_run: Maker, config: Any, train: dict[str, Any], **parts: Any) -> list[RunConfig]:
    settings = {"steps": 23, "precision": "float64"} | train
    return [make_run(train=settings, optimizer=config, seed=seed, **parts) for seed in range(3)]


def _mask(stack: Stack, masks: Tree) -> None:
    stack.load_state_dict(pruning.with_masks(stack.state_dict(), masks))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.view(torch.int64 if tensor.dtype == torch.float64 else torch.int32)


def _assert_zero(tree: Tree, masks: Tree) -> None:
    for name, mask in masks.items():
        assert (~mask).any()
        assert not _bits(tree[name])[~mask].any(), name  # −0 has a bit set


def _config(name: str) -> Any:
    kind = CONFIGS[name]
    wanted = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.9, "cg_iterations": 7}
    return kind(**{k: v for k, v in wanted.items() if k in kind.__dataclass_fields__})


@pytest.mark.parametrize("late", [False, True], ids=["from the start", "on the way"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_zero(
    make_run: Maker, small_data: DataSet, name: str, late: bool
) -> None:
    """With decay and momentum; late: momenta and averages of dense training are there already."""
    stack = _stack(_runs(make_run, _config(name), {}), small_data)
    if late:
        stack.advance(5)
    masks = _masks(stack)
    _mask(stack, masks)
    before = dict(stack.params)
    for step in range(6, 17):
        stack.advance(step)
        _assert_zero(stack.params, masks)
        _assert_zero(stack.evaluated()[0], masks)
    for param, mask in masks.items():
        moved = stack.params[param] != before[param]
        assert moved[mask].double().mean() > 0.5, "the rest trains"
    assert all(tensor.isfinite().all() for tensor in stack.params.values())


WAYS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "plain": (Sgd(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True), {}, {}),
    "accumulate": (Adam(lr=0.05), {"batch_size": 26, "accumulate": 2}, {}),
    "sam": (Sgd(lr=0.1), {"sam_rho": 0.5}, {}),
    "clip": (Sgd(lr=0.1, momentum=0.5), {"clip_norm": 0.1}, {}),
    "ema": (Sgd(lr=0.1), {"ema": 0.9}, {}),
    "swa": (Sgd(lr=0.1), {"swa": Swa(start=0.1)}, {"model": NORMED}),
    "growth": (Sgd(lr=0.1), {"batch_growth": BatchGrowth(milestones=(0.5,))}, {}),
    "batch norm": (Adam(lr=0.05), {}, {"model": NORMED}),
    "cnn": (Muon(lr=0.05), {}, {"model": CNN}),
    "float16": (Adam(lr=0.05), {"precision": "float16"}, {"model": NORMED}),
    "bfloat16": (Sgd(lr=0.1), {"precision": "bfloat16"}, {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_in_every_way_of_training(make_run: Maker, small_data: DataSet, way: str) -> None:
    """Zero, resumed to the bit, and each lane as alone, with masks that differ."""
    config, train, parts = WAYS[way]
    runs = _runs(make_run, config, train, **parts)
    packed = _stack(runs, small_data)
    packed.advance(5)
    masks = _masks(packed)
    _mask(packed, masks)
    start = packed.lane_states(range(3))
    solos = [packed.put([run], packed.lane_states([lane])) for lane, run in enumerate(runs)]
    packed.advance(9)
    file = io.BytesIO()
    torch.save(packed.state_dict(), file)
    file.seek(0)
    resumed = _stack(runs, small_data)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert not all(start["params"][n].equal(packed.params[n]) for n in masks)
    for stack in (packed, resumed, *solos):
        stack.advance(23)
    _same(resumed.state_dict(), packed.state_dict())
    _assert_zero(packed.params, masks)
    _assert_zero(packed.evaluated()[0], masks)
    close = 1e-10 if runs[0].train.precision == "float64" else 1e-4
    if runs[0].train.precision in ("float16", "bfloat16"):
        close = 2e-2  # of products rounded to 8 or 11 bits
    expected = packed.evaluate()[0]
    for lane, solo in enumerate(solos):
        assert set(solo.masks) == set(masks)
        for metric, values in solo.evaluate()[0].items():
            if close < 1e-3 or metric.endswith("loss"):
                wanted = pytest.approx(expected[metric][lane], rel=close, abs=1e-9)
                assert values[0] == wanted, metric


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_packed_equals_solo(
    make_run: Maker, small_data: DataSet, name: str, precision: str
) -> None:
    runs = _runs(make_run, _config(name), {"precision": precision, "steps": 9})
    packed = _stack(runs, small_data)
    masks = _masks(packed)
    _mask(packed, masks)
    packed.advance(9)
    losses = packed.evaluate()[1]
    for lane, run in enumerate(runs):
        solo = _stack([run], small_data)
        _mask(solo, select(masks, torch.tensor([lane])))
        solo.advance(9)
        own = solo.evaluate()[1][:, 0]
        rel = 1e-10 if precision == "float64" else 1e-4
        assert own == pytest.approx(losses[:, lane], rel=rel, abs=1e-7)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masks_of_ones_change_no_bit(make_run: Maker, small_data: DataSet, name: str) -> None:
    runs = _runs(make_run, _config(name), {})
    plain, ones = _stack(runs, small_data), _stack(runs, small_data)
    _mask(ones, pruning.ones(ones.params, pruning.prunable(ones.network.module)))
    for stack in (plain, ones):
        stack.advance(7)
    _same(ones.state_dict() | {"masks": {}}, plain.state_dict())


def test_equals_a_loop_with_weights_multiplied_by_masks(
    make_run: Maker, small_data: DataSet
) -> None:
    """The plainest PyTorch: w ⊙ m in the forward pass of one lane, ``torch.optim`` on w."""
    (run, *_) = _runs(make_run, Sgd(lr=0.1, momentum=0.9), {"steps": 11})
    stack = _stack([run], small_data)
    masks = _masks(stack, (0.4,))
    module = models.build(run.model, (7,), 5, run.seed).double()
    leaves = dict(module.named_parameters())
    optimizer = torch.optim.SGD(leaves.values(), lr=0.1, momentum=0.9)
    _mask(stack, masks)
    for step in range(11):
        batch = stack.batch(step)
        weights = {n: p * masks[n][0] if n in masks else p for n, p in leaves.items()}
        found = torch.func.functional_call(module, weights, (batch.x[0],))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(found, batch.targets[0]).backward()
        if step == 10:
            grads = {n: p.grad.unsqueeze(0) for n, p in leaves.items() if p.grad is not None}
        optimizer.step()
    stack.advance(11)
    for name, tensor in leaves.items():
        kept = tensor * masks[name][0] if name in masks else tensor
        torch.testing.assert_close(stack.params[name][0], kept.detach(), rtol=1e-10, atol=1e-13)
    # What is reported, and what clipping and norms see, is the gradient of what is left.
    assert stack._grad_norm.item() == pytest.approx(norm(grads).item(), rel=1e-10)


def test_norms_see_what_is_left(make_run: Maker, small_data: DataSet) -> None:
    """LARS on a layer with masked weights is LARS on the layer of the weights left.

    The last hidden unit is masked away, its bias and outgoing weights as well: a network that
    never had it trains the same.
    """
    config = Lars(lr=0.5, momentum=0.9, weight_decay=0.1)
    big, small = (
        _stack([make_run(model=Mlp(hidden=(n,)), optimizer=config, train=train)], small_data)
        for train in [{"steps": 9, "precision": "float64"}]
        for n in (7, 6)
    )
    cut = {name: torch.ones_like(p, dtype=torch.bool) for name, p in big.params.items()}
    cut["0.weight"][:, 6], cut["0.bias"][:, 6], cut["2.weight"][:, :, 6] = False, False, False
    _mask(big, cut)
    state = small.state_dict()
    params = {"0.weight": big.params["0.weight"][:, :6], "0.bias": big.params["0.bias"][:, :6]}
    params |= {"2.weight": big.params["2.weight"][:, :, :6], "2.bias": big.params["2.bias"]}
    small.load_state_dict({**state, "params": params})
    for stack in (big, small):
        stack.advance(9)
    torch.testing.assert_close(
        big.params["2.weight"][:, :, :6], small.params["2.weight"], rtol=1e-10, atol=1e-13
    )
    torch.testing.assert_close(
        big.params["0.weight"][:, :6], small.params["0.weight"], rtol=1e-10, atol=1e-13
    )


@pytest.mark.parametrize("model", [Mlp(hidden=(11, 3)), NORMED], ids=["chain", "vmap"])
def test_compiled_steps_mask_too(make_run: Maker, small_data: DataSet, model: Any) -> None:
    config = Sgd(lr=0.1, momentum=0.9, weight_decay=0.1)
    runs = _runs(make_run, config, {"steps": 7}, model=model)
    eager, compiled = _stack(runs, small_data), _stack(runs, small_data)
    masks = _masks(eager)
    dense = compiled.compile()
    for stack in (eager, compiled):
        _mask(stack, masks)
    assert not dense.fits(compiled._inputs()), "it knows of no masks"
    compiled.program = compiled.compile()
    assert compiled.program.fits(compiled._inputs())
    for stack in (eager, compiled):
        stack.advance(7)
    assert compiled.program is not None, "it raised, and was left"
    _assert_zero(compiled.params, masks)
    for name, tensor in eager.params.items():
        torch.testing.assert_close(compiled.params[name], tensor, rtol=1e-9, atol=1e-12)


def test_masks_go_where_lanes_go(make_run: Maker, small_data: DataSet) -> None:
    runs = _runs(make_run, Adam(lr=0.05), {})
    stack = _stack(runs, small_data)
    masks = _masks(stack)
    _mask(stack, masks)
    stack.advance(5)
    kept = stack.keep([2, 0])
    again = Stack.of_states(runs[:2], stack.arrays, [stack.lane_states([k]) for k in (0, 1)])
    put = stack.put([runs[1]], stack.lane_states([1]))
    for other, lanes in ((kept, [2, 0]), (again, [0, 1]), (put, [1])):
        _same(other.masks, select(masks, torch.tensor(lanes)))
        other.advance(9)
        _assert_zero(other.params, other.masks)


def test_without_masks_nothing_is_done(make_run: Maker, small_data: DataSet) -> None:
    """No cost: the very same tensors come back."""
    stack = _stack(_runs(make_run, Sgd(lr=0.1), {}), small_data)
    assert stack.masks == {}
    assert stack._inputs().masks == {}
    assert pruning.masked(stack.params, {}) is stack.params


def test_lanes_with_and_without_masks_share_no_stack(make_run: Maker, small_data: DataSet) -> None:
    runs = _runs(make_run, Sgd(lr=0.1), {})
    plain, pruned = _stack(runs, small_data), _stack(runs, small_data)
    _mask(pruned, _masks(pruned))
    with pytest.raises(ValueError, match="pruned layers have no stack in common"):
        Stack.of_states(runs, plain.arrays, [plain.lane_states([0]), pruned.lane_states([1, 2])])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"9.weight": torch.ones(3, 2, dtype=torch.bool)}, "mask of 9.weight: no such parameter"),
        ({"0.weight": torch.ones(3, 11, 7)}, r"torch.float32 \(3, 11, 7\) where bool"),
        ({"0.weight": torch.ones(3, 11, 5, dtype=torch.bool)}, r"\(3, 11, 7\) is needed"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    make_run: Maker, small_data: DataSet, masks: Tree, message: str
) -> None:
    stack = _stack(_runs(make_run, Sgd(lr=0.1), {}), small_data)
    with pytest.raises(ValueError, match=message):
        pruning.with_masks(stack.state_dict(), masks)
