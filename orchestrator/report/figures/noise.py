"""The gradient noise scale over training, beside the critical batch size."""

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
    opacity,
    picked_groups,
    scale,
)
from orchestrator.report.figures.scaling import BATCH, DIGITS, size_colour


def draw_noise(
    data: pd.DataFrame,
    *,
    x_title: str,
    log_x: bool,
    order: Sequence[str],
    critical: tuple[float, float, float] | None,
    height: int = 320,
) -> Chart:
    """A line for each batch size; B_crit dashed, in a band over its interval.

    Args:
        data: x (time), group (batch size as text), value (noise scale, positive), n (seeds).
        critical: B_crit, and its interval (NaN where there is none).
    """
    values = pd.concat([data["value"], pd.Series(critical or [], dtype=float)]).dropna()
    ends = float(values.min()), float(values.max())
    picked = picked_groups(order)
    colour = size_colour(order)
    x_axis = axis(float(data["x"].min()), float(data["x"].max()), log_x, grid=False)
    x = alt.X("x:Q", title=x_title, scale=scale(log_x, padding=12), axis=x_axis)
    title = "noise scale (examples)"
    y_scale = scale(True, domain=[ends[0] / 1.3, ends[1] * 1.3])
    y_axis = axis(*ends, True, labelExpr=DIGITS)
    y = alt.Y("value:Q", title=title, scale=y_scale, axis=y_axis)
    layers: list[Any] = []
    if critical is not None:
        place = pd.DataFrame([critical], columns=["value", "low", "high"])
        low = alt.Y("low:Q", title=title, scale=y_scale, axis=y_axis)
        band = alt.Chart(place.dropna()).mark_rect(color=GREY, opacity=0.16)
        rule = alt.Chart(place).mark_rule(strokeDash=[5, 4], strokeWidth=1.4, color=GREY)
        text = alt.Chart(place).mark_text(
            align="right", baseline="bottom", fontSize=11, dx=-4, dy=-3, color=GREY, fill=GREY
        )
        words = alt.value("B_crit")
        layers += [
            band.encode(y=low, y2="high:Q"),
            rule.encode(y=y),
            text.encode(y=y, x=alt.value("width"), text=words),
        ]
    tooltip = [
        alt.Tooltip("group:N", title=BATCH),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
        alt.Tooltip("value:Q", title=title, format=NUMBER),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    line = alt.Chart(data).mark_line(strokeWidth=1.8)
    dots = alt.Chart(data).mark_point(filled=True, size=28, strokeWidth=0)
    layers += [
        line.encode(x=x, y=y, color=colour, opacity=opacity(picked)),
        dots.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip).add_params(
            *picked
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=height)
