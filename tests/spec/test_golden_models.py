"""Defaults of data and models, pinned."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.configs import Digits, Mlp, to_plain
from trainables.configs.base import Config
from trainables.configs.data import (
    ArrayFiles,
    Characters,
    Cifar10,
    Cifar100,
    FashionMnist,
    GaussianMixture,
    Kmnist,
    LeastSquares,
    MatrixFactorization,
    Mnist,
    TeacherStudent,
    UserData,
)
from trainables.configs.models import (
    MODELS,
    DeepLinear,
    Gpt,
    Lenet5,
    Lenet300100,
    UserModel,
    Vit,
)
from trainables.configs.models import Linear as LinearModel

SPLIT = {"valid": 0.15, "test": 0.2, "split_seed": 0}
DRAWN = {"classes": 10, "features": 20, "examples": 2000, "seed": 0, **SPLIT}
IMAGES: dict[str, type[Any]] = {
    "mnist": Mnist,
    "fashion_mnist": FashionMnist,
    "kmnist": Kmnist,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
}
START = {"init": "torch", "scale": 1.0}
PLAIN = {"activation": "relu", "norm": "none", "init": "xavier", "width": 1.0, "scale": 1.0}
RESNET = {
    "norm": "batch",
    "init": "kaiming",
    "width": 1.0,
    "skip": True,
    "zero_init": False,
    "scale": 1.0,
}
CLASSES = {"targets": "classes"}
DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
    (Digits(), {"name": "digits", **SPLIT, "targets": "classes"}),
    *[
        (cls(root="r"), {"name": name, "root": "r", "valid": 5000, "split_seed": 0, **CLASSES})
        for name, cls in IMAGES.items()
    ],
    (ArrayFiles(path="p"), {"name": "arrays", "path": "p", **SPLIT}),
    (
        Characters(path="p"),
        {"name": "characters", "path": "p", "context": 64, "valid": 0.1, "test": 0.1},
    ),
    (GaussianMixture(), {"name": "gaussian_mixture", **DRAWN, "separation": 3.0}),
    (TeacherStudent(), {"name": "teacher_student", **DRAWN, "hidden": [32]}),
    (
        LeastSquares(),
        {
            "name": "least_squares",
            "features": 20,
            "examples": 200,
            "condition": 100.0,
            "noise": 0.0,
            "seed": 0,
        },
    ),
    (
        MatrixFactorization(),
        {"name": "matrix_factorization", "rows": 20, "columns": 20, "rank": 3, "seed": 0},
    ),
    (UserData(name="a:b"), {"name": "a:b", "args": {}, **SPLIT}),
    (
        Mlp(),
        {
            "name": "mlp",
            "hidden": [64, 32],
            "activation": "relu",
            "norm": "none",
            "init": "torch",
            "skip": False,
            "bias": True,
            "scale": 1.0,
            "zero_init": False,
        },
    ),
    (LinearModel(), {"name": "linear", **START, "bias": True}),
    (DeepLinear(), {"name": "deep_linear", "hidden": [32], **START, "bias": False}),
    (Lenet300100(), {"name": "lenet_300_100", "activation": "relu", "norm": "none", **START}),
    (Lenet5(), {"name": "lenet5", "activation": "relu", "norm": "none", **START}),
    *[(MODELS[name](), {"name": name, **PLAIN}) for name in ("conv2", "conv4", "conv6")],
    *[
        (MODELS[name](), {"name": name, **PLAIN, "norm": "batch", "init": "kaiming"})
        for name in ("vgg11", "vgg16")
    ],
    *[
        (MODELS[name](), {"name": name, **RESNET})
        for name in ("resnet20", "resnet32", "resnet44", "resnet56")
    ],
    (
        Gpt(),
        {
            "name": "gpt",
            "width": 64,
            "depth": 2,
            "heads": 4,
            "dropout": 0.0,
            "init": "gpt2",
            "skip": True,
            "scale": 1.0,
            "norm": "layer",
            "zero_init": False,
        },
    ),
    (
        Vit(),
        {
            "name": "vit",
            "patch": 4,
            "width": 64,
            "depth": 4,
            "heads": 4,
            "dropout": 0.0,
            "init": "xavier",
            "scale": 1.0,
            "norm": "layer",
            "skip": True,
            "zero_init": False,
        },
    ),
    (UserModel(name="a:b"), {"name": "a:b", "args": {}}),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain
