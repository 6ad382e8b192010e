"""Whether second-order methods profit more from large batches than SGD does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_lines
from orchestrator.report.figures.lines import Across
from orchestrator.report.figures.scaling import batch_axis
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import Floats, SecondOrder
from orchestrator.report.sections.second_order.words import between, bracketed, multiple
from orchestrator.report.text import NONE, listed, number

TITLE = "Benefit from the batch size"


class Gain(NamedTuple):
    """By how much more than the reference a method profits, from the smallest batch to the
    largest at which both reach the target."""

    smallest: int
    largest: int
    value: float
    """The ratio of steps at the largest batch as a multiple of that at the smallest: below 1, the
    method profits more."""
    low: float
    high: float


def batches_section(study: SecondOrder) -> Section | None:
    """None where no task has several batch sizes."""
    sizes = study.trials.groupby("task", sort=False)["batch_size"].nunique()
    tasks = [str(task) for task in sizes.index[sizes > 1]]
    if not tasks:
        return None
    lead = (
        f"Steps to the target against the batch size, each method at its best at each, and as a "
        f"multiple of {study.reference}’s: a falling multiple profits more from a large batch."
    )
    found = {task: gains(study, task) for task in tasks}
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(_finding(study, task, found[task], len(tasks) > 1) for task in tasks),
        figures=[f for task in tasks for f in _figures(study, task, tasks)],
        tables=[_table(study, found)],
        notes=[
            "Intervals (95 %): seeds drawn anew, each method’s best chosen anew at both ends, "
            "paired between methods and batch sizes. A method that reaches the target at fewer "
            "than two batch sizes of the reference’s has none."
        ],
    )


def _by_size(study: SecondOrder, task: str) -> dict[int, str]:
    """Batch size → problem, in rising order."""
    own = study.trials[study.trials["task"] == task].drop_duplicates("problem")
    return {int(b): str(p) for b, p in sorted(zip(own["batch_size"], own["problem"], strict=True))}


def gains(study: SecondOrder, task: str) -> dict[str, Gain]:
    """Method → its gain over the reference; only those that have one."""
    problems = _by_size(study, task)
    found = {}
    for method in study.others:
        both = [size for size, p in problems.items() if _both(study, p, method)]
        if len(both) < 2:
            continue
        ends = both[0], both[-1]
        first, last = (study.ratio(problems[size], method)[0] for size in ends)
        draws = _ratios(study, problems[ends[1]], method) / _ratios(
            study, problems[ends[0]], method
        )
        known = draws[~np.isnan(draws)]
        several = study.trials["seed"].nunique() > 1 and len(known)
        low, high = interval(known) if several else (math.nan, math.nan)
        found[method] = Gain(*ends, last / first, low, high)
    return found


def _both(study: SecondOrder, problem: str, method: str) -> bool:
    found = study.taken["steps"]
    keys = (problem, method), (problem, study.reference)
    return all(key in found and math.isfinite(found[key].best) for key in keys)


def _ratios(study: SecondOrder, problem: str, method: str) -> Floats:
    draws = study.draws["steps"]
    with np.errstate(invalid="ignore"):
        return draws[problem, method] / draws[problem, study.reference]


def _finding(study: SecondOrder, task: str, found: dict[str, Gain], named: bool) -> str:
    where = f"{task}: " if named else ""
    if not found:
        return f"{where}No method reaches the target at two batch sizes of {study.reference}’s."
    more = {m: g for m, g in found.items() if g.high < 1}
    less = {m: g for m, g in found.items() if g.low > 1}
    equal = [m for m in found if m not in more and m not in less]
    parts = []
    if more:
        told = [f"{m} by a factor of {_factor(g)}" for m, g in more.items()]
        parts.append(
            f"{where}More than {study.reference} profit from large batches: "
            f"{listed(told, 12, separator='; ')}, from batch {_ends(more)}."
        )
    if less:
        told = [f"{m} (steps beside {study.reference}’s × {_times(g)})" for m, g in less.items()]
        parts.append(f"{'' if more else where}Less: {listed(told, 12, separator='; ')}.")
    if equal:
        told = [f"{m} × {_times(found[m])}" for m in equal]
        start = "" if more or less else where
        parts.append(
            f"{start}Not told apart from {study.reference}, by the change of steps beside its: "
            f"{listed(told, 12, separator='; ')}."
        )
    return " ".join(parts)


def _ends(found: dict[str, Gain]) -> str:
    ends = {(gain.smallest, gain.largest) for gain in found.values()}
    if len(ends) == 1:
        smallest, largest = next(iter(ends))
        return f"{smallest:,} to {largest:,}"
    return "to batch, each where it reaches the target"


def _factor(gain: Gain) -> str:
    """The gain as a factor above 1."""
    return f"{number(1 / gain.value, 2)}{bracketed(1 / gain.high, 1 / gain.low)}"


def _times(gain: Gain) -> str:
    return f"{multiple(gain.value)}{bracketed(gain.low, gain.high)}"


def _figures(study: SecondOrder, task: str, tasks: list[str]) -> list[Figure]:
    suffix = "" if len(tasks) == 1 else f"_{tasks.index(task) + 1}"
    steps, multiples = [], []
    for size, problem in _by_size(study, task).items():
        for method in study.methods:
            one = study.taken["steps"].get((problem, method))
            if one is None or math.isinf(one.best):
                continue
            low, high = interval(study.draws["steps"][problem, method])
            own = {"x": size, "group": method, "n": len(one.seeds)}
            steps.append({**own, "value": one.best, "low": low, "high": high})
            value, low, high = study.ratio(problem, method)
            if 0 < value < math.inf:
                multiples.append({**own, "value": value, "low": low, "high": high})
    named = f" ({task})" if len(tasks) > 1 else ""
    return [
        figure
        for figure in (
            _figure(
                study,
                steps,
                name=f"steps_by_batch{suffix}",
                title="steps to the target",
                caption=(
                    f"Steps to the target against the batch size{named}, with 95 % intervals."
                    f"{study.twice}"
                ),
            ),
            _figure(
                study,
                multiples,
                name=f"multiple_by_batch{suffix}",
                title=f"steps, × {study.reference}",
                caption=(
                    f"Steps as a multiple of {study.reference}’s at the same batch size{named}; "
                    f"a line that falls profits more from large batches.{study.twice}"
                ),
                counts=False,
            ),
        )
        if figure is not None
    ]


def _figure(
    study: SecondOrder,
    rows: list[dict[str, object]],
    *,
    name: str,
    title: str,
    caption: str,
    counts: bool = True,
) -> Figure | None:
    if not rows:
        return None
    data = pd.DataFrame(rows)[["x", "group", "value", "low", "high", "n"]]
    # An open end would stretch the figure: no band is drawn there.
    data = data.replace({"low": {np.inf: np.nan, 0.0: np.nan}, "high": {np.inf: np.nan}})
    channel = batch_axis(float(data["x"].min()), float(data["x"].max()))("x:Q")
    chart = draw_lines(
        data,
        across=Across(channel=channel, title="batch size", form=","),
        y_title=title,
        group_title="method",
        order=[m for m in study.methods if m in set(data["group"])],
        log_y=True,
        whole=counts,
        height=280,
    )
    columns = {"x": "batch_size", "group": "method", "value": title.split(",")[0].split()[0]}
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, found: dict[str, dict[str, Gain]]) -> Table:
    rows = [
        [
            task,
            method,
            f"{g.smallest:,} → {g.largest:,}",
            multiple(g.value),
            between(g.low, g.high) or NONE,
        ]
        for task, gains in found.items()
        for method, g in gains.items()
    ]
    head = ["task", "method", "batch sizes", f"× {study.reference}’s gain", "95 %"]
    caption = "Steps beside the reference at the largest batch, as a multiple of the smallest"
    return Table(head=head, rows=rows, align="llrrr", caption=caption, folded=True)
