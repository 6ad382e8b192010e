"""What tickets cost: networks trained, and their steps, level by level."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_bars
from orchestrator.report.networks import DENSE, TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import CONTROLS, networks
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import count, duration, listed, number, percent

TITLE = "What it cost"
CHILDREN = "children"


def cost_section(results: Results) -> Section:
    """All configurations and ways of pruning together."""
    lead = "Networks trained, their optimizer steps and their run-time, for each level."
    frame = _frame(results)
    trained = frame[frame["steps"] > 0]
    if trained.empty:
        return Section(title=TITLE, lead=lead, finding="No network has been trained yet.")
    present = set(trained["group"])
    order = [group for group in (TICKET, *CONTROLS) if group in present]
    order += sorted(present - {*order, CHILDREN, DENSE})
    order += [group for group in (CHILDREN, DENSE) if group in present]
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(trained, order),
        figures=[_figure(trained, order)],
        tables=[_table(trained, order)],
        notes=[
            "Run-time sums what each network took of its pack: elapsed time, shared among its"
            " lanes. A step of a pruned network costs as much as one of the dense network: masked"
            " weights are zeros, not gaps."
        ],
    )


def _frame(results: Results) -> pd.DataFrame:
    table = networks(results)
    group = table["kind"].where(table["child"] == 0, CHILDREN)
    taken = results.runs[["steps", "wall_seconds"]].astype(float)
    return table[["level", "density"]].assign(group=group).join(taken)


def _finding(trained: pd.DataFrame, order: list[str]) -> str:
    steps = trained.groupby("group")["steps"].sum()
    networks_of = trained["group"].value_counts()
    total, dense = float(steps.sum()), float(steps.get(DENSE, 0.0))
    kinds = listed([f"{int(networks_of[group]):,} {_noun(group)}" for group in order], 8)
    seconds = duration(float(trained["wall_seconds"].sum()))
    first = (
        f"{count(len(trained), 'network')} were trained ({kinds}): {total:,.0f} steps and "
        f"{seconds} of run-time"
    )
    times = f", {number(total / dense)} times what the dense networks alone took" if dense else ""
    tickets = float(steps.get(TICKET, 0.0))
    if not tickets or not dense:
        return f"{first}{times}."
    return f"{first}{times}. Tickets took {percent(tickets / total, 2)} of all steps."


def _noun(group: str) -> str:
    return group if group in (TICKET, CHILDREN) else f"{group} ones"


def _figure(trained: pd.DataFrame, order: list[str]) -> Figure:
    sums = trained.groupby(["level", "group"], as_index=False)["steps"].sum()
    labels = [str(level) for level in sorted(set(sums["level"]))]
    data = sums.assign(x=sums["level"].astype(str)).rename(columns={"steps": "value"})
    chart = draw_bars(data, x_title="level", y_title="steps", order=order, columns=labels)
    caption = "Optimizer steps that the networks of each level took, all seeds together."
    columns = {"value": "steps", "group": "networks"}
    data = data[["level", "x", "group", "value"]]
    return Figure(name="cost", chart=chart, caption=caption, data=data, columns=columns)


def _table(trained: pd.DataFrame, order: list[str]) -> Table:
    rows = []
    for level, own in trained.groupby("level"):
        counts = own["group"].value_counts()
        rows.append(
            [
                str(level),
                percent(float(own["density"].mean())),
                *(f"{int(counts.get(group, 0)):,}" for group in order),
                f"{own['steps'].sum():,.0f}",
                duration(float(own["wall_seconds"].sum())),
            ]
        )
    head = ["level", "weights left", *order, "steps", "run-time"]
    return Table(head=head, rows=rows, align="r" * len(head), caption="Cost by level", folded=True)
