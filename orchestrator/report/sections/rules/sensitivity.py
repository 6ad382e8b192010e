"""How exactly each rule wants its learning rate: the width of its basin, seed by seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from orchestrator.report.comparisons import Comparison, against
from orchestrator.report.figures import draw_forest
from orchestrator.report.labels import Axis, long_name
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.rules.trials import Trials, has_target, trials_of
from orchestrator.report.sections.rules.words import by, difference_text, told, verdict
from orchestrator.report.statistics import (
    Basin,
    complete_configurations,
    find_basin,
    mean_intervals,
)
from orchestrator.report.text import NONE, count, fixed, metric_words, number

TITLE = "How exactly the peak must be set"
TOLERANCE = 0.1
UNFINISHED = ("pending", "running")
FEWEST = 3
"""So many values of the axis make a basin."""


@dataclass(frozen=True, kw_only=True)
class Width:
    """How wide the basin of a rule is."""

    rule: str
    basin: Basin
    """Of the means over seeds."""
    of_all: Basin
    """Within a tenth of the best of all rules."""
    decades: pd.Series
    """seed → width of that seed's own basin."""
    open: bool
    """Whether the basin of some seed may go on where nothing was measured."""
    mean: float
    low: float
    high: float
    comparison: Comparison | None = None
    """With the widest."""


def sensitivity_section(results: Results) -> Section | None:
    """None without rules, or without a grid along a logarithmic axis."""
    trials, axis = trials_of(results), results.x_axis
    if trials is None or axis is None or not axis.log or results.drawn or has_target(results):
        return None
    if len(axis.texts) < FEWEST:
        return None
    horizon = trials.horizons[-1]
    words = metric_words(results.metric)
    lead = (
        f"The stretch of the {long_name(axis)} within which each {trials.title()} ends at most a "
        f"tenth worse than at its best {words}, in decades."
    )
    table = trials.at(horizon)
    waiting = set(table.loc[table["status"].isin(UNFINISHED), "rule"])
    found = widths(table[~table["rule"].isin(waiting)], trials, axis)
    if not found:
        why = f"No {trials.title()} has {FEWEST} values of {axis.name} with every seed yet."
        return Section(title=TITLE, lead=lead, finding=why)
    data = _data(found)
    chart = draw_forest(
        data,
        x_title="decades within 10 % of the best",
        group_title=trials.title(),
        order=data["group"].tolist(),
        best="widest",
    )
    caption = (
        f"Width of the basin of each {trials.title()}: mean of the seeds' own basins with its 95 % "
        "interval."
    )
    columns = {"group": trials.title(), "value": "decades"}
    figure = Figure(name="sensitivity", chart=chart, caption=caption, data=data, columns=columns)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(found, trials, axis, horizon),
        figures=[figure],
        tables=[_table(found, trials, axis)],
        notes=[
            "The width of each seed is measured on its own curve, other settings as they are best "
            "on the mean, and widths are compared in pairs by seed (Holm's correction). Ends are "
            "interpolated between swept values. ≥: for some seed nothing was measured beyond an "
            "end, or runs diverged there, so its width is a lower bound, and so is the interval. "
            "“Of the best of all” is the stretch within a tenth of the best value of any "
            f"{trials.title()}: a wide basin is of little use where its floor is high."
        ],
    )


def curves_of(table: pd.DataFrame, trials: Trials) -> dict[str, pd.DataFrame]:
    """Rule → objective by x (rows) and seed (columns): of each x the complete configuration with
    the best mean; x without one are left out."""
    kept = table[table["configuration"].isin(complete_configurations(table, trials.seeds))]
    means = kept.groupby(["rule", "x", "configuration"], sort=False)["objective"].mean()
    ordered = means.sort_values(ascending=trials.mode == "min", kind="stable").reset_index()
    best = ordered.drop_duplicates(["rule", "x"])["configuration"]
    chosen = kept[kept["configuration"].isin(best)]
    return {
        str(rule): own.pivot_table(index="x", columns="seed", values="objective")
        for rule, own in chosen.groupby("rule", sort=False)
    }


def widths(table: pd.DataFrame, trials: Trials, axis: Axis) -> list[Width]:
    """Widest first; rules with too few values of x are left out."""
    curves = {
        rule: curve for rule, curve in curves_of(table, trials).items() if len(curve) >= FEWEST
    }
    if not curves:
        return []
    sign = 1 if trials.mode == "min" else -1
    best = sign * min(float((sign * curve.mean(axis=1)).min()) for curve in curves.values())
    swept = {rule: sorted(own["x"].unique()) for rule, own in table.groupby("rule")}
    found = [_width(rule, curve, swept[rule], best, trials) for rule, curve in curves.items()]
    found.sort(key=lambda width: -width.mean)
    first, *others = found
    compared = against({w.rule: w.decades for w in others}, first.decades)
    return [first, *(replace(w, comparison=compared[w.rule]) for w in others)]


