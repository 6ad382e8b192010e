"""Defaults of the rules of early stopping, pinned."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.spec.stopping_rules import STOPPING_RULES, Asha, Budget, Median, Patience
from trainables.configs import to_plain
from trainables.configs.base import Config

DEFAULTS: list[tuple[Config, dict[str, Any]]] = [
    (
        Asha(),
        {
            "name": "asha",
            "grace": {"epochs": 1.0},
            "reduction": 3.0,
            "max": None,
            "brackets": 1,
            "seed": 0,
            "metric": None,
            "mode": None,
        },
    ),
    (
        Median(),
        {"name": "median", "grace": {"epochs": 1.0}, "min_runs": 3, "metric": None, "mode": None},
    ),
    (
        Patience(evaluations=3),
        {"name": "patience", "evaluations": 3, "min_delta": 0.0, "metric": None, "mode": None},
    ),
    (
        Budget(hours=1),
        {
            "name": "budget",
            "hours": 1,
            "gpu_hours": None,
            "cpu_hours": None,
            "run_seconds": None,
        },
    ),
]


@pytest.mark.parametrize(("config", "plain"), DEFAULTS, ids=lambda value: type(value).__name__)
def test_defaults(config: Config, plain: dict[str, Any]) -> None:
    assert to_plain(config) == plain


def test_every_stopping_rule_is_pinned() -> None:
    assert set(STOPPING_RULES.values()) <= {type(config) for config, _ in DEFAULTS}
