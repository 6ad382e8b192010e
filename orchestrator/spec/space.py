"""The space that a study searches: what varies, on what that depends, and what must hold."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec.errors import listed, shown
from orchestrator.spec.expressions import Expression, ExpressionError, evaluate
from orchestrator.spec.ranges import Range
from orchestrator.spec.sections import default

MISSING: Any = object()


class PointError(Exception):
    """Why a point is no configuration."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        """The axis that it hangs on, where it is one."""


class RefusedError(PointError):
    """A constraint does not hold at the point."""

    def __init__(self, message: str, active: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.active = active
        """What the point sets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """An axis is there only where the value at ``path`` is one of ``values``."""

    path: str
    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dimension:
    """An axis that is chosen: one of ``values``, or a number of ``range``."""

    path: str
    values: tuple[Any, ...] = ()
    """Plain data: scalars, lists or mappings."""
    range: Range | None = None
    when: tuple[Condition, ...] = ()

    def cell(self, share: float) -> Any:
        """For a share in [0, 1] the number, or the index of the value."""
        if self.range is not None:
            return self.range.at(share)
        return min(int(share * len(self.values)), len(self.values) - 1)

    def value(self, cell: Any) -> Any:
        return cell if self.range is not None else self.values[cell]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tie:
    """An axis that follows from others: it adds no dimension."""

    path: str
    expression: Expression
    names: Mapping[str, str]
    """The names in the expression → the paths that they mean."""
    table: Mapping[str, Any] | None = None
    """What each value of the expression, as text, stands for; None where it is the value."""
    when: tuple[Condition, ...] = ()

    def looked_up(self, found: Any) -> Any:
        """The value of the axis where ``found`` is the expression's.

        Raises:
            ExpressionError: the table has no such entry.
        """
        if self.table is None:
            return found
        key = str(found)
        if isinstance(found, bool) or key not in self.table:
            raise ExpressionError(f"values must have {shown(found)}, and has {listed(self.table)}")
        return self.table[key]


@dataclass(frozen=True, kw_only=True, slots=True)
class Constraint:
    """What must hold at each point."""

    expression: Expression
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What a study varies, around the configuration that it varies."""

    dimensions: tuple[Dimension, ...]
    """In the order of the file."""
    ties: tuple[Tie, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    order: tuple[Dimension | Tie, ...]
    """Dimensions and ties, each after those that it depends on."""
    base: Mapping[str, Any]
    """The sections as they are written, as plain data."""

    def point(self, unit: Sequence[float]) -> dict[str, Any]:
        """A point of the unit cube, one coordinate a dimension, as values: path → value.

        Conditions are not looked at: every dimension has a value.
        """
        return {
            dimension.path: dimension.value(dimension.cell(share))
            for dimension, share in zip(self.dimensions, unit, strict=True)
        }

    @property
    def plain(self) -> bool:
        """Every combination is a point as it stands."""
        bound = [d for d in self.dimensions if d.when or d.path.startswith("let.")]
        parts = [*self.ties, *self.constraints, *bound]
        return not parts

    @property
    def finite(self) -> bool:
        """All of its dimensions are listed."""
        return all(dimension.range is None for dimension in self.dimensions)

    def resolved(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What the point sets: without inactive axes, with those that are tied.

        Raises:
            RefusedError: a constraint does not hold.
            PointError: an axis has no value.
        """

        def choose(dimension: Dimension) -> Any:
            if dimension.path not in point:
                raise PointError(f"{dimension.path} has no value", dimension.path)
            return point[dimension.path]

        active = self.walk(choose)
        for constraint in self.constraints:
            if not self._satisfied(constraint, active):
                raise RefusedError(f"does not satisfy {constraint.expression.text}", active)
        return active

    def walk(self, choose: Callable[[Dimension], Any]) -> dict[str, Any]:
        """Axis → value, of a point whose values ``choose`` gives: asked for each dimension that
        is there, after those that it depends on. Constraints are not looked at.

        Raises:
            PointError: a tie cannot be evaluated.
        """
        active: dict[str, Any] = {}
        for part in self.order:
            if not self.there(part, active):
                continue
            active[part.path] = self._tied(part, active) if isinstance(part, Tie) else choose(part)
        return active

    def there(self, part: Dimension | Tie, active: Mapping[str, Any]) -> bool:
        """Whether the conditions of an axis hold; ``active`` has those before it in ``order``."""
        for condition in part.when:
            found = self.value(condition.path, active)
            if not any(same(found, value) for value in condition.values):
                return False
        return True

    def _tied(self, tie: Tie, active: Mapping[str, Any]) -> Any:
        try:
            return tie.looked_up(
                evaluate(tie.expression, lambda name: self._looked_up(tie.names[name], active))
            )
        except ExpressionError as error:
            raise PointError(f"{error} (in {tie.expression.text})", tie.path) from None

    def _satisfied(self, constraint: Constraint, active: Mapping[str, Any]) -> bool:
        text, names = constraint.expression.text, constraint.names
        try:
            holds = evaluate(
                constraint.expression, lambda name: self._looked_up(names[name], active)
            )
        except ExpressionError as error:
            raise PointError(f"{error} (in {text})", text) from None
        if not isinstance(holds, bool):
            raise PointError(f"must be true or false, such as a < b, got {shown(holds)}", text)
        return holds

    def _looked_up(self, path: str, active: Mapping[str, Any]) -> Any:
        found = self.value(path, active)
        if found is MISSING:
            at = [f"{name} = {shown(value)}" for name, value in active.items()]
            where = f" with {listed(at, last='and')}" if at else ""
            raise ExpressionError(f"needs {path}, which has no value{where}")
        return found

    def value(self, path: str, active: Mapping[str, Any]) -> Any:
        """The value at ``path`` where ``active`` is set: its axis's, the base's, the default;
        ``MISSING`` where there is none."""
        for above, rest in _prefixes(path):
            if above in active:
                found = _inside(active[above], rest)
                break
        else:
            found = _inside(self.base, path.split("."))
        section, *keys = path.split(".")
        if found is MISSING and len(keys) == 1 and keys != ["name"]:
            return default(section, self.value(f"{section}.name", active), keys[0], MISSING)
        return found


def same(found: Any, value: Any) -> bool:
    """Equal, and both or neither true or false."""
    return isinstance(found, bool) == isinstance(value, bool) and bool(found == value)


@functools.lru_cache(maxsize=1024)
def _prefixes(path: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The path and those above it, longest first, each with what is left below."""
    keys = tuple(path.split("."))
    return tuple((".".join(keys[:n]), keys[n:]) for n in range(len(keys), 0, -1))


def _inside(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return value


def touches(first: str, second: str) -> bool:
    """One of the paths is, or stands above, the other."""
    a, b = first.split("."), second.split(".")
    return a[: len(b)] == b or b[: len(a)] == a


def needs(part: Dimension | Tie) -> Iterator[str]:
    """The paths that an axis depends on."""
    for condition in part.when:
        yield condition.path
    if isinstance(part, Tie):
        yield from part.names.values()
