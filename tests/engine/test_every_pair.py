"""Packed equals solo for every model with every family of optimizers, through the whole step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.test_models import SMALL
from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.configs.base import Precision
from trainables.configs.models import Gpt, ImageModel, Resnet56
from trainables.configs.optimizers import AdamW, Lamb, Muon, ScheduleFreeAdamW, Sgd, Sls, Sps
from trainables.configs.regularization import Augment
from trainables.data import DataSet
from trainables.data.dataset import unchanged
from trainables.engine import Stack
from trainables.precision import STORED

FAMILIES: dict[str, Callable[[float], Any]] = {
    "gradient": lambda lr: Sgd(lr=lr, momentum=0.9, weight_decay=0.01),
    # A larger ε keeps gradients that are rounding from being divided by themselves.
    "adaptive": lambda lr: AdamW(lr=lr, eps=1e-2),
    "by layer": lambda lr: Lamb(lr=lr, eps=1e-2),
    "matrices": lambda lr: Muon(lr=lr, eps=1e-2),
    "averaging": lambda lr: ScheduleFreeAdamW(lr=lr, eps=1e-2),
    "by loss": lambda lr: Sps(max_step=lr),
    "line search": lambda lr: Sls(lr=lr, trials=7),
}
RATES, CLASSES, EXAMPLES, STEPS = (0.02, 0.05, 0.01), 5, 37, 2


def _data(shape: tuple[int, ...], *, tokens: bool) -> DataSet:
    rng = np.random.default_rng(0)

    def pair() -> tuple[Any, Any]:
        if tokens:
            return tuple(rng.integers(0, CLASSES, (2, EXAMPLES, *shape)))
        x = rng.standard_normal((EXAMPLES, *shape), dtype=np.float32)
        return x, rng.integers(0, CLASSES, EXAMPLES)

    return unchanged({part: pair() for part in ("train", "valid", "test")}, CLASSES)


# 56 layers without a way around them explode, and with them all rounding.
MODELS = SMALL | {"resnet56": (Resnet56(width=0.25), (3, 8, 7))}
PRECISIONS: list[tuple[str, Precision, float]] = [
    *((family, "float64", 1e-10) for family in FAMILIES),
    ("gradient", "float32", 1e-4),  # others divide rounding by itself
]


@pytest.mark.parametrize(("family", "precision", "rtol"), PRECISIONS)
@pytest.mark.parametrize("name", MODELS)
def test_packed_equals_solo(
    make_run: Callable[..., RunConfig],
    name: str,
    family: str,
    precision: Precision,
    rtol: float,
) -> None:
    """Losses, weights and running statistics after some steps, with dropout and augmentation."""
    model, shape = MODELS[name]
    if "dropout" in {field.name for field in dataclasses.fields(model)}:
        model = dataclasses.replace(model, dropout=0.3)
    images = isinstance(model, ImageModel)
    train = {
        "steps": STEPS,
        "batch_size": 11,
        "precision": precision,
        "augment": Augment(crop=1, flip=True, cutout=2) if images else None,
    }
    runs = [
        make_run(model=model, optimizer=FAMILIES[family](lr), seed=seed, train=train)
        for seed, lr in enumerate(RATES)
    ]
    data = _data(shape, tokens=isinstance(model, Gpt))
    arrays = Arrays.of(data, torch.device("cpu"), STORED[precision])

    def trained(runs: list[RunConfig]) -> Stack:
        stack = Stack(runs, arrays)
        stack.advance(STEPS)
        return stack

    packed = trained(runs)
    metrics, losses = packed.evaluate()
    for lane, run in enumerate(runs):
        solo = trained([run])
        alone, own = solo.evaluate()
        assert own[:, 0] == pytest.approx(losses[:, lane], rel=rtol)
        for metric, values in alone.items():
            assert values[0] == pytest.approx(metrics[metric][lane], rel=rtol), metric
        for tree in ("params", "buffers"):
            for key, tensor in getattr(solo, tree).items():
                torch.testing.assert_close(
                    getattr(packed, tree)[key][lane], tensor[0], rtol=100 * rtol, atol=rtol
                )
