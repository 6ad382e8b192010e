"""A metric against a hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
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

HEIGHT = 360
CROSS = "M-0.7,-0.7L0.7,0.7M0.7,-0.7L-0.7,0.7"
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
    """Lines are means over seeds, points single runs, crosses along the top diverged runs.

    ``data`` has a row a run: x, group, seed, status, value (somewhere not NaN), complete. A
    mean is drawn where every seed is complete.
    """
    done = data.dropna(subset=["value"])
    complete = done[done["complete"]]
    means = complete.groupby(["x", "group"], sort=False, as_index=False)["value"].mean()
    lost, domain = _strip(data, log_y)
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
    if len(lost):
        crosses = alt.Chart(lost).mark_point(shape=CROSS, size=60, strokeWidth=1.6, filled=False)
        n = alt.Tooltip("diverged:N", title="diverged")
        layers.append(
            crosses.encode(x=x, y=y, color=colour, opacity=opacity(picked), tooltip=[*who, n])
        )
        layers.append(_strip_label(lost, y))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _shape(title: str, order: Sequence[str]) -> alt.Shape:
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(order))]
    domain = alt.Scale(domain=list(order), range=shapes)
    return alt.Shape("group:N", title=title, scale=domain, legend=None)


def _strip(data: pd.DataFrame, log_y: bool) -> tuple[pd.DataFrame, list[float]]:
    """Diverged runs with a place above all values, a line for each group; and the y domain.

    The frame has a row for each x and group with diverged runs: x, group, diverged (text),
    value (where its cross stands).
    """
    values = np.log10(data["value"].dropna()) if log_y else data["value"].dropna()
    low, high = float(values.min()), float(values.max())
    span = (high - low) or max(abs(high), 1.0) * 0.1
    sizes = data.groupby(["x", "group"], sort=False).size()
    lost = data[data["status"] == "diverged"].groupby(["x", "group"], sort=False).size()
    frame = lost.rename("n").reset_index()
    lines = {group: i for i, group in enumerate(dict.fromkeys(frame["group"]))}
    height = high + span * (0.12 + 0.05 * frame["group"].map(lines).astype(float))
    frame["value"] = 10**height if log_y else height
    frame["diverged"] = [
        f"{n} of {sizes[x, group]} runs"
        for x, group, n in zip(frame["x"], frame["group"], frame["n"], strict=True)
    ]
    top = max([high, *height]) + 0.05 * span
    ends = [low - 0.05 * span, top]
    return frame.drop(columns="n"), [10**end for end in ends] if log_y else ends


def _strip_label(lost: pd.DataFrame, y: alt.Y) -> Any:
    """The word that says what the strip holds."""
    place = pd.DataFrame({"value": [lost["value"].max()], "text": ["diverged ×"]})
    text = alt.Chart(place).mark_text(align="left", baseline="middle", fontSize=11, opacity=0.7)
    return text.encode(x=alt.value(4), y=y, text="text:N")
