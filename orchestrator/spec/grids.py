"""Evenly spaced numbers, clean enough to be read: 0.01, not 0.010000000000000002."""

from __future__ import annotations

import math

_LOG_DIGITS = 6
_LINEAR_DIGITS = 12


def log_grid(low: float, high: float, points: int) -> list[float]:
    """``points`` numbers in geometric progression, both ends (above 0) exact."""
    start, end = math.log10(low), math.log10(high)
    inner = [10 ** (start * (1 - t) + end * t) for t in _shares(points)]
    return _clean(low, inner, high, points, _LOG_DIGITS)


def linear_grid(low: float, high: float, points: int) -> list[float]:
    """``points`` numbers in arithmetic progression, both ends exact."""
    inner = [low * (1 - t) + high * t for t in _shares(points)]
    return _clean(low, inner, high, points, _LINEAR_DIGITS)


def _shares(points: int) -> list[float]:
    return [i / (points - 1) for i in range(1, points - 1)]


def _clean(low: float, inner: list[float], high: float, points: int, digits: int) -> list[float]:
    """Rounded to ``digits`` significant digits where that keeps the numbers apart.

    Whole numbers between whole ends are ints, as a batch size must be.
    """
    rounded = [float(f"{number:.{digits}g}") for number in inner]
    distinct = len({low, *rounded, high}) == points
    grid = [low, *(rounded if distinct else inner), high][:points]
    if isinstance(low, int) and isinstance(high, int) and all(n == int(n) for n in grid):
        return [int(number) for number in grid]
    return grid
