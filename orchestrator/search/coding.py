"""Values of a dimension ↔ the numbers that a searcher deals in."""

from __future__ import annotations

from typing import Any

from orchestrator.spec.ranges import Range
from orchestrator.spec.space import Dimension as Dimension
from orchestrator.spec.space import PointError, Space, same

_DIGITS = 6


def stepped(dimension: Dimension) -> bool:
    """Its searcher counts steps, from 0: evenly spaced numbers of a linear range."""
    found = dimension.range
    return found is not None and found.step is not None and not found.log


def encode(dimension: Dimension, value: Any) -> Any:
    """What a searcher has for a value of the dimension: an index, a count of steps, a number."""
    found = dimension.range
    if found is None:
        return next(i for i, other in enumerate(dimension.values) if same(other, value))
    if stepped(dimension):
        assert found.step is not None
        return round((value - found.low) / found.step)
    return int(value) if found.whole else float(value)


def decode(dimension: Dimension, number: float) -> Any:
    """The value that a searcher means; numbers as a reader wants them."""
    found = dimension.range
    if found is None:
        return dimension.values[round(number)]
    if stepped(dimension):
        return found.points()[round(number)]
    return _written(found, float(number))


def _written(found: Range, number: float) -> float:
    """The nearest number of the range; of a continuous one, to six significant digits."""
    number = min(max(number, float(found.low)), float(found.high))
    if found.step is not None:
        nearest = round((number - found.low) / found.step)
        return found.points()[min(nearest, len(found.points()) - 1)]
    if found.whole:
        return round(number)
    return min(max(float(f"{number:.{_DIGITS}g}"), float(found.low)), float(found.high))


def lies_in(space: Space, point: dict[str, Any]) -> bool:
    """Whether each value of the point is one of the space's; axes may be missing."""
    dimensions = {dimension.path: dimension for dimension in space.dimensions}
    return all(
        path in dimensions and _holds(dimensions[path], value) for path, value in point.items()
    )


def _holds(dimension: Dimension, value: Any) -> bool:
    if dimension.range is not None:
        return dimension.range.holds(value)
    return any(same(other, value) for other in dimension.values)


def point_of(space: Space, config: dict[str, Any]) -> dict[str, Any] | None:
    """The point of a configuration, as plain data; None where it has none.

    The configuration of the point that is found may still be another one: compare them.
    """
    found: dict[str, Any] = {}

    def choose(dimension: Dimension) -> Any:
        written = _at(config, dimension.path)
        if dimension.range is not None:
            if dimension.range.whole and isinstance(written, float) and written.is_integer():
                written = int(written)  # epochs, say, are kept as a real number
            candidates = [written] if _holds(dimension, written) else []
        else:
            candidates = [value for value in dimension.values if _within(value, written)]
        if not candidates:
            raise PointError(f"{dimension.path} has no such value", dimension.path)
        found[dimension.path] = candidates[0]
        return candidates[0]

    try:
        space.walk(choose)
    except PointError:
        return None
    return found


def _at(config: Any, path: str) -> Any:
    for key in path.split("."):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _within(value: Any, whole: Any) -> bool:
    """Whether all that is written in ``value`` stands in ``whole``, which has defaults, too."""
    if isinstance(value, dict):
        return isinstance(whole, dict) and all(_within(v, whole.get(k)) for k, v in value.items())
    return same(whole, value)
