"""Shares of importance, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import PERCENT, WIDTH, Chart, group_colour

_ROW = 40


def draw_importances(data: pd.DataFrame, *, axes: Sequence[str], kinds: Sequence[str]) -> Chart:
    """Two bars for each axis. ``data``: axis, group (which importance), value (a share)."""
    bars = alt.Chart(data).mark_bar()
    drawn: alt.Chart = bars.encode(
        y=alt.Y("axis:N", title=None, sort=list(axes), axis=alt.Axis(ticks=False, labelLimit=260)),
        yOffset=alt.YOffset("group:N", sort=list(kinds)),
        x=alt.X(
            "value:Q",
            title="share of importance",
            scale=alt.Scale(domainMin=0),
            axis=alt.Axis(labelExpr=PERCENT, tickCount=6),
        ),
        color=group_colour("importance", kinds),
        tooltip=[
            alt.Tooltip("axis:N"),
            alt.Tooltip("group:N", title="importance"),
            alt.Tooltip("value:Q", title="share", format=".0%"),
        ],
    ).properties(width=WIDTH, height=_ROW * len(axes))
    return drawn
