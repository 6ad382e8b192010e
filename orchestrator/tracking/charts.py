"""What the study's own run draws: pure functions of the frames.

W&B draws its charts with Vega from a table and one of its presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from orchestrator.tracking import naming

_MOST_AXES = 20
_MOST_POINTS = 10_000
"""W&B draws no more rows of a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart of W&B's over a table. ``x``, ``y`` and ``line`` are columns of it."""

    key: str
    kind: Literal["scatter", "bar", "lines"]
    title: str
    x: str
    y: str
    table: pd.DataFrame
    line: str = ""


def charts(
    runs: pd.DataFrame, history: pd.DataFrame, objective: Mapping[str, str], top: int
) -> list[Chart]:
    """The objective along every axis, the best configurations, and their curves.

    None where nothing has ended with a number.
    """
    best = naming.best_configurations(runs, objective, top)
    if not best:
        return []
    labels = naming.axes(runs)
    along = [
        _axis(runs, objective, column, label) for column, label in list(labels.items())[:_MOST_AXES]
    ]
    first = {ids[0]: (mean, ids) for mean, ids in best}
    names = {
        row["run_id"]: naming.configuration_name(row, labels) or str(row["study"])
        for row in naming.records(runs[runs["run_id"].isin(list(first))])
    }
    metric = objective["metric"]
    bars = pd.DataFrame(
        {"configuration": [names[one] for one in first], metric: [mean for mean, _ in best]}
    )
    ranked = Chart(
        key="charts/best",
        kind="bar",
        title=f"Best configurations: mean of {metric} over seeds",
        x="configuration",
        y=metric,
        table=bars,
    )
    curves = _curves(history, metric, names)
    return [*along, ranked, *([curves] if curves is not None else [])]


def _axis(runs: pd.DataFrame, objective: Mapping[str, str], column: str, label: str) -> Chart:
    """Points of a number; of anything else the best of each value as bars."""
    metric = objective["metric"]
    table = pd.DataFrame({label: runs[column], metric: runs[f"final/{metric}"]}).dropna()
    numeric = pd.api.types.is_numeric_dtype(table[label]) and not (
        pd.api.types.is_bool_dtype(table[label])
    )
    if not numeric:
        groups = table.assign(**{label: table[label].astype(str)}).groupby(label)[metric]
        found = groups.max() if objective.get("mode") == "max" else groups.min()
        table = found.reset_index()
    return Chart(
        key=f"charts/{label}",
        kind="scatter" if numeric else "bar",
        title=f"{metric} by {label}" if numeric else f"Best {metric} of each {label}",
        x=label,
        y=metric,
        table=table.head(_MOST_POINTS),
    )


def _curves(history: pd.DataFrame, metric: str, names: Mapping[str, str]) -> Chart | None:
    """The objective over steps, of the first seed of each of the best configurations."""
    if metric not in history:
        return None
    rows = history[history["run_id"].isin(list(names))].dropna(subset=[metric])
    thin = max(1, -(-len(rows) // _MOST_POINTS))
    rows = rows.iloc[::thin]
    return Chart(
        key="charts/curves",
        kind="lines",
        title=f"{metric} of the best configurations",
        x="step",
        y=metric,
        line="configuration",
        table=pd.DataFrame(
            {
                "step": rows["step"],
                metric: rows[metric],
                "configuration": rows["run_id"].map(dict(names)),
            }
        ),
    )
