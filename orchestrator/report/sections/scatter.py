"""The objective along each axis of a study whose values were drawn rather than listed."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.figures import draw_scatter
from orchestrator.report.labels import Axis
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import count, is_loss, listed, metric_words, number

TITLE = "Along each axis"
MOST_FIGURES = 6
_SHARE = 0.1


def scatter_section(results: Results) -> Section:
    words = metric_words(results.metric)
    axes = [axis for axis in results.axes if axis.numeric]
    shown = axes[:MOST_FIGURES]
    lead = f"Final {words} of each configuration (mean over seeds) against its values."
    ranked = results.ranked()
    if ranked.empty:
        return Section(title=TITLE, lead=lead, finding="No configuration has completed yet.")
    runs = results.runs.drop_duplicates("configuration").set_index("configuration")
    data = runs.loc[ranked.index].assign(value=ranked["mean"])
    best = data.head(max(1, math.ceil(_SHARE * len(data))))
    finding = (
        f"The best tenth of the configurations ({len(best):,} of {len(data):,}) has "
        f"{listed([_stretch(axis, best) for axis in shown])}."
    )
    if len(axes) > len(shown):
        finding += f" Shown: {len(shown)} of {count(len(axes), 'axis', 'axes')}."
    return Section(
        title=TITLE,
        lead=lead,
        finding=finding,
        figures=[_figure(results, axis, data, words) for axis in shown],
        tables=[_table(shown, results.runs, best)],
        notes=[
            "Values were drawn, so each point differs from the others in all axes at once:"
            " what is seen along one axis is seen through the scatter of the rest."
        ],
    )


def _stretch(axis: Axis, best: pd.DataFrame) -> str:
    known = best[axis.column].dropna()
    if known.empty:
        return f"no {axis.name}"
    low, high = number(float(known.min())), number(float(known.max()))
    return f"{axis.name} {low}" if low == high else f"{axis.name} from {low} to {high}"


def _figure(results: Results, axis: Axis, data: pd.DataFrame, words: str) -> Figure:
    group = next((other for other in results.axes if not other.numeric), None)
    labels = data[group.column] if group is not None else pd.Series(words, index=data.index)
    frame = pd.DataFrame(
        {
            "x": data[axis.column].to_numpy(),
            "group": labels.to_numpy(),
            "value": data["value"].to_numpy(),
            "configuration": data.index,
        }
    ).dropna(subset=["x"])
    present = set(frame["group"])
    order = [text for text in group.texts.values() if text in present] if group else [words]
    title = group.name if group else "metric"
    chart = draw_scatter(
        frame,
        x_title=axis.name,
        y_title=words,
        group_title=title,
        order=order,
        log_x=axis.log,
        log_y=is_loss(results.metric) and bool((frame["value"] > 0).all()),
    )
    return Figure(
        name=f"along_{axis.path.replace('.', '_')}",
        chart=chart,
        caption=f"Mean final {words} against {axis.name}, a point a configuration.",
        data=frame,
        columns={"x": axis.path, "group": title, "value": results.metric},
    )


def _table(axes: list[Axis], runs: pd.DataFrame, best: pd.DataFrame) -> Table:
    rows = []
    for axis in axes:
        whole, part = runs[axis.column].dropna(), best[axis.column].dropna()
        ends = [
            f"{number(float(some.min()))} – {number(float(some.max()))}" if len(some) else "–"
            for some in (whole, part)
        ]
        first = best[axis.column].iloc[0]
        rows.append([axis.name, number(float(first)), ends[1], ends[0]])
    return Table(
        head=["axis", "at the best", "in the best tenth", "tried"], rows=rows, align="lrrr"
    )
