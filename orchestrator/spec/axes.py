"""The ``sweep`` section → axes: a path and the values that it takes, each with its place."""

from __future__ import annotations

import difflib
import keyword
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.spec.errors import Place, Problem, listed, shown, suggestion
from orchestrator.spec.expressions import Expression, ExpressionError, parse_expression
from orchestrator.spec.grids import linear_grid, log_grid
from orchestrator.spec.ranges import Range
from orchestrator.spec.searches import MAX_RUNS as MAX_RUNS
from orchestrator.spec.sections import CLASSES, SWEPT, keys_of
from orchestrator.spec.tree import Node, plain

GRIDS: dict[str, Callable[[float, float, int], list[float]]] = {
    "log": log_grid,
    "linear": linear_grid,
}
RANGES = ("uniform", "log_uniform", "integer", "log_integer")
LISTS = ("values", "choice")
EXTRAS: dict[str, tuple[str, ...]] = {
    "tied": ("values",),  # first: a table of values goes with it
    **dict.fromkeys(LISTS, ()),
    **dict.fromkeys(GRIDS, ("points",)),
    **dict.fromkeys(RANGES, ("step",)),
}
"""Kinds of axes → the keys that go with them; ``when`` goes with all."""
MAX_STEPS = 10**12
LET = "let"
"""Where axes stand that set nothing: variables for ties and constraints."""
ALLOWED = (
    "a list of values, {log: [a, b], points: n}, {linear: [a, b], points: n}, {values: […]}, "
    "{choice: […]}, {uniform: [a, b]}, {log_uniform: [a, b]}, {integer: [a, b]}, "
    "{log_integer: [a, b]} or {tied: …}"
)
SEEDS_ARE_NO_AXIS = "seeds are no axis; write seeds: n or seeds: [0, 1, 2] beside sweep"


class AxisError(Exception):
    """A message (first argument) about a node (second argument) of an axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies: by a list of values, a range of numbers, or with others."""

    path: tuple[str, ...]
    place: Place
    """Where its path stands."""
    values: list[Node]
    """Those of a list or a grid; what a design has drawn of a range, or computed of a tie."""
    range: Range | None = None
    tied: Expression | None = None
    table: Mapping[str, Node] | None = None
    """Of a tie that looks its value up: what each value of the expression stands for."""
    spot: Place | None = None
    """Where a range or a tie is written."""
    when: tuple[tuple[str, Node], ...] = ()
    """Names of paths, and the value or values that they must have for the axis to be there."""

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def sets(self) -> bool:
        """It decides something of a run, and is no variable."""
        return self.path[0] != LET

    @property
    def listed(self) -> bool:
        """Its values were written, or are a grid's."""
        return self.range is None and self.tied is None


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
        is_variable = name.split(".")[0] == LET
        if wrong := (_wrong_variable if is_variable else wrong_path or _wrong_path)(name):
            problems.append(Problem(place, f"sweep.{name}", wrong))
            continue
        try:
            axis = _axis(Axis(tuple(name.split(".")), place, []), node)
        except AxisError as fault:
            message, faulty = fault.args
            problems.append(Problem(faulty.place, f"sweep.{name}", message))
        else:
            values = [replace(value, key=place) for value in axis.values]
            axes.append(replace(axis, values=values))
    return axes, problems


def _wrong_variable(name: str) -> str | None:
    key = name.partition(".")[2]
    if key.isidentifier() and not keyword.iskeyword(key):
        return None
    return "a variable is let. and a name of letters, digits and _, such as let.base_lr"


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


def _axis(axis: Axis, node: Node) -> Axis:
    """``axis``, of which the path is known, with what ``node`` says."""
    content = node.content
    if not isinstance(content, dict):
        return replace(axis, values=_list(node))
    kind = next((key for key in EXTRAS if key in content), None)
    if kind is None:
        close = "".join(suggestion(key, [*EXTRAS]) for key in content)
        raise AxisError(f"must be {ALLOWED}, got {shown(plain(node))}{close}", node)
    _only(kind, content, node)
    inner = content[kind]
    axis = replace(axis, spot=inner.place, when=_when(content.get("when")))
    if kind in GRIDS:
        return replace(axis, values=_grid(kind, node, content))
    if kind in RANGES:
        return replace(axis, range=_range(kind, node, content))
    if kind == "tied":
        return replace(axis, tied=_tied(inner), table=_table(content.get("values")))
    return replace(axis, values=_list(inner))


