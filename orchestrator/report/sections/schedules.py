"""The learning rate over training, as each schedule set it."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_curves
from orchestrator.report.results import Results, time_column
from orchestrator.report.sections.curves import MOST_POINTS, last_level
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import thinned
from orchestrator.report.text import listed

TITLE = "The schedules"
MOST = 12
"""So many lines can be told apart."""


def schedules_section(results: Results) -> Section | None:
    if results.trainable:
        return None  # what a schedule is, only the user's function knows
    lead = "The learning rate over training as a share of its peak, one run for each schedule."
    if "lr" not in results.history or results.history["lr"].isna().all():
        why = "Not applicable: no run has recorded its learning rate."
        return Section(title=TITLE, lead=lead, finding=why)
    clock = time_column(results.history)
    data, order, whose = schedule_data(results, clock)
    chart = draw_curves(
        data,
        x_title=f"{clock}s",
        y_title="learning rate / peak",
        group_title="schedule",
        order=order,
        log_y=False,
        height=240,
    )
    caption = "Learning rate over training, as a share of its peak, as recorded at evaluations."
    columns = {"x": clock, "group": "schedule", "value": "lr_over_peak"}
    figure = Figure(name="schedules", chart=chart, caption=caption, data=data, columns=columns)
    means = data.groupby("group", sort=False)["value"].mean()
    parts = [f"{group} {means[group]:.2f}" for group in order]
    return Section(
        title=TITLE,
        lead=lead,
        finding=f"Mean share of the peak over all evaluations: {listed(parts, MOST)}.{whose}",
        figures=[figure],
    )


def schedule_data(results: Results, clock: str) -> tuple[pd.DataFrame, list[str], str]:
    """One row a point: group, x, value (lr / peak); the schedules in the study's order; and a
    sentence on which they are, where there are too many to draw.

    Of each schedule, the run with the longest history is taken (completed ones first). The
    peak is ``config.optimizer.lr``, or the highest rate recorded where that is not known.
    """
    runs, history = results.runs, last_level(results.history.dropna(subset=["lr"]))
    axis = next((axis for axis in results.axes if axis.path.split(".")[0] == "schedule"), None)
    rows = history.groupby("run_id").size()
    candidates = runs.assign(
        schedule=runs[axis.column].map(axis.texts) if axis else _only_name(runs),
        rows=runs["run_id"].map(rows).fillna(0),
        done=runs["whole"],
    )
    candidates = candidates[candidates["rows"] > 0]
    whose = ""
    if (many := candidates["schedule"].nunique()) > MOST:
        best = list(results.ranked().index[: results.top])
        chosen = candidates["configuration"].isin(best).sort_values(ascending=False, kind="stable")
        some = candidates.loc[chosen.index, "schedule"].drop_duplicates()[: len(best) or MOST]
        candidates = candidates[candidates["schedule"].isin(some)]
        whose = f" Shown: {len(some)} of {many}{', those of the best configurations' * bool(best)}."
    longest = candidates.sort_values(["done", "rows"], ascending=False, kind="stable")
    longest = longest.drop_duplicates("schedule")
    parts = []
    for _, run in longest.iterrows():
        own = history[history["run_id"] == run["run_id"]]
        own = own.iloc[thinned(len(own), MOST_POINTS)]
        peak = float(run.get("config.optimizer.lr") or own["lr"].max() or 1.0)
        value = own["lr"] / peak
        parts.append(pd.DataFrame({"group": run["schedule"], "x": own[clock], "value": value}))
    data = pd.concat(parts, ignore_index=True)
    present = list(dict.fromkeys(data["group"]))
    order = [text for text in axis.texts.values() if text in present] if axis else present
    if axis is not None and axis.numeric:
        named = {text: f"{axis.name} {text}" for text in order}
        data, order = data.assign(group=data["group"].map(named)), [*named.values()]
    return data, order, whose


def _only_name(runs: pd.DataFrame) -> pd.Series | str:
    return runs.get("config.schedule.name", "schedule")
