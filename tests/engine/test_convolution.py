"""Convolutions as matrix products: the same numbers as convolutions, and chosen where faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from trainables import stack_width
from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig
from trainables.configs.models import Lenet5, Model, Norm, Resnet20
from trainables.convolution import Unfolded, has_convolutions
from trainables.data.dataset import split
from trainables.engine import Stack
from trainables.models import build

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"padding": (2, 1)},
    "strided": {"stride": 2, "padding": 1},
    "without bias": {"bias": False},
    "1×1, strided": {"kernel_size": 1, "stride": 2},
    "grouped": {"groups": 3, "padding": 1},
    "dilated": {"dilation": 2},
    "same": {"padding": "same"},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_equals_the_convolution(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 6, **{"kernel_size": 3} | options, dtype=torch.float64)
    weights = {n: torch.randn(5, *p.shape, dtype=p.dtype) for n, p in layer.named_parameters()}
    x = torch.randn(5, 2, 3, 11, 7, dtype=torch.float64)

    def one(params: Any, image: Any) -> Any:
        return functional_call(layer, params, (image,))

    expected = vmap(one)(weights, x)
    with Unfolded():
        found = vmap(one)(weights, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_products_are_used_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    unfold = F.unfold
    monkeypatch.setattr(F, "unfold", lambda *a, **k: (called.append(1), unfold(*a, **k))[1])
    x, weight = torch.randn(2, 3, 7, 7), torch.randn(5, 3, 3, 3)
    with Unfolded():
        F.conv2d(x, weight)
        assert called == [1]
        F.conv2d(x, torch.randn(6, 1, 3, 3), groups=3)
    assert called == [1]


@pytest.mark.parametrize(
    ("model", "shape", "convolves"),
    [
        (Lenet5(), (1, 13, 12), True),
        (Lenet5(norm="weight"), (1, 13, 12), True),
        (Mlp(norm="weight"), (7,), False),
    ],
)
def test_which_models_have_convolutions(
    model: Model, shape: tuple[int, ...], convolves: bool
) -> None:
    assert has_convolutions(build(model, shape, 3, 0)) == convolves


def _image_runs(
    make_run: Callable[..., RunConfig], lanes: int, norm: Norm = "batch"
) -> tuple[list[RunConfig], Arrays]:
    runs = [
        make_run(
            train={"steps": 5, "batch_size": 7, "precision": "float64"},
            model=Resnet20(width=0.25, norm=norm),
            seed=seed,
        )
        for seed in range(lanes)
    ]
    rng = np.random.default_rng(0)
    data = split("images", rng.normal(size=(53, 2, 7, 5)), rng.integers(0, 3, 53), Digits())
    return runs, Arrays.of(data, torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("norm", ["batch", "weight"])
def test_a_stack_trains_to_the_same_weights(make_run: Callable[..., RunConfig], norm: Norm) -> None:
    runs, arrays = _image_runs(make_run, 3, norm)
    grouped, unfolded = Stack(runs, arrays), Stack(runs, arrays, unfold=True)
    for stack in (grouped, unfolded):
        stack.advance(5)
    for name, found in unfolded.params.items():
        torch.testing.assert_close(found, grouped.params[name], rtol=1e-9, atol=1e-11)
    assert unfolded.state_dict()["unfold"] is True
    assert unfolded.keep([1]).network.unfold is True


@pytest.mark.parametrize(("unfolded", "chosen"), [(0.4, True), (0.6, False)])
def test_auto_takes_the_faster_one(
    make_run: Callable[..., RunConfig],
    monkeypatch: pytest.MonkeyPatch,
    unfolded: float,
    chosen: bool,
) -> None:
    def seconds(look: Any, width: int) -> float:
        look.convolves = True
        return unfolded if look._unfold else 1.0 / width

    monkeypatch.setattr(stack_width._Look, "seconds", seconds)
    monkeypatch.setattr(stack_width, "_STEPS", 0)
    runs, arrays = _image_runs(make_run, 2)
    choice = stack_width.choose_way(runs, arrays, "auto", None)
    assert choice.way == (2, chosen, False)
    assert "convolutions as products: " in choice.reason
