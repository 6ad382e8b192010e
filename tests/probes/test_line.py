"""Along the line between two networks: as plain torch says, and with a planted barrier found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import update_bn

from tests.pruning.test_masked_training import _bits, _mask, _masks
from trainables import models
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import Tree, select
from trainables.probes.line import Line, barrier, barriers, between, line, line_rows
from trainables.pruning.masks import with_masks

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
CNN = UserModel(name="tests.engine.models:convolutional")
NORMED = Mlp(hidden=(11, 3), norm="batch")
PLAIN = Mlp(hidden=(11, 3))


def _ends(
    make_run: Maker, data: DataSet, model: Any, lanes: int = 3, **train: Any
) -> tuple[Stack, Stack]:
    """Lanes and their other ends: other learning rates, and another order of data."""
    settings = {"steps": 19, "precision": "float64"} | train
    stacks = []
    for end in range(2):
        runs = [
            make_run(
                train=settings,
                model=model,
                optimizer=Sgd(lr=0.1 + 0.07 * lane, momentum=0.9),
                seed=lane + 31 * end,
            )
            for lane in range(lanes)
        ]
        double = settings["precision"] == "float64"
        stack = Stack(runs, Arrays.of(data, CPU, torch.float64 if double else torch.float32))
        stack.advance(19)
        stacks.append(stack)
    return stacks[0], stacks[1]


def _written_out(stack: Stack, other: Stack, lane: int, points: int) -> dict[str, list[float]]:
    """One lane's line by plain torch, one module, one point after the other."""
    found: dict[str, list[float]] = {}
    shape, classes = stack.arrays.input_shape, stack.arrays.outputs
    for index in range(points):
        alpha = index / (points - 1)
        module = models.build(stack.runs[lane].model, shape, classes, 0).double()
        with torch.no_grad():
            for name, param in module.named_parameters():
                first, second = stack.params[name][lane], other.params[name][lane]
                param.copy_((1 - alpha) * first + alpha * second)
            for name, buffer in module.named_buffers():
                end = stack if index == 0 else other
                buffer.copy_(end.buffers[name][lane])
        if 0 < index < points - 1 and any(True for _ in module.buffers()):
            epoch = stack.step // stack.steps_per_epoch * stack.steps_per_epoch
            steps = range(epoch, epoch + stack.steps_per_epoch)
            update_bn([stack.batch(step).x[lane] for step in steps], module)
        module.eval()
        for part, (x, y) in (("valid", stack.arrays.valid), ("test", stack.arrays.test)):
            with torch.no_grad():
                outputs = module(x)
            values = {
                "loss": cross_entropy(outputs, y).item(),
                "error": (outputs.argmax(1) != y).double().mean().item(),
            }
            for what, value in values.items():
                found.setdefault(f"{part}/{what}", []).append(value)
    return found


@pytest.mark.parametrize("model", [PLAIN, NORMED, CNN], ids=["chain", "batch norm", "vmapped"])
def test_a_line_is_that_of_a_plain_loop(make_run: Maker, small_data: DataSet, model: Any) -> None:
    stack, other = _ends(make_run, small_data, model)
    found = line(stack, other.evaluated(), points=7)
    assert found.alphas.tolist() == pytest.approx([index / 6 for index in range(7)])
    for lane in range(stack.lanes):
        expected = _written_out(stack, other, lane, 7)
        assert set(found.metrics) == set(expected)
        for name, values in expected.items():
            assert found.metrics[name][:, lane] == pytest.approx(values, rel=1e-10), name
    bent = found.metrics["valid/loss"]
    assert (np.abs(bent[3] - (bent[0] + bent[-1]) / 2) > 1e-3).all(), "the points are not the ends"


def test_ends_are_what_their_own_stacks_evaluate(make_run: Maker, small_data: DataSet) -> None:
    """Both keep their own statistics: the numbers are those of their last rows of history."""
    stack, other = _ends(make_run, small_data, NORMED)
    found = line(stack, other.evaluated(), points=3)
    for end, place in ((stack, 0), (other, -1)):
        metrics, _ = end.evaluate()
        for name, values in found.metrics.items():
            assert values[place] == pytest.approx(metrics[name], rel=1e-12), name


