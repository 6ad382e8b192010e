"""What a step of each method costs in time and memory, relative to SGD's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.plan.memory import lane_memory
from orchestrator.report.figures import draw_ratios
from orchestrator.report.second_order.cost import relative_cost
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import SecondOrder
from orchestrator.report.sections.second_order.words import between, bracketed, multiple
from orchestrator.report.text import NONE, duration, listed, number
from orchestrator.spec.stored import stored_run
from orchestrator.store import Store, StoreError

TITLE = "Cost of a step"


def cost_section(study: SecondOrder) -> Section | None:
    """None where nothing has been trained."""
    times = relative_cost(study.trials, study.reference, packs=study.packs)
    if times.empty:
        return None
    kept = _memory(study)
    lead = (
        f"Seconds that one lane’s step takes, as a multiple of {study.reference}’s on the same "
        "problem, and the memory that a lane keeps between steps."
    )
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, times, kept),
        figures=[figure for figure in [_figure(study, times)] if figure is not None],
        tables=[_table(study, times, kept)],
        notes=[
            "A step: a lane’s share of its stack’s step as `auto` measured it before training, "
            "where it did for all methods of a problem; else of the time of the whole run, "
            "evaluations and start included. Over problems: geometric means, with Student’s "
            "interval of their logarithms (95 %). Memory: weights, state and tables of a lane as "
            "planned from shapes, not measured."
        ],
    )


def _memory(study: SecondOrder) -> dict[str, float]:
    """Method → bytes that a lane keeps, as a multiple of the reference's: mean over problems."""
    first = study.trials.drop_duplicates(["problem", "method"])
    bytes_of = {}
    configs = _configurations(study, list(first["run_id"]))
    for run_id, problem, method in zip(
        first["run_id"], first["problem"], first["method"], strict=True
    ):
        try:
            found = lane_memory(stored_run(configs[run_id]))
        except (KeyError, ValueError):
            continue
        if found is not None:
            bytes_of[problem, method] = found.kept
    ratios: dict[str, list[float]] = {}
    for (problem, method), kept in bytes_of.items():
        if base := bytes_of.get((problem, study.reference)):
            ratios.setdefault(method, []).append(math.log(kept / base))
    return {method: math.exp(float(np.mean(logs))) for method, logs in ratios.items()}


def _configurations(study: SecondOrder, run_ids: list[str]) -> Mapping[str, dict[str, Any]]:
    if study.results.folder is None:
        return {}
    try:
        with Store.open(study.results.folder) as store:
            return store.configurations(run_ids)
    except StoreError:
        return {}


def _finding(study: SecondOrder, times: pd.DataFrame, kept: Mapping[str, float]) -> str:
    others = times[times["method"] != study.reference]
    if others.empty:
        return "There is nothing to compare with."
    told = [
        f"{row['method']} {number(row['value'])} ×{bracketed(row['low'], row['high'])}"
        for _, row in others.sort_values("value").iterrows()
    ]
    first = f"A step takes, beside {study.reference}’s: {listed(told, 16, separator='; ')}."
    heavy = {method: more for method, more in kept.items() if more > 1.05}
    if not heavy:
        return first
    most = max(heavy, key=lambda method: heavy[method])
    return f"{first} The most memory takes {most}, {number(heavy[most], 2)} × {study.reference}’s."


def _figure(study: SecondOrder, times: pd.DataFrame) -> Figure | None:
    data = times[times["method"] != study.reference].rename(columns={"method": "y"})
    if data.empty:
        return None
    data = data.assign(group="all problems")[["y", "group", "value", "low", "high"]]
    chart = draw_ratios(
        data,
        x_title=f"time of a step, as a multiple of {study.reference}’s",
        order=[m for m in study.methods if m in set(data["y"])],
        groups=["all problems"],
        reference=study.reference,
    )
    caption = f"What a step takes beside {study.reference}’s: mean over problems, 95 % intervals."
    columns = {"y": "method", "value": "multiple"}
    return Figure(name="step_cost", chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, times: pd.DataFrame, kept: Mapping[str, float]) -> Table:
    spent = study.trials.groupby("method")["wall"].sum()
    rows = [
        [
            row["method"],
            multiple(row["value"]),
            between(row["low"], row["high"]) or NONE,
            number(1e3 * row["fastest"], 2),
            number(1e3 * row["slowest"], 2),
            number(kept.get(row["method"], math.nan), 2),
            duration(float(spent[row["method"]])),
        ]
        for _, row in times.iterrows()
    ]
    head = [
        "method",
        f"× {study.reference}",
        "95 %",
        "ms, least",
        "ms, most",
        "memory ×",
        "all its runs",
    ]
    return Table(head=head, rows=rows, align="lrrrrrr", caption="Cost of a step")
