"""The studies' best configurations, side by side on the shared metric."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.compare.studies import Best, Studies, bests, of_task
from orchestrator.report.comparisons import Comparison, against
from orchestrator.report.figures import draw_forest
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import (
    NONE,
    count,
    decimals_for,
    fixed,
    listed,
    metric_words,
    number,
    plus_minus,
    signed,
)

TITLE = "The best of each study"


def best_section(studies: Studies) -> Section:
    words = metric_words(studies.metric)
    lead = f"The configuration of each study with the best mean final {words} over its seeds."
    found = bests(studies)
    if not found:
        why = "No configuration has been trained to its end with every seed of its study yet."
        return Section(title=TITLE, lead=lead, finding=why)
    comparisons = {task: compared(several) for task, several in found.items()}
    figures = [
        _figure(several, comparisons[task], words, place, of_task(task, found))
        for place, (task, several) in enumerate(found.items())
        if any(not math.isnan(one.difference.low) for one in comparisons[task].values())
    ]
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(studies, found, comparisons),
        figures=figures,
        tables=[_table(studies, found, comparisons, words)],
        notes=[
            "Intervals are Student-t over seeds, of 95 %. Differences are to the best study, "
            "paired by the seeds that both have (–: fewer than two), and told apart by p after "
            "Holm's correction for all studies of a task. A study that tried more configurations "
            "has had more chances: the tuning curves below are at equal numbers."
        ],
    )


def compared(several: list[Best]) -> dict[str, Comparison]:
    """Study → its best against the first one's on shared seeds; not those whose best is the same.

    The first has none.
    """
    first, *others = several
    values = {one.study: one.values for one in others if not same(one, first)}
    return against(values, first.values) if values else {}


def same(one: Best, other: Best) -> bool:
    """Whether two studies have the very same runs as their best."""
    return set(one.runs["run_id"]) == set(other.runs["run_id"])


def _finding(
    studies: Studies, found: dict[str, list[Best]], comparisons: dict[str, dict[str, Comparison]]
) -> str:
    parts = []
    for task, several in list(found.items())[:3]:
        where = of_task(task, found)
        parts.append(where + _of_task(studies, several, comparisons[task]))
    left = len(found) - len(parts)
    more = f" {count(left, 'task')} more in the table." if left > 0 else ""
    missing = [
        name
        for name in studies.names
        if not any(one.study == name for several in found.values() for one in several)
    ]
    absent = f" Without a complete configuration: {listed(missing)}." if missing else ""
    return " ".join(parts) + more + absent


def _of_task(studies: Studies, several: list[Best], comparisons: dict[str, Comparison]) -> str:
    first, *others = several
    words = metric_words(studies.metric)
    mean = number(float(first.values.mean()))
    best = f"{first.study} has the best {words}, {mean} ({first.configuration})"
    if not others:
        return f"{best}; no other study can be compared with it here."
    alike = [one.study for one in others if same(one, first)]
    told = [name for name, one in comparisons.items() if one.told_apart]
    tied = [
        name
        for name, one in comparisons.items()
        if not one.told_apart and not math.isnan(one.difference.low)
    ]
    apart = [name for name, one in comparisons.items() if math.isnan(one.difference.low)]
    parts = [
        f"the same configuration is the best of {listed(alike)}" if alike else "",
        f"told apart from {listed([_behind(name, comparisons[name]) for name in told])}"
        if told
        else "",
        f"not told apart from {listed([_behind(name, comparisons[name]) for name in tied])}"
        if tied
        else "",
        f"fewer than two seeds are shared with {listed(apart)}, so that nothing is paired"
        if apart
        else "",
    ]
    return f"{best}: {'; '.join(part for part in parts if part)}."


def _behind(name: str, one: Comparison) -> str:
    d = one.difference
    limits = sorted((abs(d.low), abs(d.high))) if d.excludes_zero else None
    if limits is None:
        return f"{name} ({number(abs(d.mean), 2)} behind)"
    return (
        f"{name} ({number(abs(d.mean), 2)} behind, interval "
        f"[{number(limits[0], 2)}, {number(limits[1], 2)}], {count(d.pairs, 'seed')})"
    )


def _table(
    studies: Studies,
    found: dict[str, list[Best]],
    comparisons: dict[str, dict[str, Comparison]],
    words: str,
) -> Table:
    every = [one for several in found.values() for one in several]
    decimals = decimals_for([float(one.values.std()) for one in every])
    rows = []
    for task, several in found.items():
        for place, one in enumerate(several):
            rows.append(
                [
                    *([task] if len(found) > 1 else []),
                    one.study,
                    one.configuration,
                    plus_minus(float(one.values.mean()), float(one.values.std()), decimals),
                    _interval(one, decimals),
                    f"{len(one.values):,}",
                    "best"
                    if not place
                    else "the same runs"
                    if same(one, several[0])
                    else _difference(comparisons[task][one.study], decimals),
                ]
            )
    head = ["study", "configuration", words, "95 % of the mean", "seeds", "difference to best"]
    head = [*(["task"] if len(found) > 1 else []), *head]
    return Table(head=head, rows=rows, align="l" * (len(head) - 4) + "rrrr")


def _interval(one: Best, decimals: int) -> str:
    frame = one.values.rename("value").to_frame().assign(of=0)
    row = mean_intervals(frame, ["of"], "value").iloc[0]
    if math.isnan(row["low"]):
        return NONE
    return f"{fixed(row['low'], decimals)} – {fixed(row['high'], decimals)}"


def _difference(one: Comparison, decimals: int) -> str:
    d = one.difference
    if math.isnan(d.low):
        return NONE
    mark = "" if one.told_apart else " (not told apart)"
    limits = f"[{fixed(d.low, decimals)}, {fixed(d.high, decimals)}]"
    return f"{signed(d.mean, decimals)} {limits}{mark}"


def _figure(
    several: list[Best], comparisons: dict[str, Comparison], words: str, place: int, where: str
) -> Figure:
    first = several[0]
    rows = [_point(first.study, first.configuration, 0.0, math.nan, math.nan, "best")]
    for one in several[1:]:
        found = comparisons.get(one.study)
        if found is not None and not math.isnan(found.difference.low):
            d = found.difference
            kind = "told apart" if found.told_apart else "not told apart"
            rows.append(_point(one.study, one.configuration, d.mean, d.low, d.high, kind))
    data = pd.DataFrame(rows)
    chart = draw_forest(
        data,
        x_title=f"{words}: difference to the best study",
        group_title="study",
        order=data["group"].tolist(),
    )
    return Figure(
        name=f"compare_best_{place}",
        chart=chart,
        caption=f"{where}Final {words} of each study's best configuration less that "
        "of the best study, paired by seed, with 95 % intervals.",
        data=data,
        columns={"group": "study", "value": "difference"},
    )


def _point(
    group: str, details: str, value: float, low: float, high: float, kind: str
) -> dict[str, str | float]:
    point: dict[str, str | float] = {"group": group, "value": value, "low": low, "high": high}
    return point | {"kind": kind, "details": details}
