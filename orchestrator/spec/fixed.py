"""The sections that are the same for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.spec.checks import unmeasured
from orchestrator.spec.combinations import Configs, Rows
from orchestrator.spec.errors import Problem, shown
from orchestrator.spec.own_training import full_execution, own_objective
from orchestrator.spec.searches import Optuna, Search, Searcher
from orchestrator.spec.sections import FIXED, Fault, checked
from orchestrator.spec.study import OwnObjective
from orchestrator.spec.tree import Node, Path, find, plain
from orchestrator.spec.varied import Varied
from trainables.configs import HIGHER_IS_BETTER


def fixed_sections(root: Node) -> tuple[dict[str, Any], list[Problem]]:
    """Their configurations; the objectives are a tuple."""
    assert isinstance(root.content, dict)
    own = "trainable" in root.content
    configs: dict[str, Any] = {}
    problems: list[Problem] = []
    for name in FIXED:
        node = root.content.get(name) or Node({}, root.place)
        if name == "objective":
            configs["objectives"], faults = _objectives(plain(node), own)
            result: Any = faults
        else:
            result = checked(name, plain(node), own=own)
        if isinstance(result, list):
            problems += [Varied(name, node, []).located((), fault) for fault in result]
        else:
            configs[name] = full_execution(result)
    return configs, problems


def _objectives(value: Any, own: bool) -> tuple[tuple[Any, ...], list[Fault]]:
    """One objective, or a list of them."""
    if not isinstance(value, list):
        result = _objective(value, own)
        return ((), result) if isinstance(result, list) else ((result,), [])
    if not value:
        return (), [Fault((), "must be an objective or a list of them, got []")]
    found: list[OwnObjective] = []
    faults: list[Fault] = []
    for index, item in enumerate(value):
        result = _objective(item, own)
        if isinstance(result, list):
            faults += [Fault((index, *f.path), f.message, f.kind) for f in result]
        elif result.metric in [other.metric for other in found]:
            message = f"is an objective already, got {shown(result.metric)}; write it once"
            faults.append(Fault((index, "metric"), message))
        else:
            found.append(result)
    return tuple(found), faults


def _objective(value: Any, own: bool) -> Any:
    if isinstance(value, dict) and "mode" not in value:
        best = "max" if value.get("metric") in list(HIGHER_IS_BETTER) else "min"
        value = value | (own_objective(value) if own else {"mode": best})
    return checked("objective", value, own=own)


def unmeasured_objectives(
    root: Node, objectives: Sequence[OwnObjective], configs: dict[str, Configs], rows: Rows
) -> list[Problem]:
    """The metrics that rank the runs must be measured in all of them."""
    pairs = [
        (configs["data"][choice], configs["train"][other])
        for choice, other in rows.pairs("data", "train")
    ]
    problems = []
    for index, objective in enumerate(objectives):
        several = isinstance(find(root, ["objective"]).content, list)
        path: Path = ("objective", index, "metric") if several else ("objective", "metric")
        reasons = {unmeasured(objective.metric, data, train) for data, train in pairs} - {None}
        place, name = find(root, path).place, ".".join(map(str, path))
        problems += [Problem(place, name, text) for text in sorted(map(str, reasons))]
    return problems


def one_objective(root: Node, search: Search, objectives: Sequence[OwnObjective]) -> list[Problem]:
    """Several objectives need a search that can take them."""
    if len(objectives) < 2:
        return []
    if isinstance(search, Optuna) and search.sampler == "cmaes":
        wrong, remedy = "the sampler cmaes", "tpe, gp, nsgaii or random"
    elif isinstance(search, Searcher) and ":" not in search.name:
        wrong, remedy = search.name, "optuna"
    else:
        return []
    message = f"{wrong} takes one objective, got {len(objectives)}; use {remedy}"
    return [Problem(find(root, ["objective"]).place, "objective", message)]
