"""Multiples of a reference, one row of points below the other, and performance profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import (
    GREY,
    NUMBER,
    WIDTH,
    Chart,
    axis,
    group_colour,
    group_dash,
    opacity,
    picked_groups,
    scale,
)


def draw_ratios(
    data: pd.DataFrame,
    *,
    x_title: str,
    order: Sequence[str],
    groups: Sequence[str],
    reference: str,
) -> Chart:
    """A row for each ``y``, a point in it for each group, with its interval; a line at 1.

    Args:
        data: y, group, value, low, high (NaN where there is no interval).
        order: the rows from top to bottom.
        reference: what the line at 1 is.
    """
    ends = data[["value", "low", "high"]]
    span = (min(float(ends.min().min()), 1.0), max(float(ends.max().max()), 1.0))
    x_scale = scale(True, domain=[span[0] / 1.15, span[1] * 1.15])
    x_axis = axis(*span, True)
    x = alt.X("value:Q", title=x_title, scale=x_scale, axis=x_axis)
    low = alt.X("low:Q", title=x_title, scale=x_scale, axis=x_axis)
    bare: dict[str, Any] = {"ticks": False, "domain": False, "labelPadding": 8, "labelLimit": 240}
    y = alt.Y("y:N", title=None, sort=list(order), axis=alt.Axis(grid=True, **bare))
    offset = alt.YOffset("group:N", sort=list(groups), scale=alt.Scale(paddingOuter=0.8))
    picked = picked_groups(groups)
    colour = group_colour("problem", groups)
    tooltip = [
        alt.Tooltip("y:N", title="method"),
        alt.Tooltip("group:N", title="problem"),
        alt.Tooltip("value:Q", title=x_title, format=NUMBER),
        alt.Tooltip("low:Q", title="95 % from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
    ]
    place = pd.DataFrame({"value": [1.0], "text": [reference]})
    rule = alt.Chart(place).mark_rule(strokeDash=[5, 4], strokeWidth=1.3, color=GREY)
    name = alt.Chart(place).mark_text(
        align="left", baseline="bottom", dx=4, dy=-2, fontSize=11, color=GREY, fill=GREY
    )
    bars = alt.Chart(data.dropna(subset=["low", "high"])).mark_rule(strokeWidth=1.6)
    dots = alt.Chart(data).mark_point(filled=True, size=46, strokeWidth=0)
    layers: list[Any] = [
        rule.encode(x=x),
        name.encode(x=x, y=alt.value(0), text="text:N"),
        bars.encode(
            x=low, x2="high:Q", y=y, yOffset=offset, color=colour, opacity=opacity(picked, 0.8)
        ),
        dots.encode(
            x=x, y=y, yOffset=offset, color=colour, opacity=opacity(picked), tooltip=tooltip
        ).add_params(*picked),
    ]
    height = max(len(order), 2) * max(24, 9 * len(groups) + 8)
    return alt.layer(*layers).properties(width=WIDTH, height=height)


def draw_profile(data: pd.DataFrame, *, x_title: str, y_title: str, order: Sequence[str]) -> Chart:
    """Steps that rise from left to right, one for each group.

    ``data``: a row a place where a step is: x, group, value (from x on).
    """
    picked = picked_groups(order)
    high = float(data["x"].max())
    x = alt.X(
        "x:Q",
        title=x_title,
        scale=scale(False, domain=[1, high]),
        axis=alt.Axis(grid=False, tickCount=6, format="~g"),
    )
    y = alt.Y(
        "value:Q",
        title=y_title,
        scale=scale(False, domain=[-0.02, 1.02]),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f"),
    )
    tooltip = [
        alt.Tooltip("group:N", title="method"),
        alt.Tooltip("x:Q", title="τ", format=NUMBER),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    line = alt.Chart(data).mark_line(interpolate="step-after", strokeWidth=2)
    dots = alt.Chart(data).mark_point(filled=True, size=60)
    layers: list[Any] = [
        line.encode(
            x=x,
            y=y,
            color=group_colour("method", order),
            opacity=opacity(picked, 0.9),
            **group_dash("method", order),
        ).add_params(*picked),
        dots.encode(
            x=x, y=y, color=group_colour("method", order), opacity=alt.value(0), tooltip=tooltip
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=320)