def test_without_running_statistics_no_training_batch_is_looked_at(
    make_run: Maker, small_data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    plain, normed = (_ends(make_run, small_data, model) for model in (PLAIN, NORMED))

    def batches(stack: Stack) -> list[Any]:
        looked.append(1)
        return []

    monkeypatch.setattr(Stack, "epoch_batches", batches)
    line(plain[0], plain[1].evaluated(), points=5)
    assert not looked
    line(normed[0], normed[1].evaluated(), points=5)
    assert len(looked) == 3, "at each point but the ends"


class Product(nn.Module):
    """f(x) = B A x without biases."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.a = nn.Linear(inputs, inputs, bias=False)
        self.b = nn.Linear(inputs, inputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))  # type: ignore[no-any-return]


def product(input_shape: Sequence[int], outputs: int) -> nn.Module:
    return Product(input_shape[0])


SCALES = (1.0, 1.2, 2.0)


def test_a_planted_barrier_is_found(make_run: Maker, small_data: DataSet) -> None:
    """A = B = s I at one end and −s I at the other, targets x: the loss is ½ x̄² (s²(1−2α)² − 1)².

    In the middle the network is 0, and the loss ½ x̄². For s = 2 the ends are higher: no barrier.
    """
    model = UserModel(name="tests.probes.test_line:product")
    train = {"steps": 7, "precision": "float64", "loss": "quadratic"}
    runs = [make_run(train=train, model=model, seed=lane) for lane in range(3)]
    arrays = Arrays.of(small_data, CPU, torch.float64)
    inputs = {part: getattr(arrays, part)[0] for part in ("train", "valid", "test")}
    pairs = {part: (x, x) for part, x in inputs.items()}
    variances = {part: float(x.var(0, correction=0).sum()) for part, x in inputs.items()}
    stack = Stack(runs, dataclasses.replace(arrays, **pairs, outputs=7, variances=variances))
    scales = torch.tensor(SCALES, dtype=torch.float64).view(-1, 1, 1)
    identity = torch.eye(7, dtype=torch.float64) * scales
    stack.params = {"a.weight": identity, "b.weight": identity}
    found = line(stack, ({"a.weight": -identity, "b.weight": -identity}, {}))
    assert set(found.metrics) == {"valid/loss", "test/loss"}, "errors are of classes"
    for part in ("valid", "test"):
        half = pairs[part][0].square().sum(1).mean().item() / 2
        s, alpha = np.array(SCALES), found.alphas[:, None]
        expected = half * (s**2 * (1 - 2 * alpha) ** 2 - 1) ** 2
        np.testing.assert_allclose(found.metrics[f"{part}/loss"], expected, rtol=1e-10, atol=1e-13)
        heights = [lane[f"probe/barrier/{part}/loss"] for lane in barriers(found)]
        assert heights == pytest.approx([half, half * (1 - 0.44**2), 0.0], rel=1e-10, abs=1e-13)


def test_a_barrier_is_the_maximum_less_the_mean_of_both_ends() -> None:
    values = np.array([[0.2, 1.0, 0.5], [0.7, 3.0, 0.1], [0.5, 2.0, np.nan], [0.4, 5.0, 0.5]])
    found = barrier(values)
    assert found[:2].tolist() == pytest.approx([0.7 - 0.3, 5.0 - 3.0])
    assert np.isnan(found[2]), "what is no number is no barrier of 0"


def test_masked_weights_stay_zero_along_the_line(make_run: Maker, small_data: DataSet) -> None:
    stack, other = _ends(make_run, small_data, CNN)
    masks = _masks(stack)
    for end in (stack, other):
        _mask(end, masks)
    dense = 0
    for alpha in (0.0, 0.1, 0.5, 0.9, 1.0):
        mixed = between(stack.evaluated()[0], other.evaluated()[0], alpha)
        for name, mask in masks.items():
            assert not _bits(mixed[name])[~mask].any()
            dense += int((mixed[name][mask] == 0).sum())
    assert dense == 0


def test_lanes_are_alone_on_their_lines(make_run: Maker, small_data: DataSet) -> None:
    """Packed is solo, and neighbours change nothing, in float32 and with masks that differ."""
    stack, other = _ends(make_run, small_data, NORMED, precision="float32")
    masks = _masks(stack)
    for end in (stack, other):
        _mask(end, masks)
    packed = line(stack, other.evaluated(), points=5)
    for lane in range(3):
        alone = stack.keep([lane])
        theirs = tuple(select(tree, torch.tensor([lane])) for tree in other.evaluated())
        solo = line(alone, (theirs[0], theirs[1]), points=5)
        for name, values in solo.metrics.items():
            assert values[:, 0] == pytest.approx(packed.metrics[name][:, lane], rel=1e-4), name


def test_measuring_changes_nothing(make_run: Maker, small_data: DataSet) -> None:
    stack, other = _ends(make_run, small_data, NORMED, steps=30)
    twin = stack.put(stack.runs, stack.lane_states(range(3)))
    line(stack, other.evaluated(), points=5)
    for one in (stack, twin):
        one.advance(30)
    trees: list[tuple[Tree, Tree]] = [(stack.params, twin.params), (stack.buffers, twin.buffers)]
    assert all(tensor.equal(twins[name]) for tree, twins in trees for name, tensor in tree.items())


def test_rows_have_every_point_of_every_run() -> None:
    values = np.arange(31 * 2).reshape(31, 2) / 7
    found = Line(alphas=np.linspace(0, 1, 31), metrics={"valid/loss": values, "test/loss": -values})
    rows = line_rows(found, ["a", "b"])
    assert len(rows) == 31 * 2 * 2
    assert len({(row["run_id"], row["name"], row["at"]) for row in rows}) == len(rows)
    by_key = {(row["run_id"], row["name"], row["at"]): row["value"] for row in rows}
    assert by_key["a", "line/valid/loss", "0"] == 0
    assert by_key["b", "line/valid/loss", "0.0333"] == values[1, 1]
    assert by_key["b", "line/test/loss", "1"] == -values[30, 1]


def test_the_state_of_lanes_without_masks_is_taken_too(
    make_run: Maker, small_data: DataSet
) -> None:
    """The other end may be masked where this one is not, as a ticket and its dense network."""
    stack, other = _ends(make_run, small_data, PLAIN)
    masks = _masks(stack)
    other.load_state_dict(with_masks(other.state_dict(), masks))
    found = line(stack, other.evaluated(), points=3)
    metrics, _ = other.evaluate()
    assert found.metrics["test/error"][-1] == pytest.approx(metrics["test/error"])