def _only(kind: str, content: dict[str, Node], node: Node) -> None:
    """No keys but those that go with ``kind``."""
    allowed = (*EXTRAS[kind], "when")
    extra = [key for key in content if key not in (kind, *allowed)]
    if not extra:
        return
    if kind in LISTS:
        raise AxisError(f"{kind} stands alone, without {listed(extra, last='and')}", node)
    hint = "; write log or linear for points" if "points" in extra else ""
    close = "".join(suggestion(key, allowed) for key in extra)
    message = f"{kind} goes with {listed(allowed, last='and')}, not with {listed(extra)}"
    raise AxisError(message + (hint or close), node)


def _list(node: Node) -> list[Node]:
    content = node.content
    if not isinstance(content, list):
        raise AxisError(f"must be {ALLOWED}, got {shown(plain(node))}", node)
    if not content:
        raise AxisError("is empty; an axis has at least one value", node)
    return content


def _grid(scale: str, node: Node, content: dict[str, Node]) -> list[Node]:
    ends = content[scale]
    low, high = _ends(scale, ends)
    points = _points(node, content, low == high)
    return [Node(value, ends.place) for value in GRIDS[scale](low, high, points)]


def _ends(scale: str, node: Node) -> tuple[float, float]:
    bound = " above 0" if scale.startswith("log") else ""
    what = "two whole numbers" if scale.endswith("integer") else "two numbers"
    ends = plain(node)
    kinds = int if scale.endswith("integer") else int | float
    numbers = (
        isinstance(ends, list)
        and len(ends) == 2
        and all(isinstance(end, kinds) and not isinstance(end, bool) for end in ends)
    )
    if not numbers or (bound and min(ends) <= 0):
        raise AxisError(f"{scale} must be {what}{bound}, [a, b], got {shown(ends)}", node)
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


def _range(kind: Any, node: Node, content: dict[str, Node]) -> Range:
    low, high = _ends(kind, content[kind])
    if not low < high:
        got = shown(plain(content[kind]))
        raise AxisError(f"{kind} must be [a, b] with a below b, got {got}", content[kind])
    if not math.isfinite(float(high) - float(low)):
        raise AxisError(f"{kind} is too wide a range of numbers", content[kind])
    step = content.get("step")
    return Range(
        kind=kind,
        low=low,
        high=high,
        step=None if step is None else _step(step, kind, float(high) - float(low)),
    )


def _step(node: Node, kind: str, width: float) -> float:
    step = node.content
    whole = kind.endswith("integer")
    fits = isinstance(step, int if whole else int | float) and not isinstance(step, bool)
    if not fits or not isinstance(step, int | float) or not 0 < step <= width:
        allowed = f"a {'whole ' if whole else ''}number above 0, at most {width:g}"
        raise AxisError(f"step must be {allowed}, got {shown(plain(node))}", node)
    if not width / step <= MAX_STEPS:
        raise AxisError(f"step must be at least {width / MAX_STEPS:g}, got {step}", node)
    return step


def _tied(node: Node) -> Expression:
    if isinstance(node.content, bool) or not isinstance(node.content, str):
        example = '"0.1 * train.batch_size / 256"'
        raise AxisError(f"tied must be a text such as {example}, got {shown(plain(node))}", node)
    try:
        return parse_expression(node.content)
    except ExpressionError as error:
        raise AxisError(f"tied {error}", node) from None


def _table(node: Node | None) -> Mapping[str, Node] | None:
    if node is None:
        return None
    if not isinstance(node.content, dict) or not node.content:
        message = "values beside tied must be a mapping of what it may be to what that stands for"
        raise AxisError(
            f"{message}, such as {{sgd: 0.1, adam: 0.001}}, got {shown(plain(node))}", node
        )
    return node.content


def _when(node: Node | None) -> tuple[tuple[str, Node], ...]:
    if node is None:
        return ()
    if not isinstance(node.content, dict) or not node.content:
        message = (
            f"when must be a mapping such as {{optimizer.name: sgd}}, got {shown(plain(node))}"
        )
        raise AxisError(message, node)
    for name, value in node.content.items():
        values = value.content if isinstance(value.content, list) else [value]
        if not values or any(isinstance(item.content, dict | list) for item in values):
            got = shown(plain(value))
            raise AxisError(f"when {name} must be a value or a list of values, got {got}", value)
    return tuple(node.content.items())
