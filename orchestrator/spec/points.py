"""One point of a study's space → its validated configuration, while the study runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.spec.axes import LET
from orchestrator.spec.checks import CHECKS, unmeasured
from orchestrator.spec.errors import listed, shown
from orchestrator.spec.own_training import own_run
from orchestrator.spec.sections import SWEPT, checked, run_of
from orchestrator.spec.space import Dimension, PointError
from orchestrator.spec.study import Study
from trainables.configs import Lottery, Run


def configuration(study: Study, point: Mapping[str, Any]) -> Run:
    """The configuration of ``point`` (dimension → value), with seed 0.

    Raises:
        PointError: a constraint, or a check of a section or between sections, refuses it.
    """
    space = study.space
    assert space is not None, "nothing varies in this study"
    dimensions = {dimension.path: dimension for dimension in space.dimensions}
    if unknown := [path for path in point if path not in dimensions]:
        known = listed(dimensions, last="and")
        raise PointError(f"{listed(unknown, last='and')} is no axis; axes are {known}")
    values = {path: _clean(dimensions[path], value) for path, value in point.items()}
    active = space.resolved(values)
    tree: dict[str, Any] = dict(space.base)
    paths = [path for path in active if path.split(".")[0] != LET]
    for path in sorted(paths, key=lambda path: path.count(".")):
        tree = _with(tree, path.split("."), active[path], path)
    if study.trainable is not None:
        run: Run = _accepted("config", own_run(study.trainable, "config", tree["config"]))
        return run
    parts = {name: _accepted(name, checked(name, tree[name])) for name in SWEPT}
    if isinstance(parts["procedure"], Lottery):
        raise PointError("procedure: lottery has many runs a point; a search has one")
    for first, second, check in CHECKS:
        if (finding := check(parts[first], parts[second])) is not None:
            raise PointError(f"{'.'.join(map(str, finding.path))}: {finding.message}")
    for objective in study.objectives:
        if (why := unmeasured(objective.metric, parts["data"], parts["train"])) is not None:
            raise PointError(f"objective: {why}")
    return run_of(parts)


def _clean(dimension: Dimension, value: Any) -> Any:
    """The value as a study would have it: searchers give numbers of NumPy, and 3.0 for 3."""
    if dimension.range is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise PointError(
            f"{dimension.path} must be {dimension.range}, got {shown(value)}", dimension.path
        ) from None
    return round(number) if dimension.range.whole else number


def _with(tree: dict[str, Any], keys: list[str], value: Any, path: str) -> dict[str, Any]:
    """``tree`` with ``value`` at ``keys``; nothing in ``tree`` is changed."""
    first, *rest = keys
    if not rest:
        return tree | {first: value}
    child = tree.get(first, {})
    if not isinstance(child, dict):
        raise PointError(f"{path} leads through {shown(child)}, which is no mapping", path)
    return tree | {first: _with(child, rest, value, path)}


def _accepted(section: str, result: Any) -> Any:
    if isinstance(result, list):
        lines = [f"{'.'.join(map(str, (section, *f.path)))}: {f.message}" for f in result]
        raise PointError("; ".join(lines))
    return result
