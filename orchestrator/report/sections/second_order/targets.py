"""What each method takes to the target on each problem: steps, examples, seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_ratios
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import SecondOrder, targets_in_words
from orchestrator.report.sections.second_order.words import amount, between, bracketed, multiple
from orchestrator.report.text import NONE, count, listed, number

TITLE = "To the target"


def targets_section(study: SecondOrder) -> Section:
    lead = (
        f"Steps, examples and seconds to a {targets_in_words(study)}, each method at its best of "
        f"{_tried(study)} on each problem."
    )
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study),
        figures=[figure for figure in [_figure(study)] if figure is not None],
        tables=[_table(study, value) for value in ("steps", "examples", "seconds")],
        notes=[
            "A point of hyperparameters counts as reached where all of its seeds reach the target, "
            "and takes the median over them. Intervals (95 %): seeds drawn anew 1,000 times, the "
            "best point chosen anew each time, paired between methods; with few seeds they are "
            "too narrow. †: at an end of the rates tried. Seconds: steps times what `auto` "
            "measured of a lane’s step, or, of problems where it did not for all, a lane’s share "
            "of its stack’s time, evaluations included."
        ],
    )


def _tried(study: SecondOrder) -> str:
    """``15 trials``, or a range; each is a point of hyperparameters with all of its seeds."""
    counts = sorted({len(one.points) for one in study.taken["steps"].values()})
    if len(counts) == 1:
        return count(counts[0], "trial")
    return f"{counts[0]} to {counts[-1]} trials (not the same number for all)"


def _finding(study: SecondOrder) -> str:
    parts = [_of_problem(study, problem) for problem in study.problems]
    lost = [
        f"{method} on {listed(where, 3)}"
        for method in study.methods
        if (where := _unreached(study, method))
    ]
    if lost:
        parts.append(f"Never reached: {listed(lost, 8, separator='; ')}.")
    if edges := _edges(study):
        parts.append(edges)
    if study.waiting:
        parts.append(f"{count(study.waiting, 'run')} yet to end.")
    return " ".join(parts)


def _unreached(study: SecondOrder, method: str) -> list[str]:
    found = study.taken["steps"]
    return [p for p in study.problems if (p, method) in found and math.isinf(found[p, method].best)]


def at_edge(study: SecondOrder, problem: str, method: str) -> bool:
    """Whether the best rate is the least or the largest tried: a better one may lie beyond."""
    one = study.taken["steps"].get((problem, method))
    if one is None or one.best_point is None:
        return False
    table = study.trials
    own = table[(table["problem"] == problem) & (table["method"] == method)]
    chosen = own.loc[own["point"] == one.best_point, "rate"].iloc[0]
    return bool(own["rate"].nunique() > 2 and chosen in (own["rate"].min(), own["rate"].max()))


def _edges(study: SecondOrder) -> str:
    """Methods whose best lies at an end of their rates somewhere."""
    told = [
        f"{method} on {listed(where, 3)}"
        for method in study.methods
        if (where := [p for p in study.problems if at_edge(study, p, method)])
    ]
    if not told:
        return ""
    return f"The best rate is at an end of what was tried for {listed(told, 8, separator='; ')}."


def _of_problem(study: SecondOrder, problem: str) -> str:
    """The fastest on a problem, beside the reference."""
    best = {
        m: study.taken["steps"][problem, m].best
        for m in study.methods
        if (problem, m) in study.taken["steps"]
    }
    first = min(best, key=lambda method: best[method])
    if math.isinf(best[first]):
        return f"{problem}: no method reaches the target."
    took = f"{problem}: {first} in {number(best[first])} steps"
    if first == study.reference or study.reference not in best:
        rest = {m: v for m, v in best.items() if m != first and math.isfinite(v)}
        if not rest:
            return f"{took}, the only one."
        second = min(rest, key=lambda method: rest[method])
        return f"{took}, then {second} in {number(rest[second])}."
    value, low, high = study.ratio(problem, first)
    if value == 0:
        return f"{took}; {study.reference} does not reach it."
    return f"{took}, {multiple(value)} of {study.reference}’s{bracketed(low, high)}."


def ratios(study: SecondOrder, value: str = "steps") -> pd.DataFrame:
    """A row a problem and method besides the reference: group, y, value, low, high, kind."""
    rows = []
    for problem in study.problems:
        for method in study.others:
            ratio, low, high = study.ratio(problem, method, value)
            if not (math.isfinite(ratio) and ratio > 0):
                continue
            rows.append({"y": method, "group": problem, "value": ratio, "low": low, "high": high})
    frame = pd.DataFrame(rows, columns=["y", "group", "value", "low", "high"])
    # An end that is open is drawn as far as the others go.
    most = 2 * frame[["value", "high"]].replace(np.inf, np.nan).max().max() if len(frame) else 1.0
    return frame.assign(high=frame["high"].clip(upper=most))


def _figure(study: SecondOrder) -> Figure | None:
    data = ratios(study)
    if data.empty:
        return None
    present = set(data["y"])
    chart = draw_ratios(
        data,
        x_title=f"steps to the target, as a multiple of {study.reference}",
        order=[m for m in study.others if m in present],
        groups=[p for p in study.problems if p in set(data["group"])],
        reference=study.reference,
    )
    caption = (
        f"Steps to the target as a multiple of {study.reference}’s, a point a problem, with 95 % "
        "intervals; left of 1: fewer. Left out where either does not reach it."
    )
    columns = {"y": "method", "group": "problem", "value": "ratio"}
    return Figure(name="to_target", chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, value: str) -> Table:
    rows: list[Sequence[str]] = []
    for problem in study.problems:
        for method in study.methods:
            one = study.taken[value].get((problem, method))
            if one is None:
                continue
            ratio, low, high = study.ratio(problem, method, value)
            ends = interval(study.draws[value][problem, method])
            several = len(one.seeds) > 1
            rows.append(
                [
                    problem,
                    method,
                    amount(one.best, *(ends if several else (math.nan, math.nan))),
                    multiple(ratio),
                    between(low, high) or NONE,
                    f"{one.best_point or NONE}{' †' if at_edge(study, problem, method) else ''}",
                    f"{int(np.isfinite(one.costs).sum())} of {len(one.points)}",
                ]
            )
    head = [
        "problem",
        "method",
        f"{value} [95 %]",
        f"× {study.reference}",
        "95 %",
        "best",
        "reach it",
    ]
    caption = f"{value.capitalize()} to the target"
    return Table(head=head, rows=rows, align="llrrrlr", caption=caption, folded=value != "steps")
