"""The loss against a learning rate that grows during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import (
    GREY,
    NUMBER,
    WIDTH,
    Chart,
    axis,
    group_colour,
    opacity,
    picked_groups,
    scale,
)


def draw_range_test(
    data: pd.DataFrame,
    *,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    marks: Mapping[str, float],
    log_y: bool,
) -> Chart:
    """A line for each group in a band from low to high; dashed lines at marked rates.

    Args:
        data: a row a point: x (rate), group, value, low, high.
        marks: what a rate is → the rate.
    """
    rates = [*data["x"], *marks.values()]
    x_axis = axis(min(rates), max(rates), True, grid=False)
    x = alt.X("x:Q", title="learning rate", scale=scale(True, padding=14), axis=x_axis)
    y_axis = axis(float(data["low"].min()), float(data["high"].max()), log_y)
    y = alt.Y("value:Q", title=y_title, scale=scale(log_y), axis=y_axis)
    low = alt.Y("low:Q", title=y_title, scale=scale(log_y), axis=y_axis)
    picked = picked_groups(order)
    # Above the names of the marks.
    colour = group_colour(group_title, order, offset=14 * len(marks) + 14)
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title="learning rate", format=NUMBER),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    places = pd.DataFrame({"x": [*marks.values()], "text": [*marks]}).sort_values("x")
    # Names stand one above the other, above the curves, so that near ones can all be read.
    places["dy"] = [-8 - 14 * i for i in range(len(places))]
    rules = alt.Chart(places).mark_rule(strokeDash=[5, 4], strokeWidth=1.3, color=GREY)
    names = [
        alt.Chart(places.iloc[[i]])
        .mark_text(align="center", fontSize=11, dy=int(row["dy"]), color=GREY, fill=GREY)
        .encode(x=x, y=alt.value(0), text="text:N")
        for i, (_, row) in enumerate(places.iterrows())
    ]
    band = alt.Chart(data).mark_area(line=False)
    line = alt.Chart(data).mark_line(strokeWidth=2)
    hover = alt.Chart(data).mark_point(filled=True, size=90, opacity=0)
    layers = [
        rules.encode(x=x),
        *names,
        band.encode(x=x, y=low, y2="high:Q", color=colour, opacity=opacity(picked, 0.16)),
        line.encode(x=x, y=y, color=colour, opacity=opacity(picked)).add_params(*picked),
        hover.encode(x=x, y=y, color=colour, tooltip=tooltip),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=300)
