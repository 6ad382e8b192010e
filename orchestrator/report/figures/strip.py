"""Runs without a value, marked along the top of a figure: diverged ones, and stopped ones."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

LOST = ("diverged", "stopped")
CROSS = "M-0.7,-0.7L0.7,0.7M0.7,-0.7L-0.7,0.7"
_SHAPES = {"diverged": CROSS, "stopped": "triangle-down"}


def strip(data: pd.DataFrame, log_y: bool) -> tuple[pd.DataFrame, list[float]]:
    """Lost runs with a place above all values, a line for each status and group; the y domain.

    Args:
        data: a row a run: x, group, status, value (NaN where it has none).

    Returns:
        A row for each x, group and status: x, group, status, runs (text), value (where its mark
        stands).
    """
    values = np.log10(data["value"].dropna()) if log_y else data["value"].dropna()
    low, high = float(values.min()), float(values.max())
    span = (high - low) or max(abs(high), 1.0) * 0.1
    sizes = data.groupby(["x", "group"], sort=False).size()
    without = data[data["value"].isna() & data["status"].isin(LOST)]
    frame = without.groupby(["status", "x", "group"], sort=False).size().rename("n").reset_index()
    frame = frame.sort_values("status", kind="stable").reset_index(drop=True)
    keys = list(zip(frame["status"], frame["group"], strict=True))
    lines = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    height = high + span * (0.12 + 0.05 * np.array([lines[key] for key in keys], dtype=float))
    frame["value"] = 10**height if log_y else height
    frame["runs"] = [
        f"{n} of {sizes[x, group]} runs {status}"
        for x, group, n, status in zip(
            frame["x"], frame["group"], frame["n"], frame["status"], strict=True
        )
    ]
    ends = [low - 0.05 * span, max([high, *height]) + 0.05 * span]
    return frame.drop(columns="n"), [10**end for end in ends] if log_y else ends


def strip_layers(lost: pd.DataFrame, **encodings: Any) -> list[alt.Chart]:
    """Marks for each status, and beside them the word that says what they are."""
    layers = []
    for status in LOST:
        rows = lost[lost["status"] == status]
        if rows.empty:
            continue
        marks = alt.Chart(rows).mark_point(
            shape=_SHAPES[status], size=50, strokeWidth=1.4, filled=False
        )
        layers.append(marks.encode(**encodings))
        place = pd.DataFrame({"value": [rows["value"].mean()], "text": [status]})
        # Among the labels of the axis, which has none so high; marks may stand anywhere else.
        text = alt.Chart(place).mark_text(align="right", baseline="middle", fontSize=11, dx=-5)
        layers.append(text.encode(x=alt.value(0), y=encodings["y"], text="text:N"))
    return layers
