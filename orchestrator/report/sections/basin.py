"""The objective against the learning rate (or the first numeric axis), for each schedule."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.figures import draw_basin
from orchestrator.report.labels import Axis, in_words, long_name
from orchestrator.report.results import Results, best_over_rest
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.scatter import scatter_section
from orchestrator.report.statistics import Basin, find_basin
from orchestrator.report.text import NONE, count, is_loss, listed, metric_words, number

TOLERANCE = 0.1
MOST_GROUPS = 12
UNFINISHED = ("pending", "running")


def basin_section(results: Results) -> Section:
    axis, group = results.x_axis, results.group_axis
    words = metric_words(results.metric)
    if axis is None:
        return Section(
            title="The basin",
            lead=f"The {words} against a hyperparameter.",
            finding="Not applicable: no numeric hyperparameter was swept.",
        )
    if results.drawn:
        return scatter_section(results)
    name = long_name(axis)
    title = "The learning-rate basin" if axis.name == "lr" else f"The basin of {axis.name}"
    lead = f"Final {words} against the {name}{_rest(results, axis, group)}."
    data = best_over_rest(results, axis, group)
    if data["value"].isna().all():
        return Section(title=title, lead=lead, finding="No run has completed yet.")
    order, dropped = _shown_groups(data, group, results.mode)
    data = data[data["group"].isin(order)]
    basins = _basins(data, axis, order, results)
    open_groups = _thin(data)
    waiting = set(data.loc[data["status"].isin(UNFINISHED), "group"])
    group_title = group.name if group else "metric"
    log_y = is_loss(results.metric) and bool((data["value"].dropna() > 0).all())
    chart = draw_basin(
        data,
        x_title=name,
        y_title=words,
        group_title=group_title,
        order=order,
        log_x=axis.log,
        log_y=log_y,
    )
    caption = (
        f"Final {words} against the {name}. Points: single runs. Lines: means over seeds, where "
        "every seed has a final value. Along the top: runs without one, which diverged (×) or were "
        "stopped (▽)."
    )
    columns = {"x": axis.path, "group": group_title, "value": results.metric}
    return Section(
        title=title,
        lead=lead,
        finding=_finding(basins, results, bool(waiting), _early(data), thin=bool(open_groups))
        + dropped,
        figures=[Figure(name="basin", chart=chart, caption=caption, data=data, columns=columns)],
        tables=[_table(basins, axis, group_title, words, waiting, open_groups)] if basins else [],
        notes=[
            f"“Within 10 %” is the stretch around the best in which the mean {words} is worse by "
            "at most a tenth of its best value, interpolated between swept values; ≤ and ≥ mark an "
            "end beyond which nothing was measured with every seed."
        ],
    )


def _rest(results: Results, axis: Axis, group: Axis | None) -> str:
    by_group = f", for each {group.name}" if group else ""
    rest = [other.name for other in results.axes if other not in (axis, group)]
    return f"{by_group}{f', with {listed(rest)} at its best for each point' if rest else ''}"


def _shown_groups(data: pd.DataFrame, group: Axis | None, mode: str) -> tuple[list[str], str]:
    """The groups drawn, in the study's order; and a sentence on those left out."""
    present = set(data["group"])
    order = [t for t in group.texts.values() if t in present] if group else sorted(present)
    if len(order) <= MOST_GROUPS:
        return order, ""
    best = data[data["complete"]].groupby(["group", "x"])["value"].mean().groupby("group")
    ranked = best.min().sort_values() if mode == "min" else -(-best.max()).sort_values()
    kept = set(ranked.index[:MOST_GROUPS])
    shown = [text for text in order if text in kept]
    return shown, f" Shown: the best {len(shown)} of {len(order)} values of {group.name}." if (
        group
    ) else ""


def _basins(data: pd.DataFrame, axis: Axis, order: list[str], results: Results) -> dict[str, Basin]:
    """Group → its basin, for groups with a complete configuration; the best group first."""
    basins = {}
    for text in order:
        rows = data[data["group"] == text]
        values = rows["value"].where(rows["complete"])
        means = values.groupby(rows["x"]).mean().sort_index()
        if means.notna().any():
            basins[text] = find_basin(
                means.index.to_numpy(dtype=float),
                means.to_numpy(dtype=float),
                mode=results.mode,
                swept=list(axis.texts),
                log=axis.log,
                tolerance=TOLERANCE,
            )
    sign = 1 if results.mode == "min" else -1
    return dict(sorted(basins.items(), key=lambda item: sign * item[1].best_y))


