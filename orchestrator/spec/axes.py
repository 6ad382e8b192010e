"""The ``sweep`` section → axes: a path and the values that it takes, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.spec.errors import Place, Problem, listed, shown, suggestion
from orchestrator.spec.grids import linear_grid, log_grid
from orchestrator.spec.sections import CLASSES, SWEPT, keys_of
from orchestrator.spec.tree import Node, plain

MAX_RUNS = 1_000_000
GRIDS: dict[str, Callable[[float, float, int], list[float]]] = {
    "log": log_grid,
    "linear": linear_grid,
}
SEARCHED = ("log_uniform", "uniform", "integer", "choice", "tied")
"""Axes of the design that need a search, which this version does not have."""
ALLOWED = "a list of values, {log: [a, b], points: n}, {linear: [a, b], points: n} or {values: […]}"
SEEDS_ARE_NO_AXIS = "seeds are no axis; write seeds: n or seeds: [0, 1, 2] beside sweep"


class AxisError(Exception):
    """A message (first argument) about a node (second argument) of an axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies."""

    path: tuple[str, ...]
    place: Place
    """Where its path stands."""
    values: list[Node]

    @property
    def name(self) -> str:
        return ".".join(self.path)


def parse_axes(
    sweep: Node | None, *, wrong_path: Callable[[str], str | None] | None = None
) -> tuple[list[Axis], list[Problem]]:
    """The axes in the order of the file, and what is wrong with the others.

    Args:
        wrong_path: why no axis can have this path; by default those of the sections that decide
            what a run computes.
    """
    if sweep is None:
        return [], []
    if not isinstance(sweep.content, dict):
        message = "must be a mapping of paths to axes, such as {optimizer.lr: [0.1, 0.2]}"
        return [], [Problem(sweep.place, "sweep", message)]
    axes: list[Axis] = []
    problems: list[Problem] = []
    for name, node in sweep.content.items():
        place = node.key or node.place
        if wrong := (wrong_path or _wrong_path)(name):
            problems.append(Problem(place, f"sweep.{name}", wrong))
            continue
        try:
            values = [replace(value, key=place) for value in _values(node)]
        except AxisError as fault:
            message, faulty = fault.args
            problems.append(Problem(faulty.place, f"sweep.{name}", message))
        else:
            axes.append(Axis(tuple(name.split(".")), place, values))
    return axes, problems


def _wrong_path(name: str) -> str | None:
    """Why no axis can have this path, as far as its section shows."""
    section, *rest = name.split(".")
    if section in ("seed", "seeds"):
        return SEEDS_ARE_NO_AXIS
    if section == "study" or (section in CLASSES and section not in SWEPT):
        return f"{section} is the same for all runs; only {listed(SWEPT)} can be swept"
    if section not in SWEPT:
        return f"no such path; an axis starts with {listed(SWEPT)}{_similar_path(name)}"
    if not all(rest):
        return "a path is keys joined by single dots, such as optimizer.lr"
    return None


def _similar_path(name: str) -> str:
    paths = [f"{section}.{key}" for section in SWEPT for key in keys_of(section)]
    ends = [path for path in paths if path.split(".")[1] == name]
    close = ends or difflib.get_close_matches(name, [*SWEPT, *paths], n=1)
    return f"; did you mean {listed(close)}?" if close else ""


def _values(node: Node) -> list[Node]:
    content = node.content
    if isinstance(content, dict) and "values" in content:
        if extra := [key for key in content if key != "values"]:
            raise AxisError(f"values stands alone, without {listed(extra, last='and')}", node)
        node = content["values"]
        content = node.content
    elif isinstance(content, dict):
        return _grid(node, content)
    if not isinstance(content, list):
        raise AxisError(f"must be {ALLOWED}, got {shown(plain(node))}", node)
    if not content:
        raise AxisError("is empty; an axis has at least one value", node)
    return content


def _grid(node: Node, content: dict[str, Node]) -> list[Node]:
    for key in content:
        if key in SEARCHED:
            raise AxisError(f"{key} is not available in this version; write {ALLOWED}", node)
    scale = next((key for key in GRIDS if key in content), None)
    if scale is None or set(content) - {scale, "points"}:
        close = "".join(
            suggestion(key, [*GRIDS, "points", "values"])
            for key in content
            if key not in (*GRIDS, "points")
        )
        raise AxisError(f"must be {ALLOWED}, got {shown(plain(node))}{close}", node)
    ends = content[scale]
    low, high = _ends(scale, ends)
    points = _points(node, content, low == high)
    return [Node(value, ends.place) for value in GRIDS[scale](low, high, points)]


def _ends(scale: str, node: Node) -> tuple[float, float]:
    bound = " above 0" if scale == "log" else ""
    ends = plain(node)
    numbers = (
        isinstance(ends, list)
        and len(ends) == 2
        and all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    )
    if not numbers or (scale == "log" and min(ends) <= 0):
        raise AxisError(f"{scale} must be two numbers{bound}, [a, b], got {shown(ends)}", node)
    return ends[0], ends[1]


def _points(node: Node, content: dict[str, Node], one: bool) -> int:
    """``one``: the ends are equal, so that there is one point to have."""
    if "points" not in content:
        raise AxisError("points is required: how many values, a whole number at least 2", node)
    points = content["points"].content
    fits = isinstance(points, int) and not isinstance(points, bool)
    allowed = "1, as both ends are equal" if one else f"a whole number from 2 to {MAX_RUNS:,}"
    if (
        not isinstance(points, int)
        or not fits
        or not (points == 1 if one else 2 <= points <= MAX_RUNS)
    ):
        got = shown(plain(content["points"]))
        raise AxisError(f"points must be {allowed}, got {got}", content["points"])
    return points
