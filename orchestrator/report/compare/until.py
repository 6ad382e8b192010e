"""Steps and time to a target, runs that have not reached it treated as censored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from orchestrator.report.compare.studies import Studies, Study, bests
from orchestrator.report.compare.survival import Median, kaplan_meier, median_time, times_to
from orchestrator.report.figures.lines import Across, draw_lines
from orchestrator.report.figures.parts import axis, scale
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.statistics import Mode, complete_configurations, thinned
from orchestrator.report.text import duration, listed, metric_words, number, percent

TITLE = "Until the target"
MOST_POINTS = 200
HIGHER = ("accuracy", "r2")
TARGET = "config.train.target"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    metric: str
    value: float
    mode: Mode
    why: str
    """Where it comes from."""


def target_section(studies: Studies) -> Section | None:
    """None where studies have no task in common, or several, or fewer than two a history."""
    target = find_target(studies) if len(studies.tasks) == 1 else None
    if target is None:
        return None
    known = [
        one
        for one in studies.each
        if target.metric in one.results.history and len(one.results.history)
    ]
    if len(known) < 2:
        return None
    clock = _clock(studies)
    chosen = {best.study: best.runs for several in bests(studies).values() for best in several}
    found = {
        (one.name, kind): _medians(one, runs, target, clock)
        for one in known
        for kind, runs in (("best", chosen.get(one.name)), ("all", one.results.runs))
        if runs is not None
    }
    found = {key: medians for key, medians in found.items() if medians}
    curves = _curves(known, target, clock)
    words = f"{metric_words(target.metric)} {number(target.value)}"
    return Section(
        title=TITLE,
        lead=f"When runs first are beyond {words}, {target.why}.",
        finding=_finding(found, clock, words),
        figures=[_figure(curves, clock, words)] if len(curves) else [],
        tables=[_table(found, clock)],
        notes=[
            "Medians and intervals are Kaplan and Meier's: a run that has not reached the target "
            "is known not to have by its last evaluation; one that diverged never would, and is "
            "followed to the end of the longest. ∞: as far as runs were followed, too few "
            "have reached it to say. Seconds are those of a run in its pack, and depend on what "
            "trained beside it."
        ],
    )


def find_target(studies: Studies) -> Target | None:
    """That of the studies, where it is one and the same; else the median of what complete
    configurations come to, each run id counted once."""
    runs = studies.runs()
    if f"{TARGET}.value" in runs and f"{TARGET}.metric" in runs:
        given = runs[[f"{TARGET}.metric", f"{TARGET}.value"]].drop_duplicates()
        if len(given) == 1 and given.notna().all(axis=None):
            metric = str(given.iloc[0, 0])
            mode: Mode = "max" if metric.endswith(HIGHER) else "min"
            why = "the target of the studies (train.target)"
            return Target(metric=metric, value=float(given.to_numpy()[0, 1]), mode=mode, why=why)
    means: dict[frozenset[str], float] = {}
    for one in studies.each:
        own = one.results.runs
        complete = complete_configurations(own, one.results.seeds)
        for _, several in own[own["configuration"].isin(complete)].groupby("configuration"):
            means.setdefault(frozenset(several["run_id"]), float(several["objective"].mean()))
    if not means:
        return None
    value = float(np.median(list(means.values())))
    why = "the median of what the configurations of all studies come to, as they share no target"
    return Target(metric=studies.metric, value=value, mode=studies.mode, why=why)


def _clock(studies: Studies) -> str:
    """Steps, or examples where steps are of different sizes."""
    sizes = studies.runs().get("config.train.batch_size")
    return "step" if sizes is None or sizes.nunique() < 2 else "examples"


def _medians(one: Study, runs: pd.DataFrame, target: Target, clock: str) -> dict[str, Median]:
    made = {}
    for column in (clock, "seconds"):
        times = _times(one, runs, target, column)
        if len(times):
            made[column] = median_time(times["time"].to_numpy(), times["reached"].to_numpy())
    return made


def _times(one: Study, runs: pd.DataFrame, target: Target, clock: str) -> pd.DataFrame:
    history = one.results.history
    return times_to(runs, history, target.metric, target.value, target.mode, clock)


def _curves(known: list[Study], target: Target, clock: str) -> pd.DataFrame:
    """Study → the share of all its runs that has reached the target: x, value, low, high, n.

    From the first time of any of them to the last of its own; empty where none has.
    """
    times = {one.name: _times(one, one.results.runs, target, clock) for one in known}
    if not any(own["reached"].any() for own in times.values()):
        return pd.DataFrame()
    first = min(float(own["time"].min()) for own in times.values() if len(own))
    parts = []
    for name, own in times.items():
        if own.empty:
            continue
        curve = kaplan_meier(own["time"].to_numpy(), own["reached"].to_numpy())
        curve = curve.iloc[thinned(len(curve), MOST_POINTS)]
        share = pd.DataFrame(
            {
                "x": curve["x"],
                "value": 1 - curve["value"],
                "low": 1 - curve["high"],
                "high": 1 - curve["low"],
            }
        )
        if float(curve["x"].iloc[0]) > first:
            start = pd.DataFrame({"x": [first], "value": [0.0], "low": [np.nan], "high": [np.nan]})
            share = pd.concat([start, share], ignore_index=True)
        parts.append(share.assign(group=name, n=len(own)))
    return pd.concat(parts, ignore_index=True)


def _finding(found: dict[tuple[str, str], dict[str, Median]], clock: str, words: str) -> str:
    best = {name: medians[clock] for (name, kind), medians in found.items() if kind == "best"}
    every = {name: medians[clock] for (name, kind), medians in found.items() if kind == "all"}
    never = [name for name, one in best.items() if math.isinf(one.value)]
    reached = sorted(
        (name for name in best if name not in never), key=lambda name: best[name].value
    )
    unit = "steps" if clock == "step" else clock
    parts = []
    if reached:
        times = [f"{name} {number(best[name].value)}" for name in reached]
        parts.append(f"At its best configuration, median {unit} to {words}: {listed(times)}.")
    if never:
        some = [f"{name} ({best[name].reached} of {best[name].runs} runs)" for name in never]
        parts.append(f"Not reached by half of the runs of its best configuration: {listed(some)}.")
    shares = [
        f"{name} {percent(one.reached / one.runs)} of {one.runs:,}" for name, one in every.items()
    ]
    parts.append(f"Of all runs it was reached by: {listed(shares)}.")
    return " ".join(parts)


_KINDS = {"best": "best configuration", "all": "all runs"}


def _table(found: dict[tuple[str, str], dict[str, Median]], clock: str) -> Table:
    rows = [
        [
            name,
            _KINDS[kind],
            f"{medians[clock].reached:,} of {medians[clock].runs:,}",
            _interval(medians[clock]),
            _interval(medians["seconds"], seconds=True),
        ]
        for (name, kind), medians in found.items()
    ]
    unit = "steps" if clock == "step" else clock
    head = ["study", "of", "reached", f"median {unit} [95 %]", "median time [95 %]"]
    return Table(head=head, rows=rows, align="llrrr")


def _interval(one: Median, *, seconds: bool = False) -> str:
    write = duration if seconds else lambda value: number(value, 4)
    if math.isinf(one.low):
        return "not reached"
    high = "∞" if math.isinf(one.high) else write(one.high)
    middle = "not reached" if math.isinf(one.value) else write(one.value)
    return f"{middle} [{write(one.low)}, {high}]"


def _figure(data: pd.DataFrame, clock: str, words: str) -> Figure:
    low, high = float(data["x"].min()), float(data["x"].max())
    log = low > 0 and high > 10 * low
    unit = "steps" if clock == "step" else clock
    channel = alt.X("x:Q", title=unit, scale=scale(log), axis=axis(low, high, log, grid=False))
    chart = draw_lines(
        data,
        across=Across(channel=channel, title=unit),
        y_title=f"runs beyond {words}",
        group_title="study",
        order=list(dict.fromkeys(data["group"])),
        percent=True,
        points=False,
        stepped=True,
        counted="runs",
    )
    return Figure(
        name="compare_target",
        chart=chart,
        caption=f"Share of all runs of each study that is beyond {words} by then (one less Kaplan "
        "and Meier's estimate), with its 95 % interval.",
        data=data,
        columns={"x": unit, "group": "study", "value": "share"},
    )