def _early(data: pd.DataFrame) -> pd.Series:
    """The runs that were stopped before they could be compared."""
    return data["status"].eq("stopped") & data["value"].isna()


def _thin(data: pd.DataFrame) -> set[str]:
    """Groups of which early stopping has left fewer than three points: no curve to speak of."""
    points = data[data["complete"]].groupby("group")["x"].nunique()
    return {group for group in data.loc[_early(data), "group"] if points.get(group, 0) < 3}


def _finding(
    basins: dict[str, Basin], results: Results, waiting: bool, early: pd.Series, *, thin: bool
) -> str:
    axis, group = results.x_axis, results.group_axis
    assert axis is not None
    if not basins:
        return f"No value of {axis.name} has a final value with every seed."
    text, best = next(iter(basins.items()))
    of_group = f", reached by {in_words(text, group)}" if len(basins) > 1 else ""
    words = metric_words(results.metric)
    first = f"The best {words} is at {axis.name} {axis.texts[best.best_x]}{of_group}."
    stopped = (
        f"{early.sum():,} of the {len(early):,} runs were stopped early: where they would have "
        "ended is not known."
        if early.any()
        else ""
    )
    shape = [] if thin and not waiting else [_edges(basins, axis, waiting), _widths(basins, axis)]
    return " ".join(part for part in [first, *shape, stopped] if part)


def _edges(basins: dict[str, Basin], axis: Axis, waiting: bool) -> str:
    if waiting:
        return "Whether that is inside the swept range is known when all runs are done."
    at_edge = {text: basin for text, basin in basins.items() if basin.edge != "inside"}
    if len(axis.texts) < 3:
        return ""
    if not at_edge:
        return (
            "It lies inside the swept range."
            if len(basins) == 1
            else f"Each of the {len(basins)} curves has its best inside the swept range."
        )
    if len(basins) == 1:
        edge = next(iter(at_edge.values())).edge
        return f"It lies on the {edge} edge of the swept range: extend the sweep."
    where = [
        f"{text} ({basin.edge} edge, {axis.name} {axis.texts[basin.best_x]})"
        for text, basin in at_edge.items()
    ]
    return (
        f"{count(len(at_edge), 'curve')} of {len(basins)} "
        f"{'has its' if len(at_edge) == 1 else 'have their'} best on an edge of the swept range, "
        f"so the sweep should be extended there: {listed(where)}."
    )


def _widths(basins: dict[str, Basin], axis: Axis) -> str:
    known = {t: b for t, b in basins.items() if axis.log and math.isfinite(b.decades)}
    if not known:
        return ""
    widest = max(known, key=lambda text: known[text].decades)
    narrowest = min(known, key=lambda text: known[text].decades)
    if len(known) == 1:
        return f"Within 10 % of it over {_decades(known[widest])}."
    return (
        f"The widest basin is that of {widest} ({_decades(known[widest])}), "
        f"the narrowest that of {narrowest} ({_decades(known[narrowest])})."
    )


def _decades(basin: Basin) -> str:
    more = "at least " if basin.open_low or basin.open_high else ""
    return f"{more}{basin.decades:.2f} decades"


def _table(
    basins: dict[str, Basin],
    axis: Axis,
    group_title: str,
    words: str,
    waiting: set[str],
    thin: set[str],
) -> Table:
    rows = [
        [
            text,
            axis.texts[basin.best_x],
            number(basin.best_y, pad=True),
            "not yet known" if text in waiting else "not known" if text in thin else _where(basin),
            f"{'≤ ' if basin.open_low else ''}{number(basin.low)} – "
            f"{'≥ ' if basin.open_high else ''}{number(basin.high)}",
            f"{'≥ ' if basin.open_low or basin.open_high else ''}{basin.decades:.2f}"
            if axis.log
            else NONE,
        ]
        for text, basin in basins.items()
    ]
    head = [group_title, f"best {axis.name}", words, "where", "within 10 %", "decades"]
    return Table(head=head, rows=rows, align="lrrlrr")


def _where(basin: Basin) -> str:
    return basin.edge if basin.edge == "inside" else f"{basin.edge} edge"
