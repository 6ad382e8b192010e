"""Steps or examples to a target against the batch size, and the power laws of learning rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    log_ticks,
    opacity,
    picked_groups,
    scale,
)
from orchestrator.report.figures.strip import CROSS

HEIGHT = 360
Channel = Callable[[str], Any]
"""A column → the channel that it is drawn along."""
BATCH = "batch size"
REACHED, UNREACHED, INFEASIBLE = "reached", "unreached", "infeasible"
SHADES = {"perfect scaling": 0.14, "diminishing returns": 0.07, "no more to gain": 0.0}
"""Regimes of the batch size, and how dark they are drawn."""
_MARKS = {UNREACHED: "triangle-up", INFEASIBLE: CROSS}
DIGITS = "format(datum.value, ',~r')"


def draw_scaling(
    data: pd.DataFrame,
    *,
    y_title: str,
    group_title: str,
    order: Sequence[str],
    fits: pd.DataFrame,
    ideal: pd.DataFrame,
    marks: pd.DataFrame,
    regimes: pd.DataFrame,
    falling: bool,
) -> Chart:
    """Points of the best trial at each batch size, the fitted curves, and perfect scaling dashed.

    Args:
        data: a row a batch size and group: x, group, value (of an infeasible one: where its mark
            stands), low and high (NaN without an interval), status, n.
        fits: x, group, value along each fitted curve.
        ideal: x, group, value along each line of perfect scaling.
        marks: group, x, low, high: each critical batch size with its interval (NaN where it is
            open).
        regimes: x, x2, name: stretches of the batch size, drawn behind; may be empty.
        falling: whether curves fall, so that there is room for names at the top.
    """
    ends = _ends(data, fits)
    picked = picked_groups(order)
    colour = group_colour(group_title, order)
    across = batch_axis(float(data["x"].min()), float(data["x"].max()))
    y_scale = scale(True, domain=[ends[0] / 1.25, ends[1] * 1.25])
    y_axis = axis(*ends, True, labelExpr=DIGITS)
    up = partial(alt.Y, title=y_title, scale=y_scale, axis=y_axis)
    x, y = across("x:Q"), up("value:Q")
    layers: list[Any] = [
        *_regimes(regimes, across),
        *_critical(marks, across, colour, picked, falling),
    ]
    line = alt.Chart(ideal).mark_line(strokeWidth=1.2, strokeDash=[5, 4], clip=True)
    layers.append(
        line.encode(x=x, y=y, detail="group:N", color=alt.value(GREY), opacity=opacity(picked, 0.9))
    )
    curve = alt.Chart(fits).mark_line(strokeWidth=2, clip=True)
    layers.append(curve.encode(x=x, y=y, color=colour, opacity=opacity(picked)))
    bars = alt.Chart(data.dropna(subset=["low", "high"])).mark_rule(strokeWidth=1.2)
    bars = bars.encode(x=x, y=up("low:Q"), y2="high:Q", color=colour, opacity=opacity(picked, 0.8))
    layers.append(bars)
    layers += _points(data, x=x, y=y, colour=colour, picked=picked, titles=(y_title, group_title))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _ends(data: pd.DataFrame, fits: pd.DataFrame) -> tuple[float, float]:
    values = pd.concat([data["value"], data["low"], data["high"], fits["value"]]).dropna()
    return float(values.min()), float(values.max())


def batch_axis(low: float, high: float) -> Channel:
    """Makes the channel of a column that holds batch sizes."""
    ticks = batch_ticks(low, high)
    form = alt.Axis(grid=False, values=ticks, tickCount=len(ticks), labelExpr=DIGITS)
    # The domain is set, so that a critical batch size beyond what was tried widens nothing.
    domain = [low / 1.2, high * 1.2]
    title = f"{BATCH} (examples)"
    return partial(alt.X, title=title, scale=scale(True, domain=domain), axis=form)


def batch_ticks(low: float, high: float, most: int = 12) -> list[float]:
    """Powers of 2, every one or every other, as batch sizes are."""
    first = 0
    while 2 ** (first + 1) <= low * 1.001:
        first += 1
    powers = []
    while 2**first <= high * 1.001:
        powers.append(2.0**first)
        first += 1
    inside = [power for power in powers if power >= low * 0.999]
    if len(inside) < 2:
        return log_ticks(low, high) or sorted({low, high})
    every = -(-len(inside) // most)
    return inside[::every]


def size_colour(order: Sequence[str]) -> alt.Color:
    """A colour for each batch size, from dark to light: they have an order."""
    # The ends of the scheme cannot be seen on black, and on white.
    scheme = alt.SchemeParams(name="viridis", extent=[0.12, 0.9])
    columns = alt.ExprRef("max(1, min(10, floor(width / 72)))")
    legend = alt.Legend(title=BATCH, columns=columns, symbolOpacity=1, symbolStrokeWidth=2)
    return alt.Color(
        "group:O",
        title=BATCH,
        sort=list(order),
        scale=alt.Scale(domain=list(order), scheme=scheme),
        legend=legend if len(order) > 1 else None,
    )


def _regimes(regimes: pd.DataFrame, across: Channel) -> list[Any]:
    """Stretches as shades of grey, named along the top."""
    if regimes.empty:
        return []
    # In two lines each: on a phone, side by side, they would run into each other.
    text = regimes["name"].str.replace(" ", "\n", n=1)
    shades = regimes.assign(middle=(regimes["x"] * regimes["x2"]) ** 0.5, text=text)
    shade = alt.Opacity(
        "name:N",
        scale=alt.Scale(domain=list(SHADES), range=list(SHADES.values())),
        legend=None,
    )
    rect = alt.Chart(shades).mark_rect(color=GREY, clip=True)
    words = alt.Chart(shades).mark_text(
        baseline="bottom", fontSize=11, lineBreak="\n", dy=-17, color=GREY, fill=GREY, clip=False
    )
    return [
        rect.encode(x=across("x:Q"), x2="x2:Q", opacity=shade),
        words.encode(x=across("middle:Q"), y=alt.value(0), text="text:N"),
    ]


def _critical(
    marks: pd.DataFrame, across: Channel, colour: alt.Color, picked: Any, top: bool
) -> list[Any]:
    """A rule at each critical batch size, in a band from low to high."""
    if marks.empty:
        return []
    x, low = across("x:Q"), across("low:Q")
    band = alt.Chart(marks.dropna(subset=["low", "high"])).mark_rect(clip=True)
    rule = alt.Chart(marks).mark_rule(strokeWidth=1.6, clip=True)
    text = alt.Chart(marks.head(1)).mark_text(
        align="left",
        baseline="top" if top else "bottom",
        fontSize=11,
        dx=4,
        dy=6 if top else -4,
        text="B_crit",
        clip=True,
    )
    return [
        band.encode(x=low, x2="high:Q", color=colour, opacity=opacity(picked, 0.16)),
        rule.encode(x=x, color=colour, opacity=opacity(picked)),
        text.encode(x=x, y=alt.value(0 if top else "height"), color=colour),
    ]


def _points(
    data: pd.DataFrame, *, x: alt.X, y: alt.Y, colour: Any, picked: Any, titles: tuple[str, str]
) -> list[Any]:
    y_title, group_title = titles
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("x:Q", title=BATCH, format=","),
        alt.Tooltip("status:N", title="target"),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
        alt.Tooltip("lr:Q", title="learning rate", format=NUMBER),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    reached = data[data["status"] == REACHED]
    dots = alt.Chart(reached).mark_point(filled=True, size=52, strokeWidth=0)
    layers: list[Any] = [
        dots.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip).add_params(
            *picked
        ),
    ]
    for status, shape in _MARKS.items():
        rows = data[data["status"] == status]
        if rows.empty:
            continue
        mark = alt.Chart(rows).mark_point(shape=shape, filled=False, size=70, strokeWidth=1.5)
        layers.append(mark.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=tooltip))
    return layers
