"""The way to the target: each method's best trial on each problem, its median seed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_lines, x_log
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.sections.second_order.study import METRIC, VALUE, SecondOrder
from orchestrator.report.statistics import thinned
from orchestrator.report.text import is_loss, metric_words, number

TITLE = "The way there"
MOST_POINTS = 120
MOST_FIGURES = 8


def way_section(study: SecondOrder) -> Section | None:
    """None where no run has been evaluated."""
    curves = {problem: way(study, problem) for problem in study.problems}
    curves = {problem: data for problem, data in curves.items() if len(data)}
    if not curves:
        return None
    told = [_finding(study, problem, data) for problem, data in curves.items()]
    return Section(
        title=TITLE,
        lead=(
            "The target’s metric while training: of each method the best trial (where none "
            "reaches the target, the one that comes nearest), and of it the median seed."
        ),
        finding=" ".join(filter(None, told)) or "No method has reached a target yet.",
        figures=[
            _figure(study, problem, curves[problem], i)
            for i, problem in enumerate([*curves][:MOST_FIGURES])
        ],
        notes=["Steps are on a logarithmic axis. A run ends where it reaches the target."],
    )


def _goal(study: SecondOrder, problem: str) -> tuple[str, float]:
    """The metric and the value of the target."""
    run = study.trials.loc[study.trials["problem"] == problem, "run_id"].iloc[0]
    row = study.results.runs.set_index("run_id").loc[run]
    return str(row[METRIC]), float(row[VALUE])


def _higher(metric: str) -> bool:
    return metric.endswith(("accuracy", "r2"))


def chosen(study: SecondOrder, problem: str, method: str) -> str | None:
    """The run that is shown: of the best point the median seed; None where none has ended."""
    table = study.trials
    own = table[(table["problem"] == problem) & (table["method"] == method)]
    one = study.taken["steps"].get((problem, method))
    if one is None:
        return None
    if one.best_point is not None:
        reached = own[own["point"] == one.best_point].sort_values("steps", kind="stable")
        return str(reached["run_id"].iloc[(len(reached) - 1) // 2])
    metric, _ = _goal(study, problem)
    final = study.results.runs.set_index("run_id").get(f"final/{metric}")
    ended = own[own["status"] == "unreached"]
    if final is None or ended.empty:
        return None
    values = (-1 if _higher(metric) else 1) * final.loc[ended["run_id"]].astype(float)
    values = values.where(np.isfinite(values)).dropna()
    if values.empty:
        return None
    ranked = values.sort_values(kind="stable")
    return str(ranked.index[0])


def way(study: SecondOrder, problem: str) -> pd.DataFrame:
    """A row a point: x (steps), group (method), value."""
    metric, _ = _goal(study, problem)
    history = study.results.history
    if metric not in history:
        return pd.DataFrame()
    parts = []
    for method in study.methods:
        run = chosen(study, problem, method)
        own = history[(history["run_id"] == run) & np.isfinite(history[metric].astype(float))]
        own = own[own["step"] > 0].sort_values("step")
        if run is None or own.empty:
            continue
        own = own.iloc[thinned(len(own), MOST_POINTS)]
        parts.append(
            pd.DataFrame({"x": own["step"], "group": method, "value": own[metric].astype(float)})
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _finding(study: SecondOrder, problem: str, data: pd.DataFrame) -> str:
    """Where the reference is when the fastest arrives."""
    taken = {m: study.taken["steps"][problem, m].best for m in set(data["group"])}
    first = min((m for m in study.methods if m in taken), key=lambda m: taken[m])
    behind = data[data["group"] == study.reference]
    if math.isinf(taken[first]) or behind.empty:
        return ""
    if first == study.reference:
        return f"{problem}: {first} arrives first."
    arrived = float(data.loc[data["group"] == first, "x"].max())
    before = behind[behind["x"] <= arrived]
    if before.empty:
        return ""
    metric, goal = _goal(study, problem)
    return (
        f"{problem}: when {first} has a {metric_words(metric)} of {number(goal)}, after "
        f"{number(arrived)} steps, {study.reference} has {number(before['value'].iloc[-1])}."
    )


def _figure(study: SecondOrder, problem: str, data: pd.DataFrame, place: int) -> Figure:
    metric, goal = _goal(study, problem)
    words = metric_words(metric)
    log = is_loss(metric) and bool((data["value"] > 0).all())
    shown = data.assign(low=np.nan, high=np.nan, n=1)
    chart = draw_lines(
        shown,
        across=x_log(float(data["x"].min()), float(data["x"].max()), "steps"),
        y_title=words,
        group_title="method",
        order=[m for m in study.methods if m in set(data["group"])],
        log_y=log,
        reference=(goal, "target"),
        points=False,
        height=280,
    )
    caption = f"{problem}: {words} while training, each method at its best.{study.twice}"
    columns = {"x": "step", "group": "method", "value": metric}
    return Figure(name=f"way_{place + 1}", chart=chart, caption=caption, data=data, columns=columns)
