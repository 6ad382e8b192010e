"""What a method's best costs in tuning: steps to the target against the number of trials."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_lines, x_count
from orchestrator.report.second_order import Tuned, best_of, reach_of
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import Floats, SecondOrder
from orchestrator.report.text import NONE, fixed, listed, number, percent

TITLE = "Tuning cost"
RESAMPLES = 200
FEW = 3
"""Trials that somebody with little time makes."""


def tuning_section(study: SecondOrder) -> Section | None:
    """None where methods were not tuned."""
    most = max(len(one.points) for one in study.taken["steps"].values())
    if most < 2:
        return None
    curves = {method: expected(study, method) for method in study.methods}
    curves = {method: curve for method, curve in curves.items() if len(curve)}
    if not curves:
        return None
    lead = (
        "Expected steps to the target of the best of k trials drawn at random from each method’s, "
        "as a multiple of the fewest that any method takes (geometric mean over problems)."
    )
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, curves),
        figures=[_figure(study, curves)],
        tables=[_table(study, curves)],
        notes=[
            "After Dodge et al. 2019, without replacement. A trial that does not reach the target "
            "counts with its whole budget, so that curves with such trials are lower bounds; "
            "bands: 95 %, seeds drawn anew. Left out: problems on which no method reaches it."
        ],
    )


def expected(study: SecondOrder, method: str) -> pd.DataFrame:
    """k, value, low, high: see the lead. Empty where a problem lacks the method."""
    floor = study.best("steps").min(1)
    parts = []
    for place, problem in enumerate(study.problems):
        one = study.taken["steps"].get((problem, method))
        if math.isinf(floor[place]) or one is None or np.isnan(one.costs).any():
            continue
        parts.append((one, float(floor[place]), float(study.weights[place])))
    if not parts:
        return pd.DataFrame()
    trials = min(len(one.points) for one, _, _ in parts)
    draws = _resampled([one for one, _, _ in parts])
    rows = []
    for k in range(1, trials + 1):
        value = _mean(parts, [one.costs for one, _, _ in parts], k)
        several = [_mean(parts, costs, k) for costs in draws]
        low, high = interval(np.array(several)) if several else (math.nan, math.nan)
        reach = float(np.mean([reach_of(one.costs, k) for one, _, _ in parts]))
        rows.append({"x": k, "value": value, "low": low, "high": high, "reach": reach})
    return pd.DataFrame(rows)


def _mean(parts: list[tuple[Tuned, float, float]], costs: list[Floats], k: int) -> float:
    total = sum(weight for _, _, weight in parts)
    logs = [
        weight * math.log(best_of(own, one.budget, k) / floor)
        for (one, floor, weight), own in zip(parts, costs, strict=True)
    ]
    return math.exp(sum(logs) / total)


def _resampled(found: list[Tuned]) -> list[list[Floats]]:
    """Costs of all points with seeds drawn anew, the same draw for all problems."""
    n = len(found[0].seeds)
    if n < 2 or any(len(one.seeds) != n for one in found):
        return []
    draws = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    return [
        [
            Tuned(
                points=one.points, seeds=one.seeds, values=one.values[:, draw], budget=one.budget
            ).costs
            for one in found
        ]
        for draw in draws
    ]


def _finding(study: SecondOrder, curves: dict[str, pd.DataFrame]) -> str:
    base = curves.get(study.reference)
    at_few = {m: float(c["value"].iloc[min(FEW, len(c)) - 1]) for m, c in curves.items()}
    at_all = {m: float(c["value"].iloc[-1]) for m, c in curves.items()}
    few, every = (min(found, key=found.__getitem__) for found in (at_few, at_all))
    most = max(len(curve) for curve in curves.values())
    if few == every:
        first = f"{every} is ahead with {FEW} trials as with {most}."
    else:
        first = f"With {FEW} trials {few} is ahead, with {most} {every}."
    if base is None or len(base) < 2:
        return first
    goal = float(base["value"].iloc[-1])
    cheaper = [
        f"{method} with {int(hit['x'].iloc[0])}"
        for method, curve in curves.items()
        if method != study.reference and len(hit := curve[curve["high"].fillna(np.inf) < goal])
    ]
    if not cheaper:
        return f"{first} No other method surely beats {study.reference} at its best of {len(base)}."
    return (
        f"{first} What {study.reference} takes at its best of {len(base)} trials is surely beaten "
        f"(95 %) by {listed(cheaper, 8)}."
    )


def _figure(study: SecondOrder, curves: dict[str, pd.DataFrame]) -> Figure:
    seeds = study.trials["seed"].nunique()
    data = pd.concat([c.assign(group=m, n=seeds) for m, c in curves.items()], ignore_index=True)
    data = data[["x", "group", "value", "low", "high", "n"]]
    chart = draw_lines(
        data,
        across=x_count(sorted(set(data["x"])), "trials"),
        y_title="expected steps, × the fewest of all",
        group_title="method",
        order=list(curves),
        log_y=True,
        height=320,
    )
    caption = (
        "Expected steps to the target of the best of so many trials, as a multiple of the fewest "
        f"that any method takes: how far right a curve must go for its method to be "
        f"worth it.{study.twice}"
    )
    columns = {"x": "trials", "group": "method", "value": "multiple"}
    return Figure(name="tuning_cost", chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, curves: dict[str, pd.DataFrame]) -> Table:
    rows = []
    for method, curve in curves.items():
        few, last = curve.iloc[min(FEW, len(curve)) - 1], curve.iloc[-1]
        ends = f"{fixed(float(last['low']), 2)} – {fixed(float(last['high']), 2)}"
        rows.append(
            [
                method,
                number(float(curve.iloc[0]["value"])),
                number(float(few["value"])),
                number(float(last["value"])),
                ends if last["low"] == last["low"] else NONE,
                percent(float(curve.iloc[0]["reach"]), 2),
                str(int(last["x"])),
            ]
        )
    head = ["method", "1 trial", f"{FEW} trials", "all", "95 %", "one reaches it", "trials"]
    caption = "Expected steps of the best of k trials, × the fewest of all"
    return Table(head=head, rows=rows, align="lrrrrrr", caption=caption, folded=True)
