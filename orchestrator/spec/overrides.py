"""``--set path=value``: changes to a study's tree before it is validated."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from orchestrator.spec.errors import Place, Problem, SpecError, shortened, shown
from orchestrator.spec.tree import Node, NotAMappingError, with_value
from orchestrator.spec.yaml_source import read

DEFAULTS: dict[str, dict[str, str]] = {
    "data": {"name": "digits"},
    "model": {"name": "mlp"},
    "schedule": {"name": "constant"},
    "procedure": {"name": "train"},
}
"""The sections that need not be written, as they are then."""


def overridden(root: Node, overrides: Sequence[str]) -> Node:
    """``root``, a mapping, with the overrides applied in order.

    An override of what an axis varies takes that axis away: it wins over the whole file.

    Raises:
        SpecError: an override is not ``path=value``, or its path or value cannot be.
    """
    problems: list[Problem] = []
    for text in overrides:
        try:
            root = _applied(root, text)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return root


def _applied(root: Node, text: str) -> Node:
    name, equals, value = text.partition("=")
    name = name.strip()
    place = Place(f"--set {shortened(text, 80)}", names=name)
    if not equals or not name or not value.strip():
        raise _error(place, "must be path=value, such as optimizer.lr=0.1")
    path = _path(name)
    if not all(path):
        raise _error(place, "the path must be keys joined by single dots, such as optimizer.lr")
    node = dataclasses.replace(read(value, place), key=place)
    root = _without_axis(with_default(root, path[0], place), name, place)
    try:
        return with_value(root, path, node)
    except NotAMappingError as error:
        inner, found = error.args
        message = f"{'.'.join(inner)} is {shown(found)}, which has no keys below it to set"
        raise _error(place, message) from None


def _path(name: str) -> list[str]:
    """Its keys; what follows ``sweep.`` is one key, as an axis has a dotted name."""
    section, dot, axis = name.partition(".")
    return [section, axis] if section == "sweep" and dot else name.split(".")


def with_default(root: Node, section: str, place: Place) -> Node:
    """``root`` with the section at its default, if it has one and is not written."""
    assert isinstance(root.content, dict)
    if section in root.content or section not in DEFAULTS:
        return root
    default = {key: Node(value, place) for key, value in DEFAULTS[section].items()}
    return with_value(root, [section], Node(dict(default), place))


def _without_axis(root: Node, name: str, place: Place) -> Node:
    assert isinstance(root.content, dict)
    sweep = root.content.get("sweep")
    if sweep is None or not isinstance(sweep.content, dict):
        return root
    for axis in sweep.content:
        if name.startswith(f"{axis}."):
            message = f"has no effect, as the sweep replaces {axis}; set sweep.{axis} instead"
            raise _error(place, message)
    kept = {axis: node for axis, node in sweep.content.items() if axis != name}
    return with_value(root, ["sweep"], dataclasses.replace(sweep, content=kept))


def _error(place: Place, message: str) -> SpecError:
    return SpecError([Problem(place, place.names, message)])
