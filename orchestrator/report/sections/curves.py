"""Learning curves of the best configurations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_curves
from orchestrator.report.results import Results, time_column
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import thinned
from orchestrator.report.text import count, is_loss, metric_words, number

TITLE = "Learning curves"
MOST_POINTS = 200


def curves_section(results: Results) -> Section:
    lead = "The best configurations over training: mean over seeds, band from lowest to highest."
    top = [str(label) for label in results.ranked().index[: results.top]]
    metrics = [m for m in _metrics(results.metric) if m in results.history]
    if not top or not metrics:
        why = "No configuration has completed every seed with a history yet."
        return Section(title=TITLE, lead=lead, finding=why)
    clock = time_column(results.history)
    curves = {metric: curve_data(results, top, metric, clock) for metric in metrics}
    figures = [
        _figure(results, data, metric, clock, top)
        for metric, data in curves.items()
        if data["value"].notna().any()
    ]
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(results, curves[metrics[0]], clock, top),
        figures=figures,
        notes=[f"Every evaluation is drawn, thinned to at most {MOST_POINTS} a line."],
    )


def _metrics(objective: str) -> list[str]:
    """The objective, and its companions: accuracy or R² for a loss, the loss for these."""
    split, slash, what = objective.rpartition("/")
    companions = {"loss": ("accuracy", "r2", "squared_error"), "perplexity": ("accuracy",)}.get(
        what, ("loss",)
    )
    return [objective, *(f"{split}{slash}{metric}" for metric in companions)]


def last_level(history: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last level (all rows, where there are no levels)."""
    return history[history["level"] == history.groupby("run_id")["level"].transform("max")]


def curve_data(results: Results, labels: list[str], metric: str, clock: str) -> pd.DataFrame:
    """One row a point of a curve: group, x, value (mean over seeds), low, high, seeds."""
    runs = results.runs.loc[results.runs["configuration"].isin(labels), ["run_id", "configuration"]]
    history = results.history
    rows = last_level(history[history["run_id"].isin(runs["run_id"])].merge(runs, on="run_id"))
    rows = rows[np.isfinite(rows[metric])]
    points: pd.DataFrame = (
        rows.groupby(["configuration", clock], as_index=False)[metric]
        .agg(value="mean", low="min", high="max", seeds="count")
        .rename(columns={"configuration": "group", clock: "x"})
    )
    kept = [group.iloc[thinned(len(group), MOST_POINTS)] for _, group in points.groupby("group")]
    return pd.concat(kept or [points], ignore_index=True)


def _figure(
    results: Results, data: pd.DataFrame, metric: str, clock: str, top: list[str]
) -> Figure:
    words = metric_words(metric)
    chart = draw_curves(
        data,
        x_title=f"{clock}s",
        y_title=words,
        group_title="configuration",
        order=[label for label in top if label in set(data["group"])],
        log_y=is_loss(metric) and bool((data["low"] > 0).all()),
    )
    caption = f"{words.capitalize()} over training: mean over seeds, band from minimum to maximum."
    columns = {"x": clock, "group": "configuration", "value": metric}
    name = f"curves_{metric.replace('/', '_')}"
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _finding(results: Results, data: pd.DataFrame, clock: str, top: list[str]) -> str:
    best = data[data["group"] == top[0]].sort_values("x")
    if len(best) < 2:
        return f"{count(len(top), 'configuration')} with one evaluation each: no course to show."
    sign = 1 if results.mode == "min" else -1
    at = int((sign * best["value"]).to_numpy().argmin())
    peak, last = best.iloc[at], best.iloc[-1]
    words = metric_words(results.metric)
    several = results.runs["configuration"].nunique() > 1
    who = f"The best configuration, {top[0]}," if several else "The configuration"
    if at == len(best) - 1:
        earlier = best[best["x"] <= 0.9 * last["x"]]
        gain = abs(earlier.iloc[-1]["value"] - last["value"]) if len(earlier) else math.nan
        late = f", {number(gain, 2)} better than a tenth earlier" if math.isfinite(gain) else ""
        return (
            f"{who} is at its best at the last evaluation: {words} "
            f"{number(last['value'])} at {clock} {number(last['x'])}{late}: no sign of overfitting."
        )
    reached = (
        f"{who} is at its best {words}, {number(peak['value'])}, at "
        f"{clock} {number(peak['x'])} of {number(last['x'])}"
    )
    if number(last["value"], 4) == number(peak["value"], 4):
        return f"{reached}, and ends with the same."
    return (
        f"{reached}, and ends at {number(last['value'])}: it gets worse again before training ends."
    )
