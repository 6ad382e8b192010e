"""Configurations as points of the unit cube of a study's space: what is near to what."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.spec.space import Dimension, Space, same
from trainables.configs.base import to_plain

FloatArray = npt.NDArray[np.float64]
_FACTOR = 5.0
"""Positive numbers whose largest is so many times the smallest lie on a logarithmic scale."""


class Coordinates:
    """One coordinate in [0, 1] for each axis; NaN where a configuration does not have it.

    Numbers lie between the least and the largest of their axis, on a logarithmic scale where its
    range has one or its list spans a factor of 5. Other values, such as a model or a schedule,
    have their place in the list; the distance between two of these is 1.
    """

    def __init__(self, space: Space | None) -> None:
        dimensions = () if space is None else space.dimensions
        self.paths = tuple(dimension.path for dimension in dimensions)
        self._axes = [_Axis(dimension) for dimension in dimensions]
        self.ordered = np.array([axis.numeric for axis in self._axes], dtype=bool)

    def of(self, config: Any) -> tuple[float, ...]:
        """Of a run, or of one as plain data."""
        return tuple(
            axis.place(value_at(config, path))
            for path, axis in zip(self.paths, self._axes, strict=True)
        )

    def distances(self, point: Sequence[float], others: FloatArray) -> FloatArray:
        """Euclidean distances from a point to each row of ``others``, (n,)."""
        here = np.asarray(point, dtype=float)
        apart = np.abs(others - here)
        apart = np.where(self.ordered, apart, (others != here).astype(float))
        neither = np.isnan(others) & np.isnan(here)
        apart = np.where(neither, 0.0, np.where(np.isnan(apart), 1.0, apart))
        found: FloatArray = np.sqrt((apart**2).sum(axis=1))
        return found


class _Axis:
    """One axis, and the places of the values that were asked for."""

    def __init__(self, dimension: Dimension) -> None:
        self._values = dimension.values
        numbers = _numbers(dimension)
        self.numeric = bool(numbers)
        self._low, self._high, self._log = 0.0, 1.0, False
        if numbers:
            low, high = float(min(numbers)), float(max(numbers))
            written = dimension.range.log if dimension.range is not None else high >= _FACTOR * low
            self._log = low > 0 and written
            self._low, self._high = self._scaled(low), self._scaled(high)
        self._known: dict[str, float] = {}

    def place(self, value: Any) -> float:
        if value is None:
            return math.nan
        if self.numeric and isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(float(value))
        plain = to_plain(value)
        text = json.dumps(plain, sort_keys=True, default=str)
        if text not in self._known:
            self._known[text] = self._listed(plain)
        return self._known[text]

    def _number(self, value: float) -> float:
        if self._log and value <= 0:
            return math.nan
        span = self._high - self._low
        return (self._scaled(value) - self._low) / span if span else 0.5

    def _scaled(self, value: float) -> float:
        return math.log(value) if self._log else value

    def _listed(self, plain: Any) -> float:
        last = max(1, len(self._values) - 1)
        places = [k / last for k, value in enumerate(self._values) if _within(value, plain)]
        return places[0] if places else math.nan


def _numbers(dimension: Dimension) -> list[float]:
    """The ends of its range, or its values where all of them are numbers."""
    if dimension.range is not None:
        return [dimension.range.low, dimension.range.high]
    plain = [v for v in dimension.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return plain if len(plain) == len(dimension.values) else []


def value_at(config: Any, path: str) -> Any:
    """What stands at a dotted path of a run or of plain data; None where nothing does."""
    for key in path.split("."):
        found = config.get if isinstance(config, Mapping) else functools.partial(getattr, config)
        config = found(key, None)
    return config


def _within(value: Any, whole: Any) -> bool:
    """Whether all that is written in ``value`` stands in ``whole``, which has defaults, too."""
    if not isinstance(value, Mapping):
        return bool(same(whole, value))
    if not isinstance(whole, Mapping):
        return False
    return all(_within(one, whole.get(key)) for key, one in value.items())
