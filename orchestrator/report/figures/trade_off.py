"""Training time against compute: steps and examples that a target takes, from batch to batch."""

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
from orchestrator.report.figures.scaling import DIGITS

HEIGHT = 340


def draw_trade_off(
    data: pd.DataFrame,
    *,
    group_title: str,
    order: Sequence[str],
    fits: pd.DataFrame,
) -> Chart:
    """Examples against steps, a point a batch size, which is written beside it; the hyperbola
    (S / S_min − 1)(E / E_min − 1) = 1 as a line.

    Args:
        data: x (steps), value (examples), group, batch, label (the batch size, or empty).
        fits: x, group, value along each hyperbola.
    """
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    own = {name: (float(data[name].min()), float(data[name].max())) for name in ("x", "value")}
    channels = {}
    for name, kind, title in (
        ("x", alt.X, "steps to the target (time)"),
        ("value", alt.Y, "examples to the target (compute)"),
    ):
        low, high = own[name]
        form = axis(low, high, True, labelExpr=DIGITS, grid=name != "x")
        domain = scale(True, domain=[low / 1.35, high * 1.35])
        channels[name] = kind(f"{name}:Q", title=title, scale=domain, axis=form)
    x, y = channels["x"], channels["value"]
    line = alt.Chart(fits).mark_line(strokeWidth=2, clip=True)
    dots = alt.Chart(data).mark_point(filled=True, size=52, strokeWidth=0)
    text = alt.Chart(data).mark_text(
        align="left", baseline="bottom", dx=6, dy=-3, fontSize=10, color=GREY, fill=GREY
    )
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("batch:Q", title="batch size", format=","),
        alt.Tooltip("x:Q", title="steps", format=NUMBER),
        alt.Tooltip("value:Q", title="examples", format=NUMBER),
    ]
    layers: list[Any] = [
        line.encode(x=x, y=y, order=alt.Order("x:Q"), color=colour, opacity=opacity(picked, 0.9)),
        text.encode(x=x, y=y, text="label:N"),
        dots.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip).add_params(
            *picked
        ),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)
