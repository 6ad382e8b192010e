"""Axes → the space that they span: names resolved, dependencies in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.spec.axes import MAX_RUNS, Axis
from orchestrator.spec.errors import Problem, listed, shown, suggestion
from orchestrator.spec.expressions import Expression, ExpressionError, parse_expression
from orchestrator.spec.names import NameProblemError, Names
from orchestrator.spec.space import (
    MISSING,
    Condition,
    Constraint,
    Dimension,
    Space,
    Tie,
    needs,
    same,
    touches,
)
from orchestrator.spec.tree import Node, plain

Part = Dimension | Tie


@dataclass(frozen=True, slots=True)
class Spanned:
    """A space, the axes that span it, and what is wrong with the others."""

    space: Space
    axes: list[Axis]
    problems: list[Problem]


def span(
    axes: Sequence[Axis],
    names: Names,
    base: Mapping[str, Any],
    constraints: Sequence[Node] = (),
) -> Spanned:
    """The space of the axes; those that are wrong are left out of it."""
    problems: list[Problem] = []
    parts: dict[str, Part] = {}
    for axis in axes:
        part = _part(axis, names, problems)
        if part is not None:
            parts[axis.name] = part
    order = _ordered(parts, axes, problems)
    kept = [axis for axis in axes if axis.name in {part.path for part in order}]
    chosen = [parts[axis.name] for axis in kept]
    space = Space(
        dimensions=tuple(part for part in chosen if isinstance(part, Dimension)),
        ties=tuple(part for part in chosen if isinstance(part, Tie)),
        constraints=tuple(_constraints(constraints, names, problems)),
        order=tuple(order),
        base=base,
    )
    problems += _unused(kept, space)
    for axis in kept:
        problems += _never_met(axis, parts[axis.name], space)
    return Spanned(space, kept, problems)


def listed_out(axes: Sequence[Axis]) -> tuple[list[Axis], list[Problem]]:
    """The axes of a grid: whole numbers and steps as lists; a continuous range is a problem."""
    found, problems = [], []
    for axis in axes:
        if axis.range is None:
            found.append(axis)
            continue
        count = axis.range.count()
        place = axis.spot or axis.place
        if count is not None and count <= MAX_RUNS:
            values = [Node(value, place, axis.place) for value in axis.range.points()]
            found.append(replace(axis, values=values, range=None))
            continue
        scale = "log" if axis.range.log else "linear"
        ends = shown([axis.range.low, axis.range.high])
        many = "no points that a grid could take" if count is None else f"{count:,} points"
        message = (
            f"{axis.range.kind} has {many}; write {{{scale}: {ends}, points: n}}, or search: "
            "{name: random, runs: n}"
        )
        problems.append(Problem(place, f"sweep.{axis.name}", message))
    return found, problems


def _part(axis: Axis, names: Names, problems: list[Problem]) -> Part | None:
    path = f"sweep.{axis.name}"
    conditions = []
    for name, node in axis.when:
        try:
            target = names.path(name)
        except NameProblemError as error:
            problems.append(Problem(node.key or node.place, path, f"when: {error}"))
            return None
        values = plain(node)
        values = tuple(values) if isinstance(values, list) else (values,)
        conditions.append(Condition(path=target, values=values))
    when = tuple(conditions)
    if axis.tied is None:
        values = () if axis.range else tuple(plain(value) for value in axis.values)
        return Dimension(path=axis.name, values=values, range=axis.range, when=when)
    try:
        meant = _meant(axis.tied, names)
    except NameProblemError as error:
        problems.append(Problem(axis.spot or axis.place, path, f"tied: {error}"))
        return None
    table = axis.table and {key: plain(node) for key, node in axis.table.items()}
    return Tie(path=axis.name, expression=axis.tied, names=meant, table=table, when=when)


def _meant(expression: Expression, names: Names) -> dict[str, str]:
    return {name: names.path(name) for name in expression.names}


def _constraints(
    nodes: Sequence[Node], names: Names, problems: list[Problem]
) -> Iterable[Constraint]:
    for index, node in enumerate(nodes):
        path = f"search.constraints.{index}"
        try:
            expression = parse_expression(str(node.content))
            yield Constraint(expression=expression, names=_meant(expression, names))
        except (ExpressionError, NameProblemError) as error:
            problems.append(Problem(node.place, path, str(error)))


def _ordered(
    parts: Mapping[str, Part], axes: Sequence[Axis], problems: list[Problem]
) -> list[Part]:
    """Each part after those that it depends on; parts in a circle are left out."""
    after = {
        name: {other for other in parts for path in needs(part) if touches(other, path)}
        for name, part in parts.items()
    }
    order: list[Part] = []
    left = dict(parts)
    while ready := [name for name in left if not after[name] & left.keys()]:
        order += [left.pop(name) for name in ready]
    if left:
        circle = _circle(after, left)
        axis = next(axis for axis in axes if axis.name == circle[0])
        way = " → ".join([*circle, circle[0]])
        message = f"depends on itself ({way}); tied and when must not lead back"
        problems.append(Problem(axis.spot or axis.place, f"sweep.{axis.name}", message))
    return order


def _circle(after: Mapping[str, set[str]], left: Mapping[str, Part]) -> list[str]:
    """Of parts that all depend on some of them, a few that depend on each other in turn."""
    way = [next(iter(left))]
    while True:
        step = next(name for name in left if name in after[way[-1]])
        if step in way:
            return way[way.index(step) :]
        way.append(step)


def _never_met(axis: Axis, part: Part, space: Space) -> list[Problem]:
    """Values of a condition that the path cannot have, as far as that is known."""
    problems = []
    for condition, (name, node) in zip(part.when, axis.when, strict=True):
        possible = _possible(condition.path, space)
        for value in condition.values if possible is not None else ():
            assert possible is not None
            if any(same(value, other) for other in possible):
                continue
            texts = [shown(other) for other in possible]
            allowed = f"one of {listed(texts)}" if texts else "a value that it can have"
            close = suggestion(value, texts) if isinstance(value, str) else ""
            message = f"when {name} must be {allowed}, got {shown(value)}{close}"
            problems.append(Problem(node.place, f"sweep.{axis.name}", message))
    return problems


def _possible(path: str, space: Space) -> list[Any] | None:
    """The values at ``path`` over the space; None where they are not listed."""
    found: list[Any] = []
    touching = [part for part in space.order if touches(part.path, path)]
    if any(isinstance(part, Tie) or part.range is not None for part in touching):
        return None
    if any(len(part.path) > len(path) for part in touching):
        return None
    settings: list[dict[str, Any]] = [{}] if not touching or _may_be_off(touching) else []
    for part in touching:
        assert isinstance(part, Dimension)
        settings += [{part.path: value} for value in part.values]
    for setting in settings:
        value = space.value(path, setting)
        if value is not MISSING and not any(same(value, other) for other in found):
            found.append(value)
    return found


def _unused(axes: Sequence[Axis], space: Space) -> list[Problem]:
    """Variables that nothing hangs on."""
    used = {path for part in space.order for path in needs(part)}
    used |= {path for constraint in space.constraints for path in constraint.names.values()}
    message = "is a variable that nothing uses; write it in tied, when or constraints"
    return [
        Problem(axis.place, f"sweep.{axis.name}", message)
        for axis in axes
        if not axis.sets and axis.name not in used
    ]


def _may_be_off(parts: Sequence[Part]) -> bool:
    return all(part.when for part in parts)
