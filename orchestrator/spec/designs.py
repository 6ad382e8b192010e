"""A space and a search → the points of a design, each as indices into the axes' values."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.axes import Axis
from orchestrator.spec.collector import Collector
from orchestrator.spec.errors import Place, Problem, listed
from orchestrator.spec.searches import Grid, Pbt, Random, Search, Sobol
from orchestrator.spec.space import Space
from orchestrator.spec.varied import Choice

SAMPLE = 256
"""Points of an adaptive search's space that are checked when the study is loaded."""
MAX_MISSES = 2000
"""Drawing ends after so many points in a row that are refused or known already."""
MAX_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class Design:
    """Points, as indices into the values of ``axes``; None where an axis is not there."""

    axes: list[Axis]
    rows: list[Choice]
    problems: list[Problem]
    line: str
    """The design in words."""


@dataclass(frozen=True, slots=True)
class First:
    """A point to try first, and where it is written."""

    place: Place
    path: str
    cells: dict[str, Any]
    """Dimension → cell."""
    values: dict[str, Any]
    """Dimension → value."""


def drawn(
    axes: Sequence[Axis],
    space: Space,
    search: Search,
    first: Sequence[First] = (),
    places: Mapping[str, Place] | None = None,
) -> Design:
    """The design of ``search``; of an adaptive one, a sample of its space.

    Args:
        places: constraint → where it stands.
    """
    if isinstance(search, Grid) and space.plain and not first:
        sizes = [range(len(axis.values)) for axis in axes]
        rows: list[Choice] = list(itertools.product(*sizes))
        return Design(list(axes), rows, [], f"grid, {_count(len(rows))}")
    collector = Collector(axes, space, places or {})
    problems = _tried_first(collector, search, first)
    line = _grid(collector) if isinstance(search, Grid) else _draw(collector, search)
    problems += collector.problems.values()
    if not problems and (short := _too_few(collector, search)):
        spot = next(iter(collector.places.values()))
        problems.append(Problem(spot, "search.constraints", short))
    return Design(collector.filled(), list(collector.rows), problems, line)


def _count(number: int) -> str:
    return f"{number:,} configuration{'' if number == 1 else 's'}"


def _tried_first(collector: Collector, search: Search, first: Sequence[First]) -> list[Problem]:
    """Adds the points to try first; axes that they leave out are drawn, but not in a grid."""
    problems = []
    fill = random.Random(f"first {getattr(search, 'seed', 0)}")  # noqa: S311
    for point in first:
        wrong = _placed(collector, point, fill, whole=isinstance(search, Grid))
        if wrong:
            problems.append(Problem(point.place, point.path, wrong))
    collector.refused = collector.repeated = 0
    return problems


def _placed(collector: Collector, point: First, fill: random.Random, *, whole: bool) -> str | None:
    """Adds one point; why that cannot be.

    Args:
        whole: nothing of it may be drawn.
    """
    dimensions = collector.space.dimensions
    missing = [dimension for dimension in dimensions if dimension.path not in point.cells]
    for _ in range(MAX_MISSES if missing else 1):
        drawn = {d.path: d.cell(fill.random()) for d in missing}
        row = collector.row(tuple((drawn | point.cells)[d.path] for d in dimensions))
        if row is None:
            continue
        there = [
            axis.name for axis, index in zip(collector.axes, row, strict=True) if index is not None
        ]
        if whole and (left_out := [d.path for d in missing if d.path in there]):
            return f"needs a value of {listed(left_out, last='and')}, as a grid draws none"
        collector.rows.setdefault(row)
        return None
    return "is refused by the constraints; leave it out, or change them"


def _grid(collector: Collector) -> str:
    sizes = [range(len(dimension.values)) for dimension in collector.space.dimensions]
    for cells in itertools.product(*sizes):
        collector.add(cells)
        if collector.failures >= MAX_FAILURES:
            break
    line = f"grid, {_count(len(collector.rows))}"
    if refused := len(collector.refused_rows):
        line += f"; constraints refuse {refused:,} of {len(collector.rows) + refused:,} points"
    return line


def _draw(collector: Collector, search: Search) -> str:
    assert not isinstance(search, Grid)
    runs = search.runs if isinstance(search, Random | Sobol | Pbt) else min(search.runs, SAMPLE)
    misses = 0
    for unit in _units(search, len(collector.space.dimensions)):
        if len(collector.rows) >= runs or misses >= MAX_MISSES:
            break
        if collector.failures >= MAX_FAILURES:
            break
        cells = tuple(
            dimension.cell(share)
            for dimension, share in zip(collector.space.dimensions, unit, strict=True)
        )
        misses = 0 if collector.add(cells) else misses + 1
    if not isinstance(search, Random | Sobol | Pbt):
        return f"{search.name}, {_count(search.runs)}"
    return _in_words(search, collector)


def _in_words(search: Random | Sobol | Pbt, collector: Collector) -> str:
    rows = len(collector.rows)
    line = f"{search.name}, {_count(rows)}, seed {search.seed}"
    if rows < search.runs:
        line += f"; the space has no more that differ ({search.runs:,} were asked for)"
    if collector.refused:
        line += f"; constraints refuse {collector.refused:,} of the points drawn"
    if isinstance(search, Sobol) and rows & (rows - 1):
        line += f"; evener with a power of two ({2 ** (rows.bit_length() - 1)} or "
        line += f"{2 ** rows.bit_length()})"
    return line


def _too_few(collector: Collector, search: Search) -> str | None:
    """Why there are not enough points, where that is the constraints' doing."""
    rows, refused = len(collector.rows), collector.refused
    if isinstance(search, Grid):
        points = "point" if len(collector.refused_rows) == 1 else "points"
        return (
            None if rows else f"allow none of the grid's {len(collector.refused_rows):,} {points}"
        )
    wanted = search.runs if isinstance(search, Random | Sobol | Pbt) else 1
    if rows >= wanted or refused <= collector.repeated:
        return None
    total = rows + refused + collector.repeated
    found = f"allow {rows:,} of {total:,} points drawn, and {wanted:,} are wanted"
    return f"{found}; widen them, or narrow the axes"


def _units(search: Search, dimensions: int) -> Iterable[Sequence[float]]:
    seed = getattr(search, "seed", 0)
    if isinstance(search, Sobol) and dimensions:
        return _sobol(seed, dimensions)
    return _uniform(seed, dimensions)


def _uniform(seed: int, dimensions: int) -> Iterator[list[float]]:
    """Points of the unit cube, the same on every machine and in every version of Python."""
    generator = random.Random(seed)  # noqa: S311
    while True:
        yield [generator.random() for _ in range(dimensions)]


def _sobol(seed: int, dimensions: int) -> Iterator[Sequence[float]]:
    """Scrambled Sobol' points, made in powers of two as their balance asks for."""
    from scipy.stats import qmc  # takes a second, and only this search needs it

    engine = qmc.Sobol(dimensions, scramble=True, rng=seed)
    power = 8
    yield from engine.random_base2(power).tolist()
    while True:
        yield from engine.random_base2(power).tolist()
        power += 1
