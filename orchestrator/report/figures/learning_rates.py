"""The best learning rate against the batch size, and what each batch size loses at others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
from orchestrator.report.figures.scaling import BATCH, DIGITS, batch_axis, size_colour
from orchestrator.report.figures.strip import CROSS

HEIGHT = 320

_DASHES = {"linear": [7, 4], "square root": [2, 3]}


def draw_best_rates(
    data: pd.DataFrame,
    *,
    group_title: str,
    order: Sequence[str],
    fits: pd.DataFrame,
    rules: pd.DataFrame,
) -> Chart:
    """Points at the best rate, hollow where it lies on an edge of the range; bars: rates nearly
    as good.

    Args:
        data: x (batch size), group, value (rate), low, high, edge (whether on one).
        fits: x, group, value along each fitted power law.
        rules: x, name (linear or square root), value along each rule.
    """
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    x = batch_axis(float(data["x"].min()), float(data["x"].max()))("x:Q")
    shown = pd.concat([data["value"], data["low"], data["high"], fits["value"]]).dropna()
    ends = float(shown.min()), float(shown.max())
    up = partial(
        alt.Y,
        title="best learning rate",
        scale=scale(True, domain=[ends[0] / 1.3, ends[1] * 1.3]),
        axis=axis(*ends, True),
    )
    y = up("value:Q")
    layers: list[Any] = _rules(rules, x, y, ends)
    line = alt.Chart(fits).mark_line(strokeWidth=2, clip=True)
    layers.append(line.encode(x=x, y=y, color=colour, opacity=opacity(picked)))
    bars = alt.Chart(data.dropna(subset=["low", "high"])).mark_rule(strokeWidth=1.2)
    layers.append(
        bars.encode(x=x, y=up("low:Q"), y2="high:Q", color=colour, opacity=opacity(picked, 0.8))
    )
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title=BATCH, format=","),
        alt.Tooltip("value:Q", title="best learning rate", format=NUMBER),
        alt.Tooltip("low:Q", title="nearly as good from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
    ]
    for at_edge in (False, True):
        rows = data[data["edge"] == at_edge]
        dots = alt.Chart(rows).mark_point(
            filled=not at_edge, size=56, strokeWidth=1.6 if at_edge else 0
        )
        dots = dots.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip)
        layers.append(dots if at_edge else dots.add_params(*picked))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _rules(rules: pd.DataFrame, x: alt.X, y: alt.Y, ends: tuple[float, float]) -> list[Any]:
    """Each rule dashed in grey, its name where it leaves the figure."""
    layers: list[Any] = []
    for name, dash in _DASHES.items():
        own = rules[rules["name"] == name]
        inside = own[own["value"].between(ends[0] / 1.2, ends[1] * 1.2)]
        if inside.empty:
            continue
        line = alt.Chart(own).mark_line(strokeWidth=1.3, strokeDash=dash, color=GREY, clip=True)
        text = alt.Chart(inside.tail(1)).mark_text(
            align="right", baseline="bottom", fontSize=11, dx=-6, color=GREY, fill=GREY
        )
        layers += [line.encode(x=x, y=y), text.encode(x=x, y=y, text="name:N")]
    return layers


def draw_rate_sensitivity(
    data: pd.DataFrame, *, y_title: str, order: Sequence[str], height: int = HEIGHT
) -> Chart:
    """Steps to the target against the learning rate, a line for each batch size, light to dark.

    Args:
        data: x (rate), group (batch size as text), value, status (reached, unreached,
            infeasible); the value of one that has not reached is where its mark stands.
    """
    picked = picked_groups(order)
    colour = size_colour(order)
    reached = data[data["status"] == "reached"]
    x = alt.X(
        "x:Q",
        title="learning rate",
        scale=scale(True, padding=14),
        axis=axis(float(data["x"].min()), float(data["x"].max()), True, grid=False),
    )
    ends = float(data["value"].min()), float(data["value"].max())
    # Where marks of what diverged stand says nothing about steps: no labels there.
    last = float(data.loc[data["status"] != "infeasible", "value"].max())
    y = alt.Y(
        "value:Q",
        title=y_title,
        scale=scale(True, domain=[ends[0] / 1.2, ends[1] * 1.2]),
        axis=axis(ends[0], last, True, labelExpr=DIGITS),
    )
    tooltip = [
        alt.Tooltip("group:N", title=BATCH),
        alt.Tooltip("x:Q", title="learning rate", format=NUMBER),
        alt.Tooltip("status:N", title="target"),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    line = alt.Chart(reached).mark_line(strokeWidth=1.8)
    dots = alt.Chart(reached).mark_point(filled=True, size=34, strokeWidth=0)
    layers: list[Any] = [
        line.encode(x=x, y=y, color=colour, opacity=opacity(picked)),
        dots.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip).add_params(
            *picked
        ),
    ]
    for status, shape in (("unreached", "triangle-up"), ("infeasible", CROSS)):
        rows = data[data["status"] == status]
        if len(rows):
            mark = alt.Chart(rows).mark_point(shape=shape, filled=False, size=40, strokeWidth=1.3)
            layers.append(
                mark.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip)
            )
    return alt.layer(*layers).properties(width=WIDTH, height=height)
