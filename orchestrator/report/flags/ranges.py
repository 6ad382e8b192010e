"""Whether the search space holds the best: its edges, and where training diverges."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.flags.model import Flag
from orchestrator.report.labels import Axis, long_name
from orchestrator.report.results import Results
from orchestrator.report.text import count, metric_words, number

BUDGETS = ("train.epochs", "train.steps")
"""More of them is better or does no harm: their edge says nothing."""
OUTER = 0.05
"""Of a range from which values were drawn: as near to its end counts as on it."""
_FEWEST = 3


def at_an_edge(results: Results) -> list[Flag] | None:
    """Numeric axes whose best value is the smallest or largest tried, all else at its best.

    Of values that were drawn, those in the outer 5 % of the range (of its logarithm, where it
    spans more than a decade).
    """
    ranked = results.ranked()
    if ranked.empty:
        return None
    first = results.runs[results.runs["configuration"] == ranked.index[0]].iloc[0]
    flags: list[Flag] | None = None
    for axis in results.axes:
        tried = sorted(axis.texts) if axis.numeric else []
        if axis.path in BUDGETS or len(tried) < _FEWEST or pd.isna(first[axis.column]):
            continue
        flags = flags or []
        side = _side(float(first[axis.column]), tried, results, axis)
        if side:
            flags.append(_edge(results, axis, side, float(first[axis.column])))
    return flags


def _side(value: float, tried: list[float], results: Results, axis: Axis) -> str:
    """``lowest``, ``highest``, or nothing."""
    low, high = tried[0], tried[-1]
    place = (value - low) / (high - low)
    if axis.log:
        place = math.log(value / low) / math.log(high / low)
    # A grid of one axis has as many values as configurations, too: its ends alone are edges.
    drawn = (results.meta.get("search") or {}).get("name", "grid") != "grid"
    many = len(tried) > results.runs["configuration"].nunique() / 2
    margin = OUTER if drawn and many else 0.0
    return "lowest" if place <= margin else "highest" if place >= 1 - margin else ""


def _edge(results: Results, axis: Axis, side: str, value: float) -> Flag:
    word = "below" if side == "lowest" else "above"
    return Flag(
        doubt=f"{axis.name} at the edge of its range",
        evidence=(
            f"The best {metric_words(results.metric)} is at {long_name(axis)} {number(value)}, "
            f"the {side} tried ({number(min(axis.texts))} to {number(max(axis.texts))})."
        ),
        advice=f"Values {word} {number(value)} may be better: widen the range.",
    )


def near_divergence(results: Results) -> list[Flag] | None:
    """Whether the next larger learning rate than the best one diverges, in half of its runs.

    Where rates were drawn, next is the nearest third of the larger ones, at least three runs.
    """
    axis, ranked = results.x_axis, results.ranked()
    if axis is None or not axis.path.endswith(("lr", "learning_rate")) or ranked.empty:
        return None
    runs = results.runs
    first = runs[runs["configuration"] == ranked.index[0]].iloc[0]
    rate = float(first[axis.column])
    larger = _next_larger(results, axis, first, rate)
    ended = larger[~larger["status"].isin(("pending", "running"))]
    lost = int((ended["status"] == "diverged").sum())
    if ended.empty:
        return None
    if 2 * lost < len(ended):
        return []
    at = float(ended[axis.column].min())
    return [
        Flag(
            doubt="the best learning rate is next to divergence",
            evidence=(
                f"The best is {number(rate)}; from {number(at)}, {number(at / rate, 2)} times as "
                f"large, {lost} of {count(len(ended), 'run')} diverged."
            ),
            advice=(
                "Larger rates may be better with a longer warmup or clipped gradients, and a "
                "change elsewhere may make this one diverge."
            ),
        )
    ]


def _next_larger(results: Results, axis: Axis, first: pd.Series, rate: float) -> pd.DataFrame:
    runs = results.runs
    above = runs[runs[axis.column] > rate]
    if results.drawn:
        wanted = max(_FEWEST, math.ceil(len(above) / 3))
        return above.sort_values(axis.column, kind="stable").head(wanted)
    for other in results.axes:
        if other is not axis:
            own = first[other.column]
            same = above[other.column].isna() if pd.isna(own) else above[other.column] == own
            above = above[same]
    nearest: pd.DataFrame = above[above[axis.column] == above[axis.column].min()]
    return nearest
