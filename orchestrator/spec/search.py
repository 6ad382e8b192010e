"""The ``search`` section: its configuration, its constraints and the points to try first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.designs import First
from orchestrator.spec.errors import Problem, listed, shown
from orchestrator.spec.names import NameProblemError, Names
from orchestrator.spec.searches import Grid, Search
from orchestrator.spec.sections import checked
from orchestrator.spec.space import Dimension, Space, same
from orchestrator.spec.tree import Node, plain
from orchestrator.spec.varied import Varied


@dataclass(frozen=True, slots=True)
class Parsed:
    """The section, as far as it stands without axes."""

    search: Search | None
    """None where it is wrong."""
    constraints: list[Node]
    first: list[Node]
    problems: list[Problem]


def parse_search(node: Node | None) -> Parsed:
    """The section's configuration; ``grid`` where no name is written."""
    if node is None:
        return Parsed(Grid(), [], [], [])
    value = plain(node)
    if isinstance(value, dict) and "name" not in value:
        value = {"name": "grid"} | value
    result: Any = checked("search", value)
    if isinstance(result, list):
        varied = Varied("search", node, [])
        return Parsed(None, [], [], [varied.located((), fault) for fault in result])
    return Parsed(result, _items(node, "constraints"), _items(node, "first"), [])


def _items(node: Node, key: str) -> list[Node]:
    assert isinstance(node.content, dict)
    child = node.content.get(key)
    return child.content if child is not None and isinstance(child.content, list) else []


def first_points(
    nodes: Sequence[Node], space: Space, names: Names
) -> tuple[list[First], list[Problem]]:
    """The points to try first, as cells of the space's dimensions."""
    points, problems = [], []
    for index, node in enumerate(nodes):
        path = f"search.first.{index}"
        cells: dict[str, Any] = {}
        found: list[Problem] = []
        assert isinstance(node.content, dict)
        for name, value in node.content.items():
            try:
                place = value.key or value.place
                dimension = _dimension(name, space, names)
                place = value.place
                cells[dimension.path] = _cell(dimension, plain(value))
            except NameProblemError as error:
                found.append(Problem(place, f"{path}.{name}", str(error)))
        problems += found
        if not found:
            by_path = {dimension.path: dimension for dimension in space.dimensions}
            values = {name: by_path[name].value(cell) for name, cell in cells.items()}
            points.append(First(node.place, path, cells, values))
    return points, problems


def _dimension(name: str, space: Space, names: Names) -> Dimension:
    path = names.path(name)
    if any(tie.path == path for tie in space.ties):
        raise NameProblemError(f"{path} is tied; it follows from others")
    for dimension in space.dimensions:
        if dimension.path == path:
            return dimension
    axes = [dimension.path for dimension in space.dimensions]
    known = f"the sweep has {listed(axes, last='and')}" if axes else "there is no sweep"
    raise NameProblemError(f"{path} is no axis; {known}")


def _cell(dimension: Dimension, value: Any) -> Any:
    if dimension.range is not None:
        if dimension.range.holds(value):
            return int(value) if dimension.range.whole else float(value)
        raise NameProblemError(f"must be {dimension.range}, got {shown(value)}")
    for index, other in enumerate(dimension.values):
        if same(other, value):
            return index
    allowed = listed(shown(other) for other in dimension.values)
    raise NameProblemError(f"must be a value of the axis, {allowed}, got {shown(value)}")
