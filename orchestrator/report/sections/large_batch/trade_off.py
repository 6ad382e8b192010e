"""What a target takes in time and in compute: steps against examples, from batch to batch."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_trade_off
from orchestrator.report.sections.large_batch.study import LargeBatch
from orchestrator.report.sections.large_batch.words import whole
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import number, percent

TITLE = "Time against compute"
_ALIKE = 1.1
MOST_LABELS = 24


def trade_off_section(study: LargeBatch) -> Section | None:
    """None where fewer than two batch sizes have reached the target."""
    group = study.leading
    own = study.reached(group)
    if len(own) < 2:
        return None
    return Section(
        title=TITLE,
        lead=(
            "Steps (time, where a step of any batch size takes as long) against examples "
            f"(compute) to a {study.target}."
        ),
        finding=_finding(study, own),
        figures=[_figure(study)],
        notes=[
            "The curve is (S / S_min − 1)(E / E_min − 1) = 1 (McCandlish et al. 2018, arXiv"
            " 1812.06162, eq. 2.7): along it the batch size grows from the right to the left, and"
            " at B_crit both are twice their least."
        ],
    )


def _finding(study: LargeBatch, own: pd.DataFrame) -> str:
    slow = own.iloc[int(own["examples"].argmin())]
    fast = own.iloc[int(own["steps"].argmin())]
    whose = study.whose(study.leading)
    if slow["batch_size"] == fast["batch_size"] or slow["steps"] / fast["steps"] < _ALIKE:
        return (
            f"No trade-off{whose}: batch size {slow['batch_size']:,} takes the fewest examples, and"
            " no other one takes clearly fewer steps."
        )
    more = float(fast["examples"] / slow["examples"])
    fewer = float(slow["steps"] / fast["steps"])
    first = (
        f"Batch size {slow['batch_size']:,}{whose} takes the fewest examples "
        f"({whole(float(slow['examples']))}, in {whole(float(slow['steps']))} steps), batch size "
        f"{fast['batch_size']:,} the fewest steps ({whole(float(fast['steps']))}): "
        f"{number(fewer, 2)} times as fast for {number(more, 2)} times the compute."
    )
    return f"{first} {_between(study, own)}".strip()


def _between(study: LargeBatch, own: pd.DataFrame) -> str:
    """The measured batch size that is nearest to B_crit."""
    fit = study.fits[study.leading]
    if fit is None or not fit.smallest <= fit.b_crit.value <= fit.largest:
        return ""
    away = np.log(own["batch_size"] / fit.b_crit.value).abs()
    near = own.iloc[int(away.argmin())]
    steps = percent(float(near["steps"] / own["steps"].min() - 1), 2)
    examples = percent(float(near["examples"] / own["examples"].min() - 1), 2)
    return (
        f"Near B_crit, batch size {near['batch_size']:,} takes {steps} more than the fewest steps "
        f"and {examples} more than the fewest examples."
    )


def _figure(study: LargeBatch) -> Figure:
    parts, curves = [], []
    for group in study.shown:
        own = study.reached(group)
        parts.append(
            pd.DataFrame(
                {
                    "x": own["steps"],
                    "value": own["examples"].astype(float),
                    "group": group,
                    "batch": own["batch_size"],
                }
            )
        )
        fit = study.fits[group]
        if fit is not None and len(own) > 1:
            sizes = np.geomspace(fit.smallest, fit.largest, 65)
            steps = np.array([fit.steps(size) for size in sizes])
            curves.append(pd.DataFrame({"x": steps, "value": steps * sizes, "group": group}))
    data = pd.concat(parts, ignore_index=True)
    every = -(-len(data) // MOST_LABELS)
    label = [f"{size:,}" if i % every == 0 else "" for i, size in enumerate(data["batch"])]
    data = data.assign(label=label)
    shown = [group for group in study.shown if (data["group"] == group).any()]
    empty = pd.DataFrame({"x": [], "value": [], "group": []}).astype({"x": float, "value": float})
    chart = draw_trade_off(
        data,
        group_title=study.group_title,
        order=shown,
        fits=pd.concat(curves) if curves else empty,
    )
    caption = (
        f"Examples against steps to a {study.target}; each point is the best of a batch size, which"
        " stands beside it. Line: the fitted hyperbola."
    )
    columns = {"x": "steps", "value": "examples", "group": study.group_title, "batch": "batch_size"}
    data = data.drop(columns="label")
    return Figure(name="trade_off", chart=chart, caption=caption, data=data, columns=columns)
