"""A metric against a hyperparameter."""

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
from orchestrator.report.figures.strip import strip, strip_layers

HEIGHT = 360
SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "triangle-right"]


def draw_basin(
    data: pd.DataFrame,
    *,
    x_title: str,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    log_x: bool,
    log_y: bool,
) -> Chart:
    """Lines are means over seeds, points single runs, marks along the top are runs that have no
    final value: diverged or stopped.

    ``data`` has a row a run: x, group, seed, status, value (somewhere not NaN), complete. A
    mean is drawn where every seed is complete.
    """
    done = data.dropna(subset=["value"])
    complete = done[done["complete"]]
    means = complete.groupby(["x", "group"], sort=False, as_index=False)["value"].mean()
    lost, domain = strip(data, log_y)
    low, high = float(done["value"].min()), float(done["value"].max())
    x_axis = axis(float(data["x"].min()), float(data["x"].max()), log_x, grid=False)
    x = alt.X("x:Q", title=x_title, scale=scale(log_x, padding=14), axis=x_axis)
    y = alt.Y(
        "value:Q", title=y_title, scale=scale(log_y, domain=domain), axis=axis(low, high, log_y)
    )
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    who = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
    ]
    run = [
        alt.Tooltip("seed:N", title="seed"),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    layers: list[Any] = [
        alt.Chart(means)
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=colour, opacity=opacity(picked)),
        alt.Chart(done)
        .mark_point(filled=True, size=36, strokeWidth=0)
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=_shape(group_title, order),
            opacity=opacity(picked, 0.8),
            tooltip=[*who, *run],
        )
        .add_params(*picked),
    ]
    runs = alt.Tooltip("runs:N", title="without a value")
    layers += strip_layers(
        lost, x=x, y=y, color=colour, opacity=opacity(picked), tooltip=[*who, runs]
    )
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _shape(title: str, order: Sequence[str]) -> alt.Shape:
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(order))]
    domain = alt.Scale(domain=list(order), range=shapes)
    return alt.Shape("group:N", title=title, scale=domain, legend=None)
