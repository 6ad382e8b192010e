"""The objective over two axes: schedule × learning rate, or whatever was swept."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_heat_map
from orchestrator.report.labels import Axis, in_words, long_name
from orchestrator.report.results import Results, best_over_rest
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import count, is_loss, metric_words, number

MOST_COLUMNS = 40
TITLE = "The whole grid"


def heat_map_section(results: Results) -> Section | None:
    """None where values were drawn, so that there is no grid."""
    if results.drawn:
        return None
    axis, group = results.x_axis, results.group_axis
    words = metric_words(results.metric)
    lead = f"Mean final {words} for each pair of values; brighter is better."
    if axis is None or group is None:
        why = "Not applicable: it takes two swept hyperparameters, one of them numeric."
        return Section(title=TITLE, lead=lead, finding=why)
    lead = f"Mean final {words} for each {group.name} and {axis.name}; brighter is better."
    if max(len(axis.texts), len(group.texts)) > MOST_COLUMNS:
        why = f"Left out: more than {MOST_COLUMNS} values along an axis, too many to read."
        return Section(title=TITLE, lead=lead, finding=why)
    cells = _cells(best_over_rest(results, axis, group), axis)
    if cells["value"].isna().all():
        why = "No configuration has completed with every seed yet."
        return Section(title=TITLE, lead=lead, finding=why)
    chart = draw_heat_map(
        cells,
        x_title=long_name(axis),
        y_title=group.name,
        value_title=words,
        columns=list(axis.texts.values()),
        rows=[text for text in group.texts.values() if text in set(cells["y"])],
        log=is_loss(results.metric) and bool((cells["value"].dropna() > 0).all()),
        higher_is_better=results.mode == "max",
    )
    caption = (
        f"Mean final {words} over seeds. Grey: not complete with every seed; × n: n of the "
        "seeds diverged; ▽: stopped early."
    )
    columns = {"x": axis.path, "y": group.path, "value": results.metric}
    figure = Figure(name="grid", chart=chart, caption=caption, data=cells, columns=columns)
    return Section(
        title=TITLE, lead=lead, finding=_finding(cells, axis, group, results), figures=[figure]
    )


def _cells(runs: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """One row a cell: x, y (labels), value, runs, diverged, stopped, text."""
    cells = (
        runs.assign(
            value=runs["value"].where(runs["complete"]),
            lost=runs["status"] == "diverged",
            early=(runs["status"] == "stopped") & runs["value"].isna(),
        )
        .groupby(["x", "group"], sort=False, as_index=False)
        .agg(
            value=("value", "mean"),
            runs=("seed", "size"),
            diverged=("lost", "sum"),
            stopped=("early", "sum"),
        )
    )
    text = [
        number(value, pad=True) if value == value else f"×{lost}" if lost else "▽" if early else "–"
        for value, lost, early in zip(
            cells["value"], cells["diverged"], cells["stopped"], strict=True
        )
    ]
    named = cells.assign(x=cells["x"].map(axis.texts), text=text)
    return named.rename(columns={"group": "y"})


def _finding(cells: pd.DataFrame, axis: Axis, group: Axis, results: Results) -> str:
    known = cells.dropna(subset=["value"])
    sign = 1 if results.mode == "min" else -1
    ordered = known.iloc[(sign * known["value"]).argsort(kind="stable")]
    best, worst = ordered.iloc[0], ordered.iloc[-1]
    lost = int((cells["diverged"] > 0).sum())
    diverged = f" In {count(lost, 'cell')} of {len(cells)} a run diverged." if lost else ""
    ends = (
        f"From {number(best['value'])} ({in_words(best['y'], group)}, {axis.name} {best['x']}) to "
        f"{number(worst['value'])} ({in_words(worst['y'], group)}, {axis.name} {worst['x']})."
    )
    early = int(((cells["stopped"] > 0) & cells["value"].isna()).sum())
    stopped = f" In {early} of {len(cells)} cells runs were stopped early." if early else ""
    # What a few survivors span says nothing of an axis.
    strength = _strength(known, axis, group) if 2 * len(known) >= len(cells) else ""
    return f"{ends}{strength}{diverged}{stopped}"


def _strength(known: pd.DataFrame, axis: Axis, group: Axis) -> str:
    """Which of the two moves the metric more: the median of its span along each."""
    along_axis = _median_span(known, "y")
    along_group = _median_span(known, "x")
    if not along_axis > 0 or not along_group > 0 or along_axis == along_group:
        return ""
    names = long_name(axis), long_name(group)
    stronger, weaker = names if along_axis > along_group else names[::-1]
    high, low = max(along_axis, along_group), min(along_axis, along_group)
    return (
        f" The {stronger} matters more than the {weaker}: along it the values span "
        f"{number(high)}, along the {weaker} {number(low)} (medians)."
    )


def _median_span(known: pd.DataFrame, fixed: str) -> float:
    by_line = known.groupby(fixed)["value"]
    return float((by_line.max() - by_line.min())[by_line.size() > 1].median())
