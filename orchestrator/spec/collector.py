"""Points one by one → the different ones that a space allows, as indices into the axes' values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.spec.axes import Axis
from orchestrator.spec.errors import Place, Problem
from orchestrator.spec.space import PointError, RefusedError, Space, same
from orchestrator.spec.tree import Node, plain
from orchestrator.spec.varied import Choice

Cells = tuple[Any, ...]
"""For each dimension the index of its value, or the number that was drawn of its range."""


class Collector:
    """Takes points one by one, and keeps the new ones that the space allows."""

    def __init__(self, axes: Sequence[Axis], space: Space, places: Mapping[str, Place]) -> None:
        """
        Args:
            places: where each constraint stands.
        """
        self.axes = [axis for axis in axes if axis.sets]
        self.space = space
        self._all = axes
        self.places = places
        self.rows: dict[Choice, None] = {}
        self.refused = self.repeated = self.failures = 0
        self.refused_rows: set[Choice] = set()
        """Of a finite space, the different points that are refused."""
        self.problems: dict[str, Problem] = {}
        self._columns = [
            (axis.name, paths.index(axis.name) if axis.listed else None, _Values(axis))
            for paths in [[dimension.path for dimension in space.dimensions]]
            for axis in self.axes
        ]

    def add(self, cells: Cells) -> bool:
        """Whether the point is a new one of the design."""
        row = self.row(cells)
        if row is None:
            return False
        if row in self.rows:
            self.repeated += 1
            return False
        self.rows[row] = None
        return True

    def row(self, cells: Cells) -> Choice | None:
        """The point as indices into the axes' values; None where it is refused."""
        dimensions = self.space.dimensions
        point = {d.path: d.value(cell) for d, cell in zip(dimensions, cells, strict=True)}
        try:
            active = self.space.resolved(point)
        except RefusedError as error:
            self.refused += 1
            if self.space.finite:
                self.refused_rows.add(
                    tuple(
                        [
                            cell if d.path in error.active else None
                            for d, cell in zip(dimensions, cells, strict=True)
                        ]
                    )
                )
            return None
        except PointError as error:
            self.failures += 1
            self._blame(error)
            return None
        return tuple(
            [
                None
                if name not in active
                else values.index(active[name])
                if number is None
                else cells[number]
                for name, number, values in self._columns
            ]
        )

    def _blame(self, error: PointError) -> None:
        if error.path in self.places:
            number = list(self.places).index(error.path)
            path, place = f"search.constraints.{number}", self.places[error.path]
        else:
            axis = next(axis for axis in self._all if axis.name == error.path)
            path, place = f"sweep.{axis.name}", axis.spot or axis.place
        self.problems.setdefault(error.path, Problem(place, path, str(error)))

    def filled(self) -> list[Axis]:
        """The axes, those of ranges and ties with the values that points have."""
        return [
            axis if axis.listed else replace(axis, values=values.nodes)
            for axis, (_, _, values) in zip(self.axes, self._columns, strict=True)
        ]


class _Values:
    """The different values that the points have on an axis that is not listed."""

    def __init__(self, axis: Axis) -> None:
        self.nodes: list[Node] = []
        self._axis = axis
        self._known: dict[Any, int] = {}

    def index(self, value: Any) -> int:
        key = (type(value), repr(value) if isinstance(value, dict | list) else value)
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = len(self.nodes)
            self.nodes.append(self._node(value))
        return number

    def _node(self, value: Any) -> Node:
        """The value where it stands in the file: in the table of a tie, or as the whole axis."""
        axis = self._axis
        for node in (axis.table or {}).values():
            if same(plain(node), value):
                return replace(node, key=axis.place)
        return Node(value, axis.spot or axis.place, axis.place)
