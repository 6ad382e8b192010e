"""Something over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import (
    NUMBER,
    WIDTH,
    Chart,
    axis,
    group_colour,
    opacity,
    picked_groups,
    scale,
)


def draw_curves(
    data: pd.DataFrame,
    *,
    x_title: str,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    log_y: bool,
    height: int = 300,
) -> Chart:
    """A line for each group, in a band where ``data`` has low and high.

    ``data`` has a row a point: x, group, value and, for the band, low and high.
    """
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    ends = data[[c for c in ("low", "value", "high") if c in data]]
    y_axis = axis(float(ends.min().min()), float(ends.max().max()), log_y)
    x_axis = alt.Axis(grid=False, tickCount=8)
    x = alt.X("x:Q", title=x_title, scale=scale(False, zero=True), axis=x_axis)
    y = alt.Y("value:Q", title=y_title, scale=scale(log_y), axis=y_axis)
    layers: list[Any] = []
    if "low" in data:
        low = alt.Y("low:Q", title=y_title, scale=scale(log_y), axis=y_axis)
        band = alt.Chart(data).mark_area(line=False)
        layers.append(
            band.encode(x=x, y=low, y2="high:Q", color=colour, opacity=opacity(picked, 0.16))
        )
    line = alt.Chart(data).mark_line(strokeWidth=2)
    layers.append(line.encode(x=x, y=y, color=colour, opacity=opacity(picked)).add_params(*picked))
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    # Points that cannot be seen, large enough to be found by the pointer.
    hover = alt.Chart(data).mark_point(filled=True, size=90, opacity=0)
    layers.append(hover.encode(x=x, y=y, color=colour, tooltip=tooltip))
    return alt.layer(*layers).properties(width=WIDTH, height=height)
