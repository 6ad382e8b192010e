"""A metric against a hyperparameter whose values were drawn: points, and no lines."""

from __future__ import annotations

from collections.abc import Sequence

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
from orchestrator.report.figures.strip import strip, strip_layers

HEIGHT = 240


def draw_scatter(
    data: pd.DataFrame,
    *,
    x_title: str,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    log_x: bool,
    log_y: bool,
) -> Chart:
    """A point a configuration; marks along the top are those that diverged or were stopped.

    ``data``: x, group, status, value (NaN where it has none, but not everywhere), configuration.
    """
    ends = (float(data["x"].min()), float(data["x"].max()), log_x)
    low, high = float(data["value"].min()), float(data["value"].max())
    picked = picked_groups(order)
    lost, domain = strip(data, log_y)
    x = alt.X("x:Q", title=x_title, scale=scale(log_x, padding=14), axis=axis(*ends, grid=False))
    y = alt.Y(
        "value:Q",
        title=y_title,
        scale=scale(log_y, domain=domain) if len(lost) else scale(log_y, padding=10),
        axis=axis(low, high, log_y),
    )
    colour = group_colour(group_title, order)
    points = (
        alt.Chart(data.dropna(subset=["value"]))
        .mark_point(filled=True, size=44, strokeWidth=0)
        .encode(
            x=x,
            y=y,
            color=colour,
            opacity=opacity(picked, 0.7),
            tooltip=[
                alt.Tooltip("configuration:N", title="configuration"),
                alt.Tooltip("value:Q", title=y_title, format=NUMBER),
            ],
        )
        .add_params(*picked)
    )
    marks = strip_layers(
        lost,
        x=x,
        y=y,
        color=colour,
        opacity=opacity(picked, 0.7),
        tooltip=[alt.Tooltip("x:Q", title=x_title, format=NUMBER), alt.Tooltip("runs:N")],
    )
    return alt.layer(points, *marks).properties(width=WIDTH, height=HEIGHT)
