"""A configuration as the store has it → the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.spec.sections import OF_A_RUN, adapter, checked, run_of
from trainables.configs.lottery import Node
from trainables.configs.population import Population
from trainables.configs.run import RunConfig


def stored_run(plain: Mapping[str, Any]) -> RunConfig:
    """The run that ``to_plain`` made ``plain`` of.

    Raises:
        ValueError: it is none, as after a change of what configurations hold.
    """
    sections = {}
    for name in OF_A_RUN:
        # Probes are null where there are none, and not there at all in older stores.
        found: Any = checked(name, plain.get("probes") or {} if name == "probes" else plain[name])
        if isinstance(found, list):
            raise ValueError(f"{name}.{'.'.join(map(str, found[0].path))}: {found[0].message}")
        sections[name] = found
    return run_of(
        sections,
        seed=plain["seed"],
        population=_optional(Population, plain.get("population")),
        lottery=_optional(Node, plain.get("lottery")),
    )


def _optional(cls: Any, found: Any) -> Any:
    # Strict JSON: lists are tuples there, and nothing else is converted.
    return None if found is None else adapter(cls).validate_json(json.dumps(found), strict=True)
