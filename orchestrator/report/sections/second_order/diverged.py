"""Where each method diverged."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_heat_map
from orchestrator.report.second_order.cost import share_interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import SecondOrder
from orchestrator.report.text import NONE, listed, number, percent

TITLE = "Where methods diverged"


def diverged_section(study: SecondOrder) -> Section:
    lead = "The share of runs that diverged, by method and problem, and from which rate on."
    ended = study.trials[study.trials["status"] != "incomplete"]
    ended = ended.assign(lost=ended["status"] == "infeasible")
    if not ended["lost"].any():
        return Section(title=TITLE, lead=lead, finding="No run diverged.")
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, ended),
        figures=[_figure(study, ended)],
        tables=[_table(study, ended)],
        notes=["Intervals (95 %) of shares: Wilson’s. Ranges of rates are ours: see the study."],
    )


def _finding(study: SecondOrder, ended: pd.DataFrame) -> str:
    told, never = [], []
    for method in study.methods:
        own = ended[ended["method"] == method]
        lost = int(own["lost"].sum())
        if not lost:
            never.append(method)
            continue
        low, high = share_interval(lost, len(own))
        text = f"{method} {percent(lost / len(own), 2)} of its runs"
        text += f" [{number(100 * low)}, {number(100 * high)}]"
        told.append((lost / len(own), text + _from(own)))
    told.sort(reverse=True)
    parts = [f"Diverged: {listed([text for _, text in told], 16, separator='; ')}."]
    if never:
        parts.append(f"Never: {listed(never, 16)}.")
    return " ".join(parts)


def _from(own: pd.DataFrame) -> str:
    """From which rate on, where lower ones never did."""
    rates = own.groupby("rate")["lost"].mean().sort_index()
    first = rates.index[rates > 0]
    if not len(first) or rates.iloc[0] > 0:
        return ""
    return f" (from a rate of {number(float(first[0]))})"


def shares(ended: pd.DataFrame) -> pd.DataFrame:
    """A row a method and problem: y, x, value."""
    found = ended.groupby(["method", "problem"], sort=False)["lost"].mean().reset_index()
    return found.rename(columns={"method": "y", "problem": "x", "lost": "value"})


def _figure(study: SecondOrder, ended: pd.DataFrame) -> Figure:
    data = shares(ended)
    data = data.assign(text=[percent(v, 2) if v > 0 else "0" for v in data["value"]])
    chart = draw_heat_map(
        data,
        x_title="problem",
        y_title="method",
        value_title="diverged",
        columns=study.problems,
        rows=study.methods,
        log=False,
        higher_is_better=False,
        percent=True,
    )
    caption = "The share of runs that diverged; brighter: fewer."
    columns = {"x": "problem", "y": "method", "value": "share"}
    return Figure(name="diverged", chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, ended: pd.DataFrame) -> Table:
    rows = []
    for method in study.methods:
        for problem in study.problems:
            own = ended[(ended["method"] == method) & (ended["problem"] == problem)]
            lost = own[own["lost"]]
            if lost.empty:
                continue
            safe = own.loc[~own["rate"].isin(lost["rate"]), "rate"]
            rows.append(
                [
                    method,
                    problem,
                    f"{len(lost)} of {len(own)}",
                    number(float(lost["rate"].min())),
                    number(float(safe.max())) if len(safe) else NONE,
                    number(float(lost["steps"].median())),
                ]
            )
    head = ["method", "problem", "runs", "lowest rate", "highest safe rate", "steps before"]
    return Table(head=head, rows=rows, align="llrrrr", caption="What diverged", folded=True)
