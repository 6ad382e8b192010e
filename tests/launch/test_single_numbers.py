"""Normalizations of single numbers are refused beforehand where PyTorch would refuse them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check
from trainables.arrays import Arrays
from trainables.configs import Digits, Mlp, RunConfig
from trainables.configs.models import Conv6, Lenet5, Lenet300100, Model, Resnet20, Vit
from trainables.configs.run import data_key
from trainables.data.dataset import split
from trainables.engine import Stack

SMALL_MODELS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "mlp batch": (Mlp(hidden=(7,), norm="batch"), (3,)),
    "mlp layer": (Mlp(hidden=(1, 7), norm="layer"), (3,)),
    "mlp group": (Mlp(hidden=(7,), norm="group"), (3,)),
    "mlp group of one": (Mlp(hidden=(7, 1), norm="group"), (3,)),
    "linear": (Mlp(hidden=(), norm="batch"), (3,)),
    "lenet_300_100": (Lenet300100(norm="batch"), (1, 3, 2)),
    "lenet5": (Lenet5(norm="batch"), (1, 13, 12)),
    "conv6": (Conv6(norm="batch", width=0.1), (3, 8, 9)),
    "resnet": (Resnet20(width=0.25), (3, 5, 4)),
    "resnet of a pixel": (Resnet20(width=0.25), (3, 4, 4)),
    "resnet of a number": (Resnet20(width=0.01, norm="layer"), (3, 4, 4)),
    "resnet of a group": (Resnet20(width=0.25, norm="group"), (3, 4, 4)),
    "vit": (Vit(width=12, heads=3, depth=1), (3, 4, 4)),
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.parametrize("name", SMALL_MODELS)
def test_norms_are_refused_where_pytorch_refuses_them(
    name: str, part: int, accumulate: int, make_run: Callable[..., RunConfig]
) -> None:
    model, shape = SMALL_MODELS[name]
    train = {"steps": 1, "batch_size": part * accumulate, "accumulate": accumulate}
    run = make_run(model=model, train=train)
    rng = np.random.default_rng(0)
    data = split("x", rng.normal(size=(31, *shape)), np.arange(31) % 5, Digits())
    stack = Stack([run], Arrays.of(data, torch.device("cpu"), torch.float32))
    with contextlib.ExitStack() as refused:
        if part == 1 and name in (
            *("mlp batch", "mlp group of one", "lenet_300_100"),
            *("resnet of a pixel", "resnet of a number"),
        ):
            refused.enter_context(pytest.raises(ValueError, match="Expected more than 1 value"))
            with pytest.raises(LaunchError, match="would normalize single numbers"):
                check([run], {data_key(run): data})
        else:
            check([run], {data_key(run): data})
        stack.advance(1)
