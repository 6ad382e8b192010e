"""The objective along each axis of a study whose values were drawn rather than listed."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.figures import draw_scatter
from orchestrator.report.figures.strip import LOST
from orchestrator.report.labels import Axis, long_name
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.statistics import thinned_ranking
from orchestrator.report.text import count, drawn_of, is_loss, listed, metric_words, number

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
    runs = _by_configuration(results)
    data = runs.loc[ranked.index].assign(value=ranked["mean"])
    lost = runs[~runs.index.isin(ranked.index) & runs["status"].isin(LOST)]
    every = pd.concat([data, lost.assign(value=math.nan)])
    best = data.head(max(1, math.ceil(_SHARE * len(data))))
    named = [axis for axis in results.axes if not axis.numeric]
    parts = [_stretch(axis, best) for axis in shown] + [_most(axis, best) for axis in named]
    finding = (
        f"The best tenth of the configurations ({len(best):,} of {len(data):,}) has "
        f"{listed(parts)}."
    )
    if len(axes) > len(shown):
        finding += f" Shown: {len(shown)} of {count(len(axes), 'axis', 'axes')}."
    return Section(
        title=TITLE,
        lead=lead,
        finding=finding,
        figures=[_figure(results, axis, every, words) for axis in shown],
        tables=[_table(shown, named, data, runs, best)],
        notes=[
            "Values were drawn, so each point differs from the others in all axes at once:"
            " what is seen along one axis is seen through the scatter of the rest."
        ],
    )


def _by_configuration(results: Results) -> pd.DataFrame:
    """A row a configuration: of its runs the one that keeps it from being ranked, if any."""
    order = {"diverged": 0, "stopped": 1}
    rank = results.runs["status"].map(order).fillna(2).where(~results.runs["whole"], 3)
    first = results.runs.loc[rank.sort_values(kind="stable").index]
    return first.drop_duplicates("configuration").set_index("configuration")


def _most(axis: Axis, best: pd.DataFrame) -> str:
    """The value that most of the best have: ``optimizer sgd (5 of 6)``."""
    counts = best[axis.column].value_counts()
    return f"{axis.name} {counts.index[0]} ({counts.iloc[0]} of {len(best)})"


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
            "status": data["status"].to_numpy(),
            "value": data["value"].to_numpy(),
            "configuration": data.index,
        }
    ).dropna(subset=["x"])
    drawn = pd.concat([some.iloc[thinned_ranking(len(some))] for some in _parts(frame)])
    present = set(frame["group"])
    order = [text for text in group.texts.values() if text in present] if group else [words]
    title = group.name if group else "metric"
    chart = draw_scatter(
        drawn,
        x_title=long_name(axis),
        y_title=words,
        group_title=title,
        order=order,
        log_x=axis.log,
        log_y=is_loss(results.metric) and bool((frame["value"].dropna() > 0).all()),
    )
    return Figure(
        name=f"along_{axis.path.replace('.', '_')}",
        chart=chart,
        caption=f"Mean final {words} against {long_name(axis)}, a point a configuration."
        f"{_marks(frame)}{drawn_of(len(drawn), len(frame))}",
        data=frame,
        columns={"x": axis.path, "group": title, "value": results.metric},
    )


def _parts(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Those with a value, in the order of the ranking, and those without."""
    known = frame["value"].notna()
    return [frame[known], frame[~known]]


def _marks(frame: pd.DataFrame) -> str:
    """What the marks along the top are."""
    kinds = [
        status for status in LOST if (frame["status"].eq(status) & frame["value"].isna()).any()
    ]
    return f" Along the top: {listed(kinds)} ones, without a final value." if kinds else ""


def _table(
    axes: list[Axis], named: list[Axis], data: pd.DataFrame, runs: pd.DataFrame, best: pd.DataFrame
) -> Table:
    rows = []
    for axis in named:
        tried, part = runs[axis.column].value_counts(), best[axis.column].value_counts()
        counted = [
            listed([f"{text} {some[text]}" for text in axis.texts.values() if text in some.index])
            for some in (part, tried)
        ]
        rows.append([axis.name, str(data[axis.column].iloc[0]), *counted])
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
