"""What something took, level by level."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import (
    NUMBER,
    WIDTH,
    Chart,
    group_colour,
    opacity,
    picked_groups,
)


def draw_bars(
    data: pd.DataFrame, *, x_title: str, y_title: str, order: Sequence[str], columns: Sequence[str]
) -> Chart:
    """A bar for each ``x``, made of what its groups took.

    ``data`` has a row a part: x (label), group, value.
    """
    picked = picked_groups(order)
    place = {group: i for i, group in enumerate(order)}
    ranked = data.assign(rank=data["group"].map(place))
    bars = alt.Chart(ranked).mark_bar()
    drawn: alt.Chart = (
        bars.encode(
            x=alt.X(
                "x:N",
                title=x_title,
                sort=list(columns),
                axis=alt.Axis(labelAngle=0, labelOverlap="greedy", ticks=False),
                scale=alt.Scale(paddingInner=0.25),
            ),
            y=alt.Y("value:Q", title=y_title, axis=alt.Axis(format="~s", tickCount=6)),
            color=group_colour("networks", order),
            order=alt.Order("rank:Q"),
            opacity=opacity(picked),
            tooltip=[
                alt.Tooltip("group:N", title="networks"),
                alt.Tooltip("x:N", title=x_title),
                alt.Tooltip("value:Q", title=y_title, format=NUMBER),
            ],
        )
        .add_params(*picked)
        .properties(width=WIDTH, height=260)
    )
    return drawn
