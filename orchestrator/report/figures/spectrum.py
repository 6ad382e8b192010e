"""The largest eigenvalue over training, and how all are spread."""

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
    opacity,
    picked_groups,
    scale,
)


def draw_sharpness(
    data: pd.DataFrame, *, x_title: str, y_title: str, order: Sequence[str], height: int = 340
) -> Chart:
    """A line for each configuration, and dashed in its colour what gradient descent can bear.

    Args:
        data: x (time), group, value (positive), low, high (range over seeds), n, stable (NaN
            where there is no bound).
    """
    picked = picked_groups(order)
    colour = group_colour("configuration", order)
    values = pd.concat([data["low"], data["high"], data["stable"]]).dropna()
    ends = float(values.min()), float(values.max())
    y_scale, y_axis = scale(True, padding=8), axis(*ends, True)

    def y(column: str) -> alt.Y:
        return alt.Y(f"{column}:Q", title=y_title, scale=y_scale, axis=y_axis)

    span = float(data["x"].min()), float(data["x"].max())
    x_axis = axis(*span, False, grid=False, format=",")
    x = alt.X("x:Q", title=x_title, scale=scale(False, padding=12), axis=x_axis)
    tooltip = [
        alt.Tooltip("group:N", title="configuration"),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
        alt.Tooltip("stable:Q", title="stable below", format=NUMBER),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    band = alt.Chart(data).mark_area(line=False)
    line = alt.Chart(data).mark_line(strokeWidth=2)
    dots = alt.Chart(data).mark_point(filled=True, size=34, strokeWidth=0)
    bound = alt.Chart(data.dropna(subset=["stable"])).mark_line(strokeDash=[5, 4], strokeWidth=1.4)
    layers: list[Any] = [
        band.encode(x=x, y=y("low"), y2="high:Q", color=colour, opacity=opacity(picked, 0.14)),
        bound.encode(x=x, y=y("stable"), color=colour, opacity=opacity(picked, 0.8)),
        line.encode(x=x, y=y("value"), color=colour, opacity=opacity(picked)),
        dots.encode(
            x=x, y=y("value"), color=colour, opacity=opacity(picked), tooltip=tooltip
        ).add_params(*picked),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height)


def draw_density(
    data: pd.DataFrame, *, x_title: str, order: Sequence[str], height: int = 300
) -> Chart:
    """The share of eigenvalues per unit of x, on a logarithmic axis, a line for each group.

    Args:
        data: x (eigenvalue over the largest one), group, value (positive).
    """
    picked = picked_groups(order)
    colour = group_colour("configuration", order)
    ends = float(data["value"].min()), float(data["value"].max())
    title = "density"
    y = alt.Y("value:Q", title=title, scale=scale(True, padding=8), axis=axis(*ends, True))
    span = float(data["x"].min()), float(data["x"].max())
    x_axis = axis(*span, False, grid=False)
    x = alt.X("x:Q", title=x_title, scale=scale(False, padding=6), axis=x_axis)
    tooltip = [
        alt.Tooltip("group:N", title="configuration"),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
        alt.Tooltip("value:Q", title=title, format=NUMBER),
    ]
    line = alt.Chart(data).mark_line(strokeWidth=1.8)
    at = pd.DataFrame({"x": [1.0]})
    rule = alt.Chart(at).mark_rule(strokeDash=[2, 3], strokeWidth=1, color=GREY)
    layers = [
        rule.encode(x=x),
        line.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip).add_params(
            *picked
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height)
