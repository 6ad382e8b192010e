"""The best of each study over training, and what each would have come to with fewer tries."""

from __future__ import annotations

import math
from dataclasses import replace

import altair as alt
import pandas as pd

from orchestrator.report.compare.studies import Best, Studies, Study, bests, of_task
from orchestrator.report.figures import draw_curves
from orchestrator.report.figures.lines import Across, draw_lines
from orchestrator.report.figures.parts import axis, scale
from orchestrator.report.results import Results, time_column
from orchestrator.report.sections.curves import curve_data
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.sections.tuning_curve import FEWEST, clear_of, final_values
from orchestrator.report.text import count, is_loss, listed, metric_words, number
from orchestrator.report.tuning_curve import tuning_curve

MOST_TASKS = 4
"""A figure each."""


def curves_section(studies: Studies) -> Section | None:
    """None where no best configuration has a history."""
    words = metric_words(studies.metric)
    clock = _clock(studies)
    figures, findings = [], []
    for place, (task, several) in enumerate(list(bests(studies).items())[:MOST_TASKS]):
        data = _curves(studies, several, clock)
        if data.empty:
            continue
        where = of_task(task, studies.tasks)
        figures.append(_curve_figure(data, where, studies.metric, clock, place))
        findings.append(where + _crossing(data, studies.mode, words, clock))
    if not figures:
        return None
    return Section(
        title="Over training",
        lead=f"The {words} of each study's best configuration: mean over seeds, band from lowest "
        "to highest.",
        finding=" ".join(findings),
        figures=figures,
    )


def _clock(studies: Studies) -> str:
    """``epoch``; or ``step``, where one of them is shorter than two epochs."""
    clocks = {time_column(one.results.history) for one in studies.each if len(one.results.history)}
    return "epoch" if clocks == {"epoch"} else "step"


def _curves(studies: Studies, several: list[Best], clock: str) -> pd.DataFrame:
    parts = []
    for best in several:
        results = _of(studies, best.study).results
        if studies.metric in results.history and len(results.history):
            own = results.runs[results.runs["run_id"].isin(best.runs["run_id"])]
            data = curve_data(_with_runs(results, own), [best.configuration], studies.metric, clock)
            parts.append(data.assign(group=best.study))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _with_runs(results: Results, runs: pd.DataFrame) -> Results:
    return replace(results, runs=runs)


def _of(studies: Studies, name: str) -> Study:
    return next(one for one in studies.each if one.name == name)


def _curve_figure(data: pd.DataFrame, where: str, metric: str, clock: str, place: int) -> Figure:
    words = metric_words(metric)
    chart = draw_curves(
        data,
        x_title=f"{clock}s",
        y_title=words,
        group_title="study",
        order=list(dict.fromkeys(data["group"])),
        log_y=is_loss(metric) and bool((data["low"] > 0).all()),
    )
    return Figure(
        name=f"compare_curves_{place}",
        chart=chart,
        caption=f"{where}{words.capitalize()} of each study's best configuration over training.",
        data=data,
        columns={"x": clock, "group": "study", "value": metric},
    )


def _crossing(data: pd.DataFrame, mode: str, words: str, clock: str) -> str:
    """Who leads half-way to where the shortest ends, and who there."""
    if data["group"].nunique() < 2:
        return f"{data['group'].iloc[0]} alone has a history."
    end = float(data.groupby("group")["x"].max().min())
    half, last = (_leader(data[data["x"] <= share * end], mode) for share in (0.5, 1.0))
    upto = f"{clock} {number(end)}, where the shortest ends"
    if not half:
        return f"{last} has the best {words} at {upto}."
    if half != last:
        return f"{half} leads half-way to {upto}; there, {last} does."
    return f"{last} has the best {words} half-way to {upto}, and there."


def _leader(data: pd.DataFrame, mode: str) -> str:
    """Who has the best last value; empty where some have none yet."""
    last = data.sort_values("x").groupby("group")["value"].last()
    if len(last) < 2:
        return ""
    return str(last.idxmin() if mode == "min" else last.idxmax())


def tuning_section(studies: Studies) -> Section | None:
    """None where fewer than two studies have eight configurations that have ended, or where they
    have no task in common, or several."""
    if len(studies.tasks) > 1:
        return None
    values = {one.name: final_values(one.results, None)["value"] for one in studies.each}
    large = {name: own.to_numpy() for name, own in values.items() if len(own) >= FEWEST}
    if len(large) < 2:
        return None
    curves = {name: tuning_curve(own, studies.mode) for name, own in large.items()}
    budget = min(len(own) for own in large.values())
    data = pd.concat([curve.assign(group=name) for name, curve in curves.items()])
    data = data[data["x"] <= budget].dropna(subset=["value"])
    if data["group"].nunique() < 2:
        return None
    words = metric_words(studies.metric)
    left = [name for name in studies.names if name not in large]
    return Section(
        title="At equal tuning budgets",
        lead=f"The median final {words} of the best of n of each study's configurations, with a "
        "band that holds the whole curve with 95 % confidence.",
        finding=_tuning_finding(curves, budget, studies, words),
        figures=[_tuning_figure(data, budget, studies, words)],
        notes=[
            f"Drawn up to {count(budget, 'configuration')}, as many as the smallest study has. A "
            "configuration counts with the mean of its seeds, and as worse than all others where "
            "one of them diverged or was lost (Lourie, Cho & He 2024)."
            + (f" Fewer than {FEWEST} configurations: {listed(left)}." if left else "")
        ],
    )


def at_budget(curve: pd.DataFrame, budget: int) -> float:
    """The value at the last point up to so many tries; NaN where it is not known."""
    own = curve[curve["x"] <= budget]
    return float(own["value"].iloc[-1]) if len(own) else math.nan


def _tuning_finding(
    curves: dict[str, pd.DataFrame], budget: int, studies: Studies, words: str
) -> str:
    ends = {name: at_budget(curve, budget) for name, curve in curves.items()}
    known = {name: end for name, end in ends.items() if math.isfinite(end)}
    if not known:
        return "Half of all tries came to nothing in every study: no median is known."
    ordered = sorted(known, key=lambda name: known[name], reverse=studies.mode == "max")
    best = ordered[0]
    said = listed([f"{name} {number(known[name])}" for name in ordered])
    told = [
        name
        for name in ordered[1:]
        if clear_of(_upto(curves[best], budget), _upto(curves[name], budget), studies.mode == "min")
    ]
    apart = (
        f"The band of {best} is clear of {listed(told)} at some number of tries."
        if told
        else f"No band is clear of that of {best}, the best with so many."
    )
    return f"With {count(budget, 'try', 'tries')} each, median best {words}: {said}. {apart}"


def _upto(curve: pd.DataFrame, budget: int) -> pd.DataFrame:
    return curve[curve["x"] <= budget]


def _tuning_figure(data: pd.DataFrame, budget: int, studies: Studies, words: str) -> Figure:
    title = "configurations tried"
    channel = alt.X(
        "x:Q", title=title, scale=scale(True), axis=axis(1, float(budget), True, grid=False)
    )
    ends = data[["low", "value", "high"]]
    chart = draw_lines(
        data,
        across=Across(channel=channel, title=title),
        y_title=f"best {words} (median)",
        group_title="study",
        order=list(dict.fromkeys(data["group"])),
        log_y=is_loss(studies.metric) and bool((ends.min() > 0).all()),
        points=False,
    )
    return Figure(
        name="compare_tuning",
        chart=chart,
        caption=f"The best {words} of so many configurations of each study: median, and 95 % band.",
        data=data,
        columns={"x": "tries", "group": "study", "value": studies.metric},
    )
