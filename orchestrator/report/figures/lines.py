"""Lines through means with the intervals around them: against weights left, steps, or a share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import (
    GREY,
    NUMBER,
    PERCENT,
    WIDTH,
    Chart,
    axis,
    group_colour,
    group_dash,
    log_ticks,
    opacity,
    picked_groups,
    scale,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Across:
    """What lines are drawn against: the channel of a column ``x``."""

    channel: alt.X
    title: str
    form: str = NUMBER
    """How tooltips write it."""


PERCENT_FORM = ".3~%"


def draw_lines(
    data: pd.DataFrame,
    *,
    across: Across,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    percent: bool = False,
    log_y: bool = False,
    whole: bool = False,
    reference: tuple[float, str] | None = None,
    points: bool = True,
    counted: str = "seeds",
    stepped: bool = False,
    height: int = 320,
) -> Chart:
    """A line for each group through its means, in a band from low to high where these are known.

    Args:
        data: a row a point: x, group, value, low, high (NaN where there is no interval), n.
        across: see ``x_weights_left``, ``x_steps`` and ``x_share``.
        percent: whether values are shares, to be labelled in percent.
        counted: what ``n`` counts, and the band is over: seeds (95 % interval), or pairs (range).
        stepped: whether values stay as they are until the next point.
        whole: whether values count something, and are labelled without exponents.
        reference: a value that a dashed line marks, and what it is.
    """
    x = across.channel
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    ends = data[["low", "value", "high"]]
    span = (float(ends.min().min()), float(ends.max().max()))
    if reference:
        span = (min(span[0], reference[0]), max(span[1], reference[0]))
    y_axis = _y_axis(span, percent, log_y, {"format": ",.0f"} if whole else {})
    y_scale = scale(log_y, padding=8)
    y = alt.Y("value:Q", title=y_title, scale=y_scale, axis=y_axis)
    low = alt.Y("low:Q", title=y_title, scale=y_scale, axis=y_axis)
    shape: dict[str, Any] = {"interpolate": "step-after"} if stepped else {}
    band = alt.Chart(data.dropna(subset=["low", "high"])).mark_area(line=False, **shape)
    line = alt.Chart(data).mark_line(strokeWidth=2, **shape)
    layers: list[Any] = _reference(reference, y_title, y_scale, y_axis)
    layers += [
        band.encode(x=x, y=low, y2="high:Q", color=colour, opacity=opacity(picked, 0.14)),
        line.encode(
            x=x, y=y, color=colour, opacity=opacity(picked), **group_dash(group_title, order)
        ).add_params(*picked),
    ]
    form = PERCENT_FORM if percent else NUMBER
    tooltip = _tooltip(across, y_title, group_title, counted, form)
    # Where points are not to be seen, they are still found by the pointer.
    shown = opacity(picked) if points else alt.value(0)
    dots = alt.Chart(data).mark_point(filled=True, size=34 if points else 90, strokeWidth=0)
    layers.append(dots.encode(x=x, y=y, color=colour, opacity=shown, tooltip=tooltip))
    return alt.layer(*layers).properties(width=WIDTH, height=height)


def _tooltip(
    across: Across, y_title: str, group_title: str, counted: str, form: str
) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title=across.title, format=across.form),
        alt.Tooltip("value:Q", title=y_title, format=form),
        alt.Tooltip("low:Q", title="95 % from" if counted == "seeds" else "from", format=form),
        alt.Tooltip("high:Q", title="to", format=form),
        alt.Tooltip("n:Q", title=counted),
    ]


def x_weights_left(shares: Sequence[float]) -> Across:
    """From all weights at the left to few at the right, on a logarithmic axis in percent."""
    low, high = min(shares), max(shares)
    # A round share just beyond the last level is still labelled.
    ticks = log_ticks(0.97 * low, 1.03 * high) or sorted({low, high})
    form = alt.Axis(grid=False, values=ticks, tickCount=len(ticks), labelExpr=PERCENT)
    one = low == high
    title = "weights left"
    log = scale(not one, padding=10)
    channel = alt.X("x:Q", title=title, sort="descending", scale=log, axis=form)
    return Across(channel=channel, title=title, form=PERCENT_FORM)


def x_steps(steps: Sequence[float], title: str) -> Across:
    """Steps as they were swept, 0 among them: logarithmic but for a stretch around 0."""
    swept = sorted(set(steps))
    positive = [step for step in swept if step > 0]
    wide = len(positive) > 1 and positive[-1] > 8 * positive[0]
    options: dict[str, Any] = {"type": "symlog", "constant": positive[0]} if wide else {}
    form = alt.Axis(grid=False, values=swept, labelOverlap="greedy", labelExpr=_STEP)
    channel = alt.X("x:Q", title=title, scale=scale(False, padding=12, **options), axis=form)
    return Across(channel=channel, title=title)


_STEP = "format(datum.value, ',')"


def x_count(counts: Sequence[int], title: str) -> Across:
    """From 1 on, as many as there are."""
    form = alt.Axis(grid=False, format=",d", tickMinStep=1, tickCount=min(8, len(counts)))
    channel = alt.X("x:Q", title=title, scale=scale(False, padding=10), axis=form)
    return Across(channel=channel, title=title, form=",")


def x_log(low: float, high: float, title: str) -> Across:
    """From ``low`` to ``high``, which are above 0, on a logarithmic axis."""
    form = axis(low, high, True, grid=False, labelExpr=_STEP)
    channel = alt.X("x:Q", title=title, scale=scale(high > low, padding=6), axis=form)
    return Across(channel=channel, title=title, form=",")


def x_share(title: str) -> Across:
    """From 0 to 1."""
    whole = scale(False, domain=[0, 1])
    form = alt.Axis(grid=False, tickCount=5, format="~g")
    channel = alt.X("x:Q", title=title, scale=whole, axis=form)
    return Across(channel=channel, title=title)


def _y_axis(
    span: tuple[float, float], percent: bool, log: bool, options: Mapping[str, Any]
) -> alt.Axis:
    if not percent:
        return axis(*span, log, **options)
    ticks = log_ticks(*span) if log else None
    values = {"values": ticks, "tickCount": len(ticks)} if ticks else {"tickCount": 6}
    return alt.Axis(labelExpr=PERCENT, labelOverlap=True, **values)


def _reference(
    reference: tuple[float, str] | None, title: str, y_scale: alt.Scale, y_axis: alt.Axis
) -> list[alt.Chart]:
    if reference is None:
        return []
    place = pd.DataFrame({"value": [reference[0]], "text": [reference[1]]})
    y = alt.Y("value:Q", title=title, scale=y_scale, axis=y_axis)
    rule = alt.Chart(place).mark_rule(strokeDash=[5, 4], strokeWidth=1.3, color=GREY)
    text = alt.Chart(place).mark_text(
        align="right", baseline="bottom", fontSize=11, dx=-4, dy=-3, color=GREY, fill=GREY
    )
    return [rule.encode(y=y), text.encode(y=y, x=alt.value("width"), text="text:N")]
