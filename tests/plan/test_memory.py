"""The memory that is modelled, beside what packs measure of themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.plan import expected_memory, limit_a_pack
from orchestrator.plan.factors import factor_numbers
from orchestrator.plan.flops import layers
from orchestrator.plan.in_words import memory_in_words
from orchestrator.plan.memory import Memory, lane_memory, state_of
from trainables.arrays import Arrays
from trainables.configs import OPTIMIZERS, Digits, Mlp, RunConfig, UserData, UserModel
from trainables.configs.data import Sizes
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.configs.models import (
    Conv4,
    Lenet5,
    Lenet300100,
    Linear,
    Model,
    Resnet20,
    Vgg11,
    Vit,
)
from trainables.configs.newton import Dense
from trainables.configs.optimizers import RmsProp, Sgd
from trainables.configs.preconditioned import Shampoo, Soap
from trainables.configs.regularization import Augment, BatchGrowth, Swa
from trainables.data.dataset import split
from trainables.engine import Stack
from trainables.memory import Forecast, size
from trainables.precision import STORED
from trainables.ram import SHARE, in_bytes

Maker = Callable[..., RunConfig]
FACTOR = 1.6
"""How far off the model may be, either way."""
LANES, EXAMPLES, CLASSES = 5, 1301, 7
IMAGE, SMALL = (3, 17, 19), (1, 23, 29)
CASES: dict[str, tuple[Model, tuple[int, ...], dict[str, Any]]] = {
    "mlp": (Mlp(hidden=(67, 31)), (53,), {}),
    "mlp gelu": (Mlp(hidden=(67, 67, 67), norm="layer", skip=True, activation="gelu"), (53,), {}),
    "mlp batch": (Mlp(hidden=(67, 31), norm="batch"), (53,), {"batch_size": 211}),
    "linear": (Linear(), (53,), {}),
    "lenet 300": (Lenet300100(), SMALL, {}),
    "lenet 300 layer": (Lenet300100(norm="layer"), SMALL, {"batch_size": 211}),
    "lenet5": (Lenet5(), SMALL, {}),
    "lenet5 batch": (Lenet5(norm="batch"), SMALL, {}),
    "conv4": (Conv4(width=0.3), IMAGE, {}),
    "vgg11": (Vgg11(width=0.1), (3, 32, 32), {}),
    "resnet": (Resnet20(width=0.5), IMAGE, {}),
    "resnet none": (Resnet20(width=0.5, norm="none"), IMAGE, {}),
    "resnet group": (Resnet20(width=0.5, norm="group"), IMAGE, {}),
    "resnet weight": (Resnet20(width=0.5, norm="weight", skip=False), IMAGE, {}),
    "vit": (Vit(width=28, depth=3), (3, 20, 24), {}),
    "vit bare": (Vit(width=28, depth=3, norm="none"), (3, 20, 24), {}),
    "double": (Lenet5(), SMALL, {"precision": "float64"}),
    "parts": (Resnet20(width=0.5), IMAGE, {"batch_size": 212, "accumulate": 4}),
    "uphill": (Lenet300100(), SMALL, {"sam_rho": 0.1}),
    "clipped": (Mlp(hidden=(67, 67, 67)), (53,), {"clip_norm": 1.0}),
    "averaged": (Lenet300100(), SMALL, {"ema": 0.9}),
    "averaged at last": (Mlp(hidden=(307, 67)), (53,), {"swa": Swa()}),
    "augmented": (Lenet5(), SMALL, {"augment": Augment(crop=2)}),
    "grown": (Resnet20(width=0.5), IMAGE, {"batch_growth": BatchGrowth(milestones=(0.5,))}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made(Digits):
    """Data of any shape."""

    shape: tuple[int, ...] = ()
    trained_on: int = 0

    def sizes(self) -> Sizes:
        return Sizes(self.trained_on, self.shape, CLASSES, EXAMPLES - self.trained_on)


def _measured(model: Model, shape: tuple[int, ...], runs: list[RunConfig]) -> tuple[Arrays, Stack]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((EXAMPLES, *shape), dtype=np.float32)
    data = split("made up", x, rng.integers(0, CLASSES, EXAMPLES), Digits(valid=0.2, test=0.3))
    kind = STORED[runs[0].train.precision]
    arrays = Arrays.of(data, torch.device("cpu"), kind)
    return arrays, Stack(runs, arrays)


def _runs(make_run: Maker, model: Model, shape: tuple[int, ...], **parts: Any) -> list[RunConfig]:
    train = {"steps": 53, "batch_size": 29} | parts.pop("train", {})
    data = _Made(shape=shape, trained_on=EXAMPLES - round(0.2 * EXAMPLES) - round(0.3 * EXAMPLES))
    parts = {"optimizer": Sgd(lr=0.01, momentum=0.9)} | parts
    return [make_run(data=data, model=model, train=train, seed=s, **parts) for s in range(LANES)]


@pytest.mark.parametrize("name", CASES)
def test_what_is_modelled_is_what_is_measured_within_a_factor(make_run: Maker, name: str) -> None:
    """By what a pack itself looks at: a step and an evaluation of a stack of five lanes."""
    model, shape, train = CASES[name]
    _check(_runs(make_run, model, shape, train=train), shape)


@pytest.mark.parametrize("optimizer", [Kfac(), Ekfac()], ids=lambda config: config.name)
@pytest.mark.parametrize("name", ["mlp", "resnet"])
def test_factors_of_layers_are_counted(make_run: Maker, name: str, optimizer: Kfac | Ekfac) -> None:
    model, shape, _ = CASES[name]
    _check(_runs(make_run, model, shape, optimizer=optimizer), shape)


def _check(runs: list[RunConfig], shape: tuple[int, ...]) -> None:
    model = runs[0].model
    arrays, stack = _measured(model, shape, runs)
    found = Forecast(LANES, 10**12)
    found.observe(stack)
    modelled = lane_memory(runs[0])
    assert modelled is not None
    more = LANES * modelled.more / found.more(LANES)
    network = sum(p.nbytes for p in stack.network.module.parameters())
    kept = (LANES * modelled.kept + network) / found.kept(LANES)
    assert 1 / FACTOR < more < FACTOR
    assert 0.85 < kept < 1.15
    assert modelled.shared == pytest.approx(size(arrays) + network, rel=0.01)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_every_optimizer_keeps(make_run: Maker, name: str) -> None:
    required = ("sgd", "lars", "schedule_free_sgd", "natural_gradient")
    needed: dict[str, Any] = {"lr": 0.01} if name in required else {}
    if issubclass(OPTIMIZERS[name], Dense):
        needed["max_parameters"] = 10_000
    optimizers = [OPTIMIZERS[name](**needed)]
    if name == "rmsprop":
        optimizers.append(RmsProp(centered=True))
    for optimizer in optimizers:
        runs = _runs(make_run, Mlp(hidden=(67, 31)), (53,), optimizer=optimizer)
        _, stack = _measured(runs[0].model, (53,), runs)
        if not issubclass(OPTIMIZERS[name], Dense):
            stack.advance(1)
        state = sum(t.nbytes for tree in stack.state.values() for t in tree.values())
        weights = sum(t.nbytes for t in stack.params.values())
        found = layers(runs[0].model, (53,), CLASSES)
        assert found is not None
        numbers = factor_numbers(optimizer, found)
        expected = state_of(optimizer) + LANES * 4 * numbers / weights
        assert state / weights == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("optimizer", "model", "shape"),
    [
        (Shampoo(block_size=41, start=0), Mlp(hidden=(67, 31)), (53,)),
        (Shampoo(grafting="none", start=0), Conv4(width=0.3), IMAGE),
        (Shampoo(kernels="matrix", start=0), Lenet5(), SMALL),
        (Soap(max_dimension=97), Lenet5(), SMALL),
        (Soap(kernels="matrix"), Resnet20(width=0.5), IMAGE),
        (Soap(), Vit(width=28, depth=3), (3, 20, 24)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_factors_are_counted(
    make_run: Maker, optimizer: Shampoo | Soap, model: Model, shape: tuple[int, ...]
) -> None:
    runs = _runs(make_run, model, shape, optimizer=optimizer)
    _, stack = _measured(model, shape, runs)
    found = layers(model, shape, CLASSES)
    assert found is not None
    kept = sum(t[0].numel() for t in stack.state["statistics"].values())
    assert 2 * kept == pytest.approx(factor_numbers(optimizer, found), rel=0.02)
    forecast, modelled = Forecast(LANES, 10**12), lane_memory(runs[0])
    forecast.observe(stack)
    assert modelled is not None
    assert 1 / FACTOR < LANES * modelled.more / forecast.more(LANES) < FACTOR


@pytest.mark.parametrize("name", ["newton", "natural_gradient", "gauss_newton"])
def test_matrices_of_all_weights_are_counted(make_run: Maker, name: str) -> None:
    kind = OPTIMIZERS[name]
    model = Mlp(hidden=(11,))
    runs = _runs(make_run, model, (53,), optimizer=kind(lr=0.1))
    _, stack = _measured(model, (53,), runs)
    found = Forecast(LANES, 10**12)
    found.observe(stack)
    modelled = lane_memory(runs[0])
    assert modelled is not None
    assert 1 / FACTOR < LANES * modelled.more / found.more(LANES) < FACTOR


def test_the_pack_that_takes_the_most_counts(make_run: Maker) -> None:
    small, large = (_runs(make_run, Mlp(hidden=(w,)), (53,))[0] for w in (3, 307))
    lane = lane_memory(large)
    assert lane is not None
    one = lane.kept + lane.more
    limit = lane.shared + 11.5 * one
    found = expected_memory([(small, 13), (large, 17), (small, 5)], limit)
    assert found == Memory(one, 17, lane.shared + 17 * one, limit, 11)
    words = memory_in_words(found)
    assert words.startswith(f"about {in_bytes(one)} a lane, {in_bytes(found.total)} a pack of 17 ")
    assert words.endswith(f"11 lanes fit in {in_bytes(limit)}, so stacks will be narrower")
    room = expected_memory([(large, 11)], limit)
    assert room is not None
    assert memory_in_words(room).endswith(f"; 11 lanes fit in {in_bytes(limit)}")
    none = expected_memory([(large, 1)], lane.shared / 2)
    assert none is not None
    assert none.fit == 0
    on_gpu = expected_memory([(large, 17)], None)
    assert on_gpu is not None
    assert on_gpu.fit is None
    assert memory_in_words(on_gpu).endswith("(modelled), of a GPU")


def test_nothing_is_said_of_what_is_not_known(make_run: Maker) -> None:
    known = _runs(make_run, Mlp(hidden=(3,)), (53,))[0]
    for strange in (make_run(model=UserModel(name="a:b")), make_run(data=UserData(name="a:b"))):
        assert expected_memory([(known, 3), (strange, 1)], 10**9) is None
    assert expected_memory([], 10**9) is None


def test_packs_share_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.plan.memory.free_ram", lambda: 1000)
    monkeypatch.setattr("orchestrator.plan.memory._GPU", Path("/nowhere"))
    assert limit_a_pack(None, 1) == limit_a_pack(0, 1) == SHARE * 1000
    assert limit_a_pack(None, 4) == SHARE * 250
    assert limit_a_pack(1, 1) is None
    monkeypatch.setattr("orchestrator.plan.memory._GPU", Path("/"))
    assert limit_a_pack(None, 1) is None, "a GPU is used where there is one"
    assert limit_a_pack(0, 1) == SHARE * 1000
