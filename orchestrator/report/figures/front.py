"""Two objectives against each other, with the Pareto front."""

from __future__ import annotations

import altair as alt
import pandas as pd

from orchestrator.report.figures.parts import NUMBER, WIDTH, Chart, axis, scale

HEIGHT = 360
KINDS = ["on the front", "dominated"]


def draw_front(
    data: pd.DataFrame, *, x_title: str, y_title: str, log_x: bool, log_y: bool
) -> Chart:
    """Dominated configurations light, the front marked, and joined in the order of x.

    ``data`` has a row a configuration: x, y, kind (of ``KINDS``), configuration. The line only
    leads the eye: nothing was measured between its points.
    """
    ends = {
        name: (float(data[name].min()), float(data[name].max()), log)
        for name, log in (("x", log_x), ("y", log_y))
    }
    x = alt.X(
        "x:Q", title=x_title, scale=scale(log_x, padding=14), axis=axis(*ends["x"], grid=False)
    )
    y = alt.Y("y:Q", title=y_title, scale=scale(log_y, padding=14), axis=axis(*ends["y"]))
    kinds = alt.Scale(domain=KINDS)
    points = alt.Chart(data).mark_point(filled=True, strokeWidth=0)
    front = data[data["kind"] == KINDS[0]].sort_values(["x", "y"])
    line = alt.Chart(front).mark_line(strokeWidth=1.5, opacity=0.6)
    return alt.layer(
        line.encode(x=x, y=y, order=alt.Order("x:Q"), color=alt.Color("kind:N", scale=kinds)),
        points.encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", title=None, scale=kinds),
            opacity=alt.condition(alt.datum.kind == KINDS[0], alt.value(1.0), alt.value(0.3)),
            size=alt.condition(alt.datum.kind == KINDS[0], alt.value(70), alt.value(36)),
            tooltip=[
                alt.Tooltip("configuration:N", title="configuration"),
                alt.Tooltip("x:Q", title=x_title, format=NUMBER),
                alt.Tooltip("y:Q", title=y_title, format=NUMBER),
            ],
        ),
    ).properties(width=WIDTH, height=HEIGHT)
