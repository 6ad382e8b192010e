"""Numbers and names as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

NONE = "–"
"""What stands where there is no number."""


def number(value: float, digits: int = 3, *, pad: bool = False) -> str:
    """``value`` to so many significant digits: 0.0654, 1,234, 1e-5; a dash for NaN and ∞.

    ``pad`` keeps the zeros at the end, so that a column of numbers is of one precision.
    """
    if not math.isfinite(value):
        return NONE
    if 1000 <= abs(value) < 1e6:
        text = f"{value:,.{max(0, digits - 1 - int(math.log10(abs(value))))}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, _, exponent = (f"{value:#.{digits}g}" if pad else f"{value:.{digits}g}").partition(
        "e"
    )
    mantissa = mantissa.rstrip(".")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def distinct_numbers(values: Iterable[float]) -> dict[float, str]:
    """Each value → its shortest text, three digits or more, that no other value has."""
    unique = sorted(set(values))
    texts: list[str] = []
    for digits in range(3, 18):
        texts = [number(value, digits) for value in unique]
        if len(set(texts)) == len(unique):
            break
    return dict(zip(unique, texts, strict=True))


def decimals_for(deviations: Iterable[float]) -> int:
    """Decimals that show the typical deviation of a column to two significant digits."""
    known = [d for d in deviations if math.isfinite(d) and d > 0]
    if not known:
        return 4
    return min(max(1 - math.floor(math.log10(float(np.median(known)))), 0), 6)


def plus_minus(mean: float, deviation: float, decimals: int) -> str:
    """``0.0712 ± 0.0031``; only the mean where the deviation is not known."""
    if not math.isfinite(mean):
        return NONE
    if not math.isfinite(deviation):
        return fixed(mean, decimals)
    return f"{fixed(mean, decimals)} ± {deviation:.{decimals}f}"


def fixed(value: float, decimals: int) -> str:
    """So many decimals, with a typographic minus; a dash for NaN and ∞."""
    return f"{value:.{decimals}f}".replace("-", "−") if math.isfinite(value) else NONE


def signed(value: float, decimals: int) -> str:
    """As :func:`fixed`, with a plus before what is not negative."""
    return f"{value:+.{decimals}f}".replace("-", "−") if math.isfinite(value) else NONE


def percent(share: float, digits: int = 3) -> str:
    """0.1352 as ``13.5 %``."""
    # Not "1e2 %": a hundred has three digits before the point.
    few = 3 if round(share, 3) >= 1 else digits
    return f"{number(100 * share, few)} %" if math.isfinite(share) else NONE


def duration(seconds: float) -> str:
    """``48 s``, ``4 min 12 s``, ``3 h 5 min``, ``2 d 4 h``."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = round(seconds)
    parts: list[str] = []
    for unit, size in units:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part)


def count(n: int, noun: str, plural: str = "") -> str:
    """``1 run``, ``2 runs``, ``1,000 runs``."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], limit: int = 6, *, separator: str = ", ") -> str:
    """``a, b and c``; beyond ``limit`` items: ``a, b, c and 4 more``.

    Items that hold commas themselves want another separator, which stands before the last, too.
    """
    left = len(items) - limit
    shown = [*items[:limit], f"{left:,} more"] if left > 0 else list(items)
    if separator != ", ":
        return separator.join(shown)
    return " and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def shorten(text: str, limit: int = 60) -> str:
    """One line of at most ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def drawn_of(shown: int, total: int) -> str:
    """A sentence for a caption, on points that are not drawn; empty where all are."""
    if shown == total:
        return ""
    return f" Drawn: {shown:,} of {total:,} points, all of the best among them; the CSV has all."


_SPLITS = {"train": "training", "valid": "validation", "test": "test"}


def metric_words(metric: str) -> str:
    """``valid/loss`` → ``validation loss``."""
    split, _, what = metric.partition("/")
    return f"{_SPLITS.get(split, split)} {what}".strip().replace("_", " ")


def is_loss(metric: str) -> bool:
    """Whether a metric is a loss, or e to its power: it is drawn on logarithmic axes."""
    return metric.endswith(("loss", "perplexity", "squared_error"))
