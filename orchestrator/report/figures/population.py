"""A hyperparameter over time in each member of a population."""

from __future__ import annotations

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import NUMBER, WIDTH, Chart, axis, scale

LINEAGE, MEMBER, COPY = "the best member's past", "a member", "a copy"


def draw_population(data: pd.DataFrame, *, x_title: str, y_title: str, log_y: bool) -> Chart:
    """A line a member, a dot where one went on as a copy, and a bold line for the best one's past.

    ``data`` has a row a point: kind (one of LINEAGE, MEMBER, COPY), member, x, value. A value is
    that of the interval before x; a copy's is that from x on.
    """
    low, high = float(data["value"].min()), float(data["value"].max())
    x = alt.X("x:Q", title=x_title, scale=scale(False, domainMin=0), axis=alt.Axis(grid=False))
    y_axis = axis(low, high, log_y)
    y = alt.Y("value:Q", title=y_title, scale=scale(log_y), axis=y_axis)
    order = [LINEAGE, MEMBER, COPY]
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=order),
        legend=alt.Legend(symbolOpacity=1, symbolStrokeWidth=2),
    )
    tooltip = [
        alt.Tooltip("member:N", title="run"),
        alt.Tooltip("x:Q", title=x_title, format=NUMBER),
        alt.Tooltip("value:Q", title=y_title, format=NUMBER),
    ]
    shared = {"x": x, "y": y, "color": colour}
    lines = alt.Chart(data[data["kind"] == MEMBER]).mark_line(
        interpolate="step-before", strokeWidth=1, opacity=0.45
    )
    dots = alt.Chart(data[data["kind"] == COPY]).mark_point(
        filled=True, size=26, opacity=0.9, tooltip=True
    )
    bold = alt.Chart(data[data["kind"] == LINEAGE]).mark_line(
        interpolate="step-before", strokeWidth=3.5
    )
    layers = [
        lines.encode(**shared, detail="member:N", tooltip=tooltip),
        bold.encode(**shared, detail="kind:N", tooltip=tooltip),
        dots.encode(**shared, tooltip=tooltip),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=280)
