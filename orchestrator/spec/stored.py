"""A configuration as the store has it → the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.spec.sections import SWEPT, adapter, checked
from trainables.configs.population import Population
from trainables.configs.run import RunConfig


def stored_run(plain: Mapping[str, Any]) -> RunConfig:
    """The run that ``to_plain`` made ``plain`` of.

    Raises:
        ValueError: it is none, as after a change of what configurations hold.
    """
    sections = {}
    for name in SWEPT:
        found: Any = checked(name, plain[name])
        if isinstance(found, list):
            raise ValueError(f"{name}.{'.'.join(map(str, found[0].path))}: {found[0].message}")
        sections[name] = found
    return RunConfig(**sections, seed=plain["seed"], population=_population(plain))


def _population(plain: Mapping[str, Any]) -> Population | None:
    if (found := plain.get("population")) is None:
        return None
    # Strict JSON: lists are tuples there, and nothing else is converted.
    population: Population = adapter(Population).validate_json(json.dumps(found), strict=True)
    return population
