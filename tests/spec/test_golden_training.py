"""Defaults of schedules and training, pinned."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.configs import Train, to_plain
from trainables.configs.base import Config
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

WARMED = {"warmup": 0.0, "warmup_start": None, "warmup_shape": "linear"}
DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
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
            "changes": [],
        },
    ),
    (Swa(), {"start": 0.75, "every": {"epochs": 1.0}}),
    (BatchGrowth(), {"milestones": [0.3, 0.6, 0.8], "factor": 2, "largest": None}),
    (Augment(), {"crop": 0, "flip": False, "cutout": 0}),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain


def test_every_schedule_is_pinned() -> None:
    assert {type(config) for config, _ in DEFAULTS} >= set(SCHEDULES.values())