def _width(
    rule: str, curve: pd.DataFrame, swept: list[float], best: float, trials: Trials
) -> Width:
    # Values that were tried and are not complete stay in the curve, so that an end beside them
    # counts as open.
    whole = curve.reindex(swept)
    x = whole.index.to_numpy(dtype=float)
    find = partial(find_basin, x, mode=trials.mode, swept=swept, tolerance=TOLERANCE)
    each = {seed: find(whole[seed].to_numpy(dtype=float)) for seed in whole.columns}
    decades = pd.Series({seed: basin.decades for seed, basin in each.items()})
    interval = mean_intervals(decades.rename("d").to_frame().assign(k=0), ["k"], "d").iloc[0]
    mean = whole.mean(axis=1).to_numpy(dtype=float)
    return Width(
        rule=rule,
        basin=find(mean),
        of_all=find(mean, best_of_all=best),
        decades=decades,
        open=any(basin.open_low or basin.open_high for basin in each.values()),
        mean=float(interval["mean"]),
        low=float(interval["low"]),
        high=float(interval["high"]),
    )


def _finding(found: list[Width], trials: Trials, axis: Axis, horizon: float) -> str:
    widest, *others = found
    at = trials.words(horizon)
    head = f"With {at}, {widest.rule}" if at else widest.rule[:1] + widest.rule[1:]
    first = f"{head} has the widest basin: {_decades(widest)}."
    if not others:
        return first
    narrowest = others[-1]
    last = f" The narrowest is that of {narrowest.rule}: {_decades(narrowest)}"
    c = narrowest.comparison
    if c is None or math.isnan(c.p):
        return f"{first}{last}; with one seed nobody can say whether by chance."
    last += f", narrower by {by(c.difference)}{verdict(c)}."
    known = [w for w in others if w.comparison and not math.isnan(w.comparison.p)]
    apart = [w for w in known if w.comparison and w.comparison.told_apart]
    correction = f", corrected for {len(known)} comparisons" if len(known) > 1 else ""
    many = (
        f" {len(apart) or 'None'} of the {count(len(known), 'other')} can be told from the widest"
        f"{correction}."
        if len(known) > 1
        else ""
    )
    return f"{first}{last}{many}{_useful(found)}"


def _useful(found: list[Width]) -> str:
    """Which stay within a tenth of the best of all, and for how long."""
    within = [w for w in found if w.of_all.decades > 0 or w.of_all.open_low or w.of_all.open_high]
    if len(within) < 2:
        return ""
    best = max(within, key=lambda width: width.of_all.decades)
    more = "at least " if best.of_all.open_low or best.of_all.open_high else ""
    return (
        f" Within 10 % of the best of all are {len(within)} of {len(found)}, over the longest "
        f"stretch {best.rule} ({more}{best.of_all.decades:.2f} decades)."
    )


def _decades(width: Width) -> str:
    more = "at least " if width.open else ""
    if math.isnan(width.low):
        return f"{more}{width.mean:.2f} decades"
    return (
        f"{more}{width.mean:.2f} decades (95 % interval {fixed(width.low, 2)} to "
        f"{fixed(width.high, 2)}, {count(len(width.decades), 'seed')})"
    )


def _data(found: list[Width]) -> pd.DataFrame:
    rows = []
    for width in found:
        c = width.comparison
        rows.append(
            {
                "group": width.rule,
                "details": f"best at {number(width.basin.best_x)}",
                "value": width.mean,
                "low": max(width.low, 0.0) if width.low == width.low else np.nan,
                "high": width.high,
                "kind": "widest"
                if c is None
                else "told apart"
                if c.told_apart
                else "not told apart",
            }
        )
    return pd.DataFrame(rows)


def _table(found: list[Width], trials: Trials, axis: Axis) -> Table:
    rows = [
        [
            width.rule,
            axis.texts[width.basin.best_x],
            f"{'≥ ' if width.open else ''}{fixed(width.mean, 2)}"
            + (
                f" [{fixed(width.low, 2)}, {fixed(width.high, 2)}]"
                if width.low == width.low
                else ""
            ),
            difference_text(width.comparison),
            told(width.comparison),
            _stretch(width.basin),
            _of_all(width.of_all),
        ]
        for width in found
    ]
    return Table(
        head=[
            trials.title(),
            f"best {axis.name}",
            "decades [95 %]",
            "difference to the widest [95 %]",
            "told apart",
            "stretch, on the mean",
            "decades of the best of all",
        ],
        rows=rows,
        align="lrrrlrr",
    )


def _stretch(basin: Basin) -> str:
    low, high = "≤ " if basin.open_low else "", "≥ " if basin.open_high else ""
    return f"{low}{number(basin.low)} – {high}{number(basin.high)}"


def _of_all(basin: Basin) -> str:
    if not basin.decades > 0 and not (basin.open_low or basin.open_high):
        return NONE
    return f"{'≥ ' if basin.open_low or basin.open_high else ''}{basin.decades:.2f}"
