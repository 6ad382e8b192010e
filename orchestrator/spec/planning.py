"""Sweep and search → the space, and the design of points in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.spec.axes import MAX_RUNS, Axis
from orchestrator.spec.designs import Design, drawn
from orchestrator.spec.errors import Problem, SpecError
from orchestrator.spec.names import names_of
from orchestrator.spec.overrides import with_default
from orchestrator.spec.search import first_points, parse_search
from orchestrator.spec.searches import Grid, Search
from orchestrator.spec.sections import SWEPT
from orchestrator.spec.space import Space
from orchestrator.spec.spaces import listed_out, span
from orchestrator.spec.tree import Node, find, plain
from orchestrator.spec.varied import Choice

MOST_TRIED = 10_000
"""Combinations that are looked at where the sweep is wrong anyway."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a study searches, and where."""

    search: Search
    space: Space
    axes: list[Axis]
    """Those of the space, as they are written."""
    design: Design
    problems: list[Problem]


def planned(root: Node, axes: Sequence[Axis], seeds: int, found: Sequence[Problem]) -> Planned:
    """The space of the axes and the design of the search in it.

    Args:
        found: problems that the study has already.

    Raises:
        SpecError: there are too many runs.
    """
    assert isinstance(root.content, dict)
    own = "trainable" in root.content
    parsed = parse_search(root.content.get("search"))
    search = parsed.search or Grid()
    sweep = root.content.get("sweep")
    all_axes = list(sweep.content) if sweep and isinstance(sweep.content, dict) else []
    names = names_of(root, all_axes, own=own)
    finite, no_points = (
        listed_out(axes) if isinstance(search, Grid) and parsed.search else (list(axes), [])
    )
    spanned = span(finite, names, _base(root, own=own), parsed.constraints)
    first, wrong_first = first_points(parsed.first, spanned.space, names)
    problems = [*parsed.problems, *no_points, *spanned.problems, *wrong_first]
    search = replace(search, first=tuple(point.values for point in first))
    if not isinstance(search, Grid) and len(search.first) > search.runs:
        message = f"{len(search.first)} points, and runs is {search.runs}; it must be as many"
        problems.append(Problem(find(root, ["search", "first"]).place, "search.first", message))
    if parsed.search is not None and not isinstance(search, Grid) and not all_axes:
        message = f"{search.name} needs a sweep: there is no axis to draw"
        problems.append(Problem(find(root, ["search"]).place, "search", message))
    if problems or len(axes) < len(all_axes):
        design = _partly(spanned.axes)
    else:
        _limited(root, spanned.axes, search, seeds, found)
        places = {str(node.content): node.place for node in parsed.constraints}
        design = drawn(spanned.axes, spanned.space, search, first, places)
    return Planned(search, spanned.space, spanned.axes, design, problems + design.problems)


def _base(root: Node, *, own: bool) -> dict[str, Any]:
    """The sections as they are written, or at their defaults."""
    base = {}
    for name in ("config",) if own else SWEPT:
        whole = with_default(root, name, root.place)
        assert isinstance(whole.content, dict)
        base[name] = plain(whole.content.get(name, Node({}, root.place)))
    return base


def _partly(axes: Sequence[Axis]) -> Design:
    """Of a sweep that is wrong: what the lists in it would give, in part where that is much."""
    lists = [axis for axis in axes if axis.listed and axis.sets and not axis.when]
    sizes = [len(axis.values) for axis in lists]
    if math.prod(sizes) <= MOST_TRIED:
        return drawn(lists, _EMPTY, Grid())
    rows: list[Choice] = [
        tuple(index if i == number else 0 for i in range(len(lists)))
        for number, size in enumerate(sizes)
        for index in range(min(size, MOST_TRIED))
    ]
    return Design(lists, list(dict.fromkeys(rows)), [], "")


_EMPTY = Space(dimensions=(), order=(), base={})


def _limited(
    root: Node, axes: Sequence[Axis], search: Search, seeds: int, found: Sequence[Problem]
) -> None:
    if isinstance(search, Grid):
        parts = [(axis.name, len(axis.values)) for axis in axes if axis.tied is None]
    else:
        parts = [("search.runs", search.runs)]
    runs = math.prod(size for _, size in parts) * seeds
    if runs <= MAX_RUNS:
        return
    factors = " × ".join(f"{name} {size}" for name, size in [*parts, ("seeds", seeds)])
    section = "sweep" if isinstance(search, Grid) else "search"
    node = find(root, [section])
    node = node if node is not root else find(root, ["seeds"])
    message = f"{runs:,} runs ({factors}); at most {MAX_RUNS:,} are allowed"
    problem = Problem(node.key or node.place, section, message)
    raise SpecError([*found, problem])
