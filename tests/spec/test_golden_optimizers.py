"""Defaults of optimizers, pinned."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.configs import to_plain
from trainables.configs.base import Config
from trainables.configs.newton import GaussNewton, HessianFree, Lbfgs, NaturalGradient, Newton
from trainables.configs.optimizers import (
    OPTIMIZERS,
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AmsGrad,
    BarzilaiBorwein,
    Ekfac,
    Kfac,
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
from trainables.configs.preconditioned import AdaHessian, Shampoo, Soap, Sophia

ADAM = {
    "lr": 0.001,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "skip_vectors": False,
}
KRONECKER = {
    "lr": 0.1,
    "damping": 0.001,
    "stat_decay": 0.95,
    "fisher": "sampled",
    "statistics_every": 10,
    "kl_clip": 0.001,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "decoupled": False,
    "skip_vectors": False,
}
DENSE = {"weight_decay": 0.0, "skip_vectors": False, "max_parameters": 5000}
DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
    (
        Newton(),
        {"name": "newton", "lr": 1.0, "damping": 0.001, "saddle": "plain", "momentum": 0.0} | DENSE,
    ),
    (
        NaturalGradient(lr=0.7),
        {"name": "natural_gradient", "lr": 0.7, "fisher": "exact", "damping": 0.001}
        | {"momentum": 0.0, **DENSE},
    ),
    (
        GaussNewton(),
        {"name": "gauss_newton", "lr": 1.0, "damping": 1.0, "damping_factor": 1.5} | DENSE,
    ),
    (
        HessianFree(),
        {
            "name": "hessian_free",
            "lr": 1.0,
            "damping": 1.0,
            "damping_factor": 1.5,
            "decay": 0.95,
            "cg_iterations": 250,
            "cg_tolerance": 5e-4,
            "preconditioner": "empirical_fisher",
            "exponent": 0.75,
            "c": 0.01,
            "backtrack": 0.8,
            "trials": 60,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
    ),
    (
        Lbfgs(),
        {
            "name": "lbfgs",
            "lr": 1.0,
            "history": 10,
            "line_search": "strong_wolfe",
            "c1": 1e-4,
            "c2": 0.9,
            "trials": 25,
            "eps": 1e-10,
            "pair_damping": 0.0,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
    ),
    (
        Sgd(lr=0.7),
        {
            "name": "sgd",
            "lr": 0.7,
            "momentum": 0.0,
            "nesterov": False,
            "weight_decay": 0.0,
            "skip_vectors": False,
            "decoupled": False,
        },
    ),
    (Adam(), {"name": "adam", **ADAM}),
    (AdamW(), {"name": "adamw", **ADAM, "weight_decay": 0.01}),
    (AmsGrad(), {"name": "amsgrad", **ADAM}),
    (NAdam(), {"name": "nadam", **ADAM, "lr": 0.002, "momentum_decay": 0.004, "decoupled": False}),
    (RAdam(), {"name": "radam", **ADAM, "decoupled": False}),
    (Adamax(), {"name": "adamax", **ADAM, "lr": 0.002}),
    (
        AdaGrad(),
        {
            "name": "adagrad",
            "lr": 0.01,
            "eps": 1e-10,
            "initial_accumulator": 0.0,
            "weight_decay": 0.0,
            "skip_vectors": False,
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
            "skip_vectors": False,
        },
    ),
    (
        AdaDelta(),
        {
            "name": "adadelta",
            "lr": 1.0,
            "rho": 0.9,
            "eps": 1e-6,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
    ),
    (
        Lion(),
        {
            "name": "lion",
            "lr": 1e-4,
            "beta1": 0.9,
            "beta2": 0.99,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
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
        {
            "name": "schedule_free_sgd",
            "lr": 0.7,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
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
    (
        Shampoo(),
        {
            "name": "shampoo",
            "lr": 0.1,
            "momentum": 0.9,
            "nesterov": False,
            "decay": 1.0,
            "eps": 1e-6,
            "ridge": 0.0,
            "statistics_every": 1,
            "preconditioner_every": 10,
            "start": 5,
            "block_size": 512,
            "kernels": "tensor",
            "grafting": "adagrad",
            "diagonal_decay": 0.999,
            "diagonal_eps": 1e-10,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
    ),
    (
        Soap(),
        {
            "name": "soap",
            "lr": 3e-3,
            "beta1": 0.95,
            "beta2": 0.95,
            "statistics_decay": 0.95,
            "eps": 1e-8,
            "precondition_every": 10,
            "max_dimension": 10000,
            "kernels": "tensor",
            "weight_decay": 0.01,
            "skip_vectors": False,
        },
    ),
    (
        AdaHessian(),
        {
            "name": "adahessian",
            **ADAM,
            "lr": 0.15,
            "eps": 1e-4,
            "hessian_power": 1.0,
            "hessian_every": 1,
            "samples": 1,
            "average_kernels": True,
            "weight_decay": 0.0,
            "skip_vectors": False,
        },
    ),
    (
        Sophia(),
        {
            "name": "sophia",
            "lr": 6e-4,
            "beta1": 0.96,
            "beta2": 0.99,
            "rho": 0.05,
            "eps": 1e-12,
            "estimator": "gauss_newton_bartlett",
            "hessian_every": 10,
            "weight_decay": 0.2,
            "skip_vectors": False,
        },
    ),
    (Kfac(), {"name": "kfac", **KRONECKER, "pi": True, "inverse_every": 50}),
    (Ekfac(), {"name": "ekfac", **KRONECKER, "inverse_every": 100}),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain


def test_every_optimizer_is_pinned() -> None:
    assert {type(config) for config, _ in DEFAULTS} >= set(OPTIMIZERS.values())
