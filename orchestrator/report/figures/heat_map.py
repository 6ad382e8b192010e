"""A metric over two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from orchestrator.report.figures.parts import GREY, PERCENT, WIDTH, Chart, log_ticks, scale


def draw_heat_map(
    data: pd.DataFrame,
    *,
    x_title: str,
    y_title: str,
    value_title: str,
    columns: Sequence[str],
    rows: Sequence[str],
    log: bool,
    higher_is_better: bool,
    percent: bool = False,
) -> Chart:
    """A cell for each pair of values; brighter is better, grey where there is no mean.

    ``data`` has a row a cell: x and y (labels), value (NaN: not measured with every seed),
    text (what the cell says).
    """
    cells = data.assign(ink=_ink(data["value"], log, higher_is_better))
    gaps = alt.Scale(paddingInner=0.03, paddingOuter=0)
    bare: dict[str, Any] = {"ticks": False, "domain": False, "labelPadding": 7}
    x_axis = alt.Axis(labelAngle=0, labelOverlap=True, **bare)
    x = alt.X("x:N", title=x_title, sort=list(columns), scale=gaps, axis=x_axis)
    y = alt.Y("y:N", title=None, sort=list(rows), scale=gaps, axis=alt.Axis(**bare))
    # Cells take the fill channel, for the text has colours of its own on the colour channel.
    fill = alt.Fill(
        "value:Q",
        scale=scale(log, scheme="viridis", reverse=not higher_is_better),
        legend=_legend(data["value"], value_title, log, percent),
    )
    tooltip = [
        alt.Tooltip("y:N", title=y_title),
        alt.Tooltip("x:N", title=x_title),
        alt.Tooltip("text:N", title=value_title),
    ]
    # As large as a cell allows; left out where that is too small to read.
    size = f"min(11, width / {max(len(columns), 1)} / 3.2)"
    text = alt.Chart(cells).mark_text(
        fontSize=alt.ExprRef(size), opacity=alt.ExprRef(f"{size} < 7.5 ? 0 : 1"), tooltip=False
    )
    known, unknown = cells.dropna(subset=["value"]), cells[cells["value"].isna()]
    layers = [
        alt.Chart(known).mark_rect().encode(x=x, y=y, fill=fill, tooltip=tooltip),
        alt.Chart(unknown).mark_rect(fill=GREY, fillOpacity=0.16).encode(x=x, y=y, tooltip=tooltip),
        text.encode(x=x, y=y, text="text:N", color=alt.Color("ink:N", scale=None, legend=None)),
    ]
    height = (30 if len(rows) < 12 else 22) * max(len(rows), 1)
    return alt.layer(*layers).properties(width=WIDTH, height=height)


def _legend(values: pd.Series, title: str, log: bool, percent: bool) -> alt.Legend:
    ticks = log_ticks(float(values.min()), float(values.max()), most=5) if log else None
    options: dict[str, Any] = (
        {"values": ticks, "tickCount": len(ticks)} if ticks else {"tickCount": 4}
    )
    if percent:
        options["labelExpr"] = PERCENT
    length = alt.ExprRef("clamp(width, 100, 220)")
    return alt.Legend(title=title, format="~g", gradientLength=length, **options)


def _ink(values: pd.Series, log: bool, higher_is_better: bool) -> list[str]:
    """Black on the bright half of the colour scale, white on the dark one, grey elsewhere."""
    place = np.log10(values.to_numpy(dtype=float)) if log else values.to_numpy(dtype=float)
    low, high = np.nanmin(place), np.nanmax(place)
    bright = (place - low) / (high - low) if high > low else np.zeros_like(place)
    bright = bright if higher_is_better else 1 - bright
    return [GREY if math.isnan(b) else "#000" if b > 0.45 else "#fff" for b in bright]
