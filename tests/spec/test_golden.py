"""Run ids and defaults, pinned: a change here renames or changes runs that exist."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.spec import (
    Execution,
    Objective,
    OwnExecution,
    OwnObjective,
    Report,
    Resources,
    Tracking,
)
from trainables.configs import Digits, FunctionRun, Mlp, RunConfig, Train, run_id, to_plain
from trainables.configs.base import Config, Epochs, Steps
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
from trainables.configs.optimizers import (
    OPTIMIZERS,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AmsGrad,
    BarzilaiBorwein,
    Lamb,
    Lars,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RmsProp,
    ScheduleFreeAdamW,
    ScheduleFreeSgd,
    Sgd,
    Sls,
    Sps,
)
from trainables.configs.regularization import Augment, BatchGrowth, Swa
from trainables.configs.schedules import (
    SCHEDULES,
    Chain,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    OneCycle,
    Plateau,
    Polynomial,
    RangeTest,
    Rex,
    Sequence,
    Sgdr,
    Step,
    UserSchedule,
    Wsd,
)

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
ADAM = {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
WARMED = {"warmup": 0.0, "warmup_start": None, "warmup_shape": "linear"}
DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
    (Digits(), {"name": "digits", **SPLIT}),
    *[
        (cls(root="r"), {"name": name, "root": "r", "valid": 5000, "split_seed": 0})
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
    (
        Sgd(lr=0.7),
        {"name": "sgd", "lr": 0.7, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    ),
    (Adam(), {"name": "adam", **ADAM}),
    (AdamW(), {"name": "adamw", **ADAM, "weight_decay": 0.01}),
    (AmsGrad(), {"name": "amsgrad", **ADAM}),
    (NAdam(), {"name": "nadam", **ADAM, "lr": 0.002, "momentum_decay": 0.004}),
    (RAdam(), {"name": "radam", **ADAM}),
    (Adamax(), {"name": "adamax", **ADAM, "lr": 0.002}),
    (
        AdaGrad(),
        {
            "name": "adagrad",
            "lr": 0.01,
            "eps": 1e-10,
            "initial_accumulator": 0.0,
            "weight_decay": 0.0,
        },
    ),
    (
        RmsProp(),
        {
            "name": "rmsprop",
            "lr": 0.01,
            "alpha": 0.99,
            "momentum": 0.0,
            "centered": False,
            "eps": 1e-8,
            "weight_decay": 0.0,
        },
    ),
    (
        AdaDelta(),
        {"name": "adadelta", "lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    ),
    (
        Lion(),
        {"name": "lion", "lr": 1e-4, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0},
    ),
    (
        Lars(lr=0.7),
        {
            "name": "lars",
            "lr": 0.7,
            "momentum": 0.9,
            "trust": 0.001,
            "weight_decay": 0.0,
            "skip_vectors": True,
        },
    ),
    (
        Lamb(),
        {"name": "lamb", **ADAM, "eps": 1e-6, "weight_decay": 0.01, "skip_vectors": True},
    ),
    (
        Muon(),
        {
            "name": "muon",
            "lr": 0.02,
            "momentum": 0.95,
            "nesterov": True,
            "weight_decay": 0.0,
            "ns_steps": 5,
            "adjust_lr": "original",
            "adam_ratio": 0.015,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-8,
        },
    ),
    (
        ScheduleFreeSgd(lr=0.7),
        {"name": "schedule_free_sgd", "lr": 0.7, "momentum": 0.9, "weight_decay": 0.0},
    ),
    (ScheduleFreeAdamW(), {"name": "schedule_free_adamw", **ADAM, "lr": 0.0025}),
    (
        Sps(),
        {"name": "sps", "lr": 1.0, "c": 0.5, "max_step": 1.0, "f_star": 0.0, "smooth": True},
    ),
    (
        Sls(),
        {"name": "sls", "lr": 1.0, "c": 0.1, "backtrack": 0.9, "growth": 2.0, "trials": 100},
    ),
    (
        BarzilaiBorwein(),
        {
            "name": "barzilai_borwein",
            "lr": 1.0,
            "first_step": 0.001,
            "min_step": 1e-10,
            "max_step": 1000.0,
            "variant": "long",
        },
    ),
    (Constant(), {"name": "constant", **WARMED, "factor": 1.0, "until": None}),
    (Step(), {"name": "step", **WARMED, "every": 0.3, "gamma": 0.1}),
    (
        MultiStep(),
        {"name": "multistep", **WARMED, "milestones": [0.5, 0.75], "gamma": 0.1},
    ),
    (Exponential(), {"name": "exponential", **WARMED, "final": 0.01}),
    (Linear(), {"name": "linear", **WARMED, "start": 1.0, "final": 0.0}),
    (Polynomial(), {"name": "polynomial", **WARMED, "power": 2.0}),
    (Cosine(), {"name": "cosine", **WARMED, "final": 0.0}),
    (Sgdr(), {"name": "sgdr", **WARMED, "period": 0.15, "multiplier": 2, "final": 0.0}),
    (
        Cyclic(),
        {
            "name": "cyclic",
            **WARMED,
            "period": 0.2,
            "low": 0.1,
            "mode": "triangular",
            "gamma": 1.0,
            "rise": 0.5,
            "cycle_momentum": False,
            "base_momentum": 0.8,
            "max_momentum": 0.9,
        },
    ),
    (
        OneCycle(),
        {
            "name": "one_cycle",
            "warmup": 0.3,
            "start": 0.04,
            "final": 4e-6,
            "anneal": "cosine",
            "three_phase": False,
            "cycle_momentum": False,
            "base_momentum": 0.85,
            "max_momentum": 0.95,
        },
    ),
    (InverseSqrt(), {"name": "inverse_sqrt", **WARMED, "offset": None}),
    (Wsd(), {"name": "wsd", **WARMED, "decay": 0.2, "shape": "linear", "final": 0.0}),
    (Rex(), {"name": "rex", **WARMED}),
    (
        RangeTest(),
        {"name": "range_test", **WARMED, "start": 1e-5, "growth": "exponential"},
    ),
    (
        Plateau(),
        {
            "name": "plateau",
            **WARMED,
            "metric": "valid/loss",
            "factor": 0.1,
            "patience": 10,
            "threshold": 1e-4,
            "cooldown": 0,
            "final": 0.0,
        },
    ),
    (
        Sequence(schedules=(Constant(), Rex()), durations=(0.5,)),
        {
            "name": "sequence",
            **WARMED,
            "schedules": [
                {"name": "constant", **WARMED, "factor": 1.0, "until": None},
                {"name": "rex", **WARMED},
            ],
            "durations": [0.5],
        },
    ),
    (
        Chain(schedules=(Rex(),)),
        {"name": "chain", **WARMED, "schedules": [{"name": "rex", **WARMED}]},
    ),
    (
        UserSchedule(name="a:b"),
        {"name": "a:b", **WARMED, "args": {}, "multiplicative": False},
    ),
    (
        Train(steps=7),
        {
            "epochs": None,
            "steps": 7,
            "batch_size": 64,
            "evaluate_every": {"epochs": 1.0},
            "loss": "cross_entropy",
            "target": None,
            "diverged_above": 1e6,
            "precision": "float32",
            "label_smoothing": 0.0,
            "accumulate": 1,
            "sam_rho": None,
            "clip_norm": None,
            "clip_value": None,
            "ema": None,
            "swa": None,
            "batch_growth": None,
            "augment": None,
        },
    ),
    (Swa(), {"start": 0.75, "every": {"epochs": 1.0}}),
    (BatchGrowth(), {"milestones": [0.3, 0.6, 0.8], "factor": 2, "largest": None}),
    (Augment(), {"crop": 0, "flip": False, "cutout": 0}),
    (Objective(), {"metric": "valid/loss", "mode": "min"}),
    (OwnObjective(metric="a", mode="max"), {"metric": "a", "mode": "max"}),
    (OwnExecution(), {"checkpoint_every": None}),
    (FunctionRun(trainable="a:b"), {"trainable": "a:b", "config": {}, "seed": 0}),
    (Execution(), {"strategy": "auto", "compile": "auto", "lanes": None, "checkpoint_every": None}),
    (Resources(), {"cpus": 1.0, "gpus": None, "max_concurrent": None}),
    (Tracking(), {"wandb": "auto", "project": "regatta", "entity": None, "detail": "all"}),
    (Report(), {"title": None, "top": 5}),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain


def test_every_optimizer_is_pinned() -> None:
    assert {type(config) for config, _ in DEFAULTS} >= set(OPTIMIZERS.values())


def test_every_schedule_is_pinned() -> None:
    assert {type(config) for config, _ in DEFAULTS} >= set(SCHEDULES.values())


def run(**changes: Any) -> RunConfig:
    parts: dict[str, Any] = {
        "data": Digits(),
        "model": Mlp(),
        "optimizer": Sgd(lr=0.1),
        "train": Train(epochs=30.0),
        **changes,
    }
    return RunConfig(**parts)


RUN_IDS: dict[str, RunConfig | FunctionRun] = {
    "eb47ee0c0e1254bc": run(),
    "2f322f1fdfd80d21": run(seed=1),
    "3d1aaf30428b07f3": run(schedule=Cosine(warmup=0.05)),
    "aac46be9b624e02d": run(schedule=MultiStep(milestones=(Steps(steps=5), Epochs(epochs=2.0)))),
    "82976324ae313c57": run(optimizer=AdamW(lr=0.003), train=Train(steps=1000, batch_size=128)),
    "6a3628c42b777de7": run(
        model=UserModel(name="a.b:c", args={"width": 3, "deep": [1, {"x": None}]})
    ),
    "7ea030f9d35bc1e2": FunctionRun(trainable="a.b:c"),
    "43dce18c0dc33dce": FunctionRun(
        trainable="a.b:c", config={"lr": 0.1, "deep": {"x": [1, None]}}, seed=2
    ),
}


@pytest.mark.parametrize(("expected", "config"), RUN_IDS.items())
def test_run_ids(expected: str, config: RunConfig | FunctionRun) -> None:
    assert run_id(config) == expected


def test_a_field_at_its_default_does_not_count() -> None:
    assert run_id(run(schedule=Constant(warmup=0.0), seed=0)) == run_id(run())


def test_a_part_of_a_schedule_is_known_by_what_was_chosen() -> None:
    """A new field of a schedule renames no sequence that has one."""
    spelt = Sequence(schedules=(Constant(factor=1.0), Cosine(final=0.0)), durations=(0.5,))
    assert run_id(run(schedule=spelt)) == "0532764fd0247015"
    assert run_id(run(schedule=UserSchedule(name="a.b:c", args={"x": [1]}))) == "b89232a379b2cbba"
