"""Ranges of numbers: an axis that is drawn from rather than listed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

RangeKind = Literal["uniform", "log_uniform", "integer", "log_integer"]
_DIGITS = 6
_STEP_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The numbers from ``low`` to ``high``, both included.

    With ``step`` q, those of ``low + k q``. On a logarithmic scale each factor is as likely as
    any other; whole numbers and steps are then the nearest ones.
    """

    kind: RangeKind
    low: float
    high: float
    step: float | None = None

    @property
    def whole(self) -> bool:
        return self.kind in ("integer", "log_integer")

    @property
    def log(self) -> bool:
        return self.kind in ("log_uniform", "log_integer")

    def count(self) -> int | None:
        """How many numbers it has; None where it is continuous."""
        if self.step is None:
            return int(self.high) - int(self.low) + 1 if self.whole else None
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def points(self) -> list[float]:
        """All of its numbers; it must not be continuous."""
        count = self.count()
        assert count is not None
        return [self._number(k) for k in range(count)]

    def at(self, share: float) -> float:
        """The number at ``share`` in [0, 1] of the range: the inverse of its distribution."""
        count = self.count()
        if count is None:
            return self._continuous(share)
        if not self.log:
            return self._number(min(int(share * count), count - 1))
        half = (self.step or 1) / 2
        bottom, top = self.low - half, self.high + half
        if bottom <= 0:
            bottom = self.low
        value = math.exp(math.log(bottom) * (1 - share) + math.log(top) * share)
        nearest = round((value - self.low) / (self.step or 1))
        return self._number(min(max(nearest, 0), count - 1))

    def _continuous(self, share: float) -> float:
        """Rounded so that it can be read: to a millionth of the range or less."""
        if self.log:
            low, high = math.log10(self.low), math.log10(self.high)
            value = 10 ** (low * (1 - share) + high * share)
            digits = _DIGITS + max(0, math.ceil(-math.log10(max(high - low, 1e-16))))
            value = float(f"{value:.{min(digits, 17)}g}")
        else:
            value = self.low * (1 - share) + self.high * share
            value = round(value, _DIGITS - math.floor(math.log10(self.high - self.low)))
        return min(max(value, float(self.low)), float(self.high))

    def _number(self, k: int) -> float:
        if self.step is None:
            return int(self.low) + k
        value = self.low + k * self.step
        if self.whole:
            return int(value)
        return min(float(f"{value:.{_STEP_DIGITS}g}"), float(self.high))

    def holds(self, value: Any) -> bool:
        """Whether ``value`` may stand for a number of the range; steps are not insisted on."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        step = "" if self.step is None else f" in steps of {self.step:g}"
        whole = "a whole number" if self.whole else "a number"
        return f"{whole} from {self.low:g} to {self.high:g}{step}"
