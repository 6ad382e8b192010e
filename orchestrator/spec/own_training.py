"""A study with a ``trainable``: the user's own training, with a configuration of free form."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from orchestrator.spec.axes import SEEDS_ARE_NO_AXIS, Axis
from orchestrator.spec.combinations import validated
from orchestrator.spec.errors import Problem, shown
from orchestrator.spec.sections import SWEPT, USER_NAME, Fault
from orchestrator.spec.study import Execution, OwnExecution
from orchestrator.spec.tree import Node, plain
from orchestrator.spec.varied import Choice, Varied
from trainables.configs import FunctionRun
from trainables.configs.function_run import OWN_KEYS

_ENDINGS = {"loss": "min", "accuracy": "max", "r2": "max"}
"""How a metric's name ends → which of its values are better."""
_RESERVED = {
    "seed": "the seed is added to config; write seeds: n or seeds: [0, 1, 2] beside it",
    "trainable": "is a key of the study, not of config; call it something else",
}


def own_key(key: str, *, own: bool) -> str | None:
    """Why a study with (or without) a ``trainable`` does not take this key."""
    if own and key in SWEPT:
        return "goes without trainable, which does the training; put what it needs under config"
    if not own and key == "config":
        return "goes with trainable: module:callable, a training function of your own"
    return None


def own_axis(name: str) -> str | None:
    """Why no axis of a study with a ``trainable`` can have this path."""
    section, *rest = name.split(".")
    if section in ("seed", "seeds") or rest[:1] == ["seed"]:
        return SEEDS_ARE_NO_AXIS
    if section != "config":
        return "no such path; with trainable, an axis is a path below config, such as config.lr"
    if not rest or not all(rest):
        return "a path is keys joined by single dots, such as config.lr"
    return _RESERVED.get(rest[0])


def own_objective(value: dict[str, Any]) -> dict[str, str]:
    """The mode of an objective that does not say it, where the metric's name does."""
    metric = value.get("metric")
    ending = re.split(r"[/_. -]", metric)[-1].lower() if isinstance(metric, str) else ""
    return {"mode": _ENDINGS[ending]} if ending in _ENDINGS else {}


def full_execution(config: Any) -> Any:
    """``execution`` as every study has it."""
    if isinstance(config, OwnExecution):
        return Execution(checkpoint_every=config.checkpoint_every)
    return config


def own_runs(
    name: Node, config: Node, axes: list[Axis], rows: Sequence[Choice]
) -> tuple[list[FunctionRun], list[Problem]]:
    """The configurations of a design's points, each with seed 0; and what is wrong."""
    trainable = plain(name)
    problems = []
    if not isinstance(trainable, str) or not re.fullmatch(USER_NAME, trainable):
        message = f"must be module:callable, such as my_training:train, got {shown(trainable)}"
        problems.append(Problem(name.place, "trainable", message))
    check = functools.partial(own_run, trainable)
    configs, found = validated(Varied("config", config, axes, rows), check)
    return list(configs.values()), problems + found


def own_run(trainable: str, _: str, value: Any) -> FunctionRun | list[Fault]:
    if not isinstance(value, dict):
        empty = "; it is empty here" if value is None else f", got {shown(value)}"
        return [Fault((), f"must be a mapping, such as {{lr: 0.1}}{empty}")]
    if reserved := [key for key in OWN_KEYS if key in value]:
        return [Fault((key,), _RESERVED[key], "unknown") for key in reserved]
    return FunctionRun(trainable=trainable, config=value)
