"""What studies, or the methods in them, come to over all tasks and seeds."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.report.compare.aggregates import (
    Floats,
    bootstrap,
    iqm_of,
    normalized,
    probability_of_improvement,
)
from orchestrator.report.compare.studies import Studies, bests
from orchestrator.report.sections.model import Section, Table
from orchestrator.report.statistics import ranking
from orchestrator.report.text import count, decimals_for, fixed, listed, metric_words, number

TITLE = "Over tasks and seeds"
FEWEST_SEEDS = 2
MOST_CONTENDERS = 8
EVEN = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Contenders that all have the same tasks."""

    what: str
    """study, or the axis by which they are told apart."""
    tasks: tuple[str, ...]
    values: dict[str, dict[str, Floats]]
    """Contender → task → final values of its best configuration's seeds there."""


def aggregates_section(studies: Studies) -> Section | None:
    """None where there are no two contenders with the same tasks and two seeds on each."""
    scores = find_scores(studies)
    if scores is None:
        return None
    several = len(scores.tasks) > 1
    higher = studies.mode == "max"
    shown = normalized(scores.values, higher=higher) if several else scores.values
    middles = {name: _iqm(own, scores.tasks) for name, own in shown.items()}
    sign = -1 if several or higher else 1
    order = sorted(middles, key=lambda name: sign * middles[name][0])[:MOST_CONTENDERS]
    chances = {name: _chance(scores, order[0], name, higher=higher) for name in order[1:]}
    words = metric_words(studies.metric)
    return Section(
        title=TITLE,
        lead=f"Interquartile means of the final {words}{' (normalized)' if several else ''} over "
        f"{count(len(scores.tasks), 'task')} and all seeds, and how likely a run of one "
        f"{scores.what} is better than a run of another.",
        finding=_finding(scores, order, middles, chances),
        tables=[_table(scores, order, middles, chances)],
        notes=[
            "Each counts with its best configuration on each task. The interquartile mean leaves "
            "out the lowest and the highest quarter of all runs. "
            + ("Values of a task are set between its worst run, 0, and its best, 1. " * several)
            + "Intervals: 95 %, bootstrap stratified by task (Agarwal et al. 2021); with fewer "
            "than about ten runs they are too narrow."
        ],
    )


def find_scores(studies: Studies) -> Scores | None:
    """Studies as contenders on the tasks that all have; or, where no two studies share a task, the
    values of a categorical axis that all studies have, each study being a task."""
    by_study: dict[str, dict[str, Floats]] = {}
    for task, several in bests(studies).items():
        for one in several:
            by_study.setdefault(one.study, {})[task] = one.values.to_numpy(dtype=np.float64)
    if any(len(studies.with_task(task)) > 1 for task in studies.tasks):
        return _balanced("study", by_study)
    axes = [one.results.group_axis for one in studies.each]
    group = axes[0]
    if group is None or group.numeric or {axis and axis.path for axis in axes} != {group.path}:
        return None
    by_group: dict[str, dict[str, Floats]] = {}
    for study in studies.each:
        runs = study.results.runs
        for label, own in runs.groupby(group.column, sort=False):
            ranked = ranking(own, study.results.seeds, studies.mode)
            if len(ranked):
                best = own[own["configuration"] == ranked.index[0]]["objective"]
                by_group.setdefault(str(label), {})[study.name] = best.to_numpy(dtype=np.float64)
    return _balanced(group.name, by_group, whole=True)


def _balanced(
    what: str, found: dict[str, dict[str, Floats]], *, whole: bool = False
) -> Scores | None:
    """Those with enough seeds; on the tasks that all have, or else those with all the tasks.

    Args:
        whole: rather leave contenders out than tasks.
    """
    rich = {
        name: {task: own for task, own in tasks.items() if len(own) >= FEWEST_SEEDS}
        for name, tasks in found.items()
    }
    rich = {name: tasks for name, tasks in rich.items() if tasks}
    every = list(dict.fromkeys(task for tasks in rich.values() for task in tasks))
    if whole:
        rich = {name: tasks for name, tasks in rich.items() if len(tasks) == len(every)}
    common = [task for task in every if all(task in tasks for tasks in rich.values())]
    if len(rich) < 2 or not common:
        return None
    values = {name: {task: tasks[task] for task in common} for name, tasks in rich.items()}
    return Scores(what=what, tasks=tuple(common), values=values)


def _iqm(own: dict[str, Floats], tasks: tuple[str, ...]) -> tuple[float, float, float]:
    samples = [own[task] for task in tasks]
    return iqm_of(samples), *bootstrap([samples], iqm_of)


def _chance(scores: Scores, first: str, other: str, *, higher: bool) -> tuple[float, float, float]:
    """That a run of ``first`` is better, with its interval."""
    sign = 1.0 if higher else -1.0
    samples = [
        [sign * scores.values[name][task] for task in scores.tasks] for name in (first, other)
    ]
    return probability_of_improvement(*samples), *bootstrap(samples, probability_of_improvement)


def _finding(
    scores: Scores,
    order: list[str],
    middles: dict[str, tuple[float, float, float]],
    chances: dict[str, tuple[float, float, float]],
) -> str:
    first = order[0]
    best = f"{first} has the best interquartile mean, {number(middles[first][0])}"
    clear = [name for name, (_, low, _) in chances.items() if low > EVEN]
    even = [name for name in chances if name not in clear]
    write = functools.partial(_percent, chances)
    parts = []
    if clear:
        parts.append(
            f"a run of it is likely to be better than one of {listed(list(map(write, clear)))}"
        )
    if even:
        parts.append(f"against {listed(list(map(write, even)))} even odds are not ruled out")
    return f"{best}: {'; '.join(parts)}."


def _percent(chances: dict[str, tuple[float, float, float]], name: str) -> str:
    return f"{name} ({100 * chances[name][0]:.0f} %)"


def _table(
    scores: Scores,
    order: list[str],
    middles: dict[str, tuple[float, float, float]],
    chances: dict[str, tuple[float, float, float]],
) -> Table:
    spread = [float(np.std(own)) for name in order for own in scores.values[name].values()]
    decimals = 2 if len(scores.tasks) > 1 else decimals_for(pd.Series(spread))
    rows = [
        [
            name,
            f"{sum(len(own) for own in scores.values[name].values()):,}",
            _with_interval(middles[name], decimals),
            "–" if name not in chances else _with_interval(chances[name], 2),
        ]
        for name in order
    ]
    head = [scores.what, "runs", "interquartile mean [95 %]", "P(the first is better) [95 %]"]
    return Table(
        head=head, rows=rows, align="lrrr", caption=f"Tasks: {listed(list(scores.tasks))}."
    )


def _with_interval(found: tuple[float, float, float], decimals: int) -> str:
    value, low, high = (fixed(one, decimals) for one in found)
    return f"{value} [{low}, {high}]"
