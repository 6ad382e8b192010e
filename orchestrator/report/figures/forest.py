"""Candidates one below the other, each with the interval around its value."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import NUMBER, WIDTH, Chart, scale


def draw_forest(
    data: pd.DataFrame,
    *,
    x_title: str,
    group_title: str,
    order: Sequence[str],
    best: str = "best",
) -> Chart:
    """A point for each group, in a bar from low to high where these are known; a line at zero.

    Args:
        data: a row a group: group, value, low, high (NaN where there is no interval), kind (the
            value of ``best``, ``told apart`` or ``not told apart``), details.
        order: groups from top to bottom.
    """
    kinds = [best, "told apart", "not told apart"]
    y = alt.Y(
        "group:N",
        title=None,
        sort=list(order),
        axis=alt.Axis(ticks=False, domain=False, labelPadding=8, labelLimit=260),
        scale=alt.Scale(padding=0.5),
    )
    x_axis = alt.Axis(format=",.4~g", tickCount=7)
    x_scale = scale(False, zero=True, padding=8)
    x = alt.X("value:Q", title=x_title, scale=x_scale, axis=x_axis)
    low = alt.X("low:Q", title=x_title, scale=x_scale, axis=x_axis)
    legend = alt.Legend(title=None, columns=alt.ExprRef("max(1, floor(width / 100))"))
    colour = alt.Color("kind:N", title=None, scale=alt.Scale(domain=kinds), legend=legend)
    tooltip = [
        alt.Tooltip("group:N", title=group_title),
        alt.Tooltip("details:N", title="at"),
        alt.Tooltip("value:Q", title=x_title, format=NUMBER),
        alt.Tooltip("low:Q", title="95 % from", format=NUMBER),
        alt.Tooltip("high:Q", title="to", format=NUMBER),
    ]
    known = data.dropna(subset=["low", "high"])
    line = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(strokeDash=[5, 4])
    layers = [
        line.encode(x=x),
        alt.Chart(known).mark_rule(strokeWidth=2).encode(x=low, x2="high:Q", y=y, color=colour),
        alt.Chart(data)
        .mark_point(filled=True, size=60, opacity=1)
        .encode(x=x, y=y, color=colour, tooltip=tooltip),
    ]
    height = 22 * max(len(order), 2) + 10
    return alt.layer(*layers).properties(width=WIDTH, height=height)
