"""Ratios and their intervals in words."""

from __future__ import annotations

import math

from orchestrator.report.sections.large_batch.words import whole
from orchestrator.report.text import NONE, number


def between(low: float, high: float) -> str:
    """``0.21 to 0.43``, ``0.5 or more``; empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    if math.isinf(low):
        return ""
    if math.isinf(high):
        return f"{number(low)} or more"
    return f"{number(low)} to {number(high)}"


def bracketed(low: float, high: float) -> str:
    """``(95 % interval 0.21 to 0.43)``; empty where there is none."""
    text = between(low, high)
    return f" (95 % interval {text})" if text else ""


def amount(value: float, low: float, high: float) -> str:
    """A cell: ``312 [240, 410]``, ``not reached``, ``∞`` for an open end."""
    if not math.isfinite(value):
        return "not reached"
    if math.isnan(low) or (low == value == high):
        return whole(value)
    return f"{whole(value)} [{whole(low)}, {'∞' if math.isinf(high) else whole(high)}]"


def multiple(value: float) -> str:
    """``0.21``, ``220``; a dash where there is none."""
    if not math.isfinite(value) or value <= 0:
        return NONE
    return number(value, 2) if value < 99.5 else whole(value)
