"""Which axes decide, over the whole space and among the best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures.importance import draw_importances
from orchestrator.report.importance import importances
from orchestrator.report.labels import Axis
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import is_loss, listed, metric_words, percent

TITLE = "Which hyperparameters matter"
FEWEST = 20
"""Configurations below which nothing is said."""
KINDS = {"everywhere": "over the whole space (fANOVA)", "best": "among the best tenth (PED-ANOVA)"}


def importance_section(results: Results) -> Section | None:
    """Nothing below two axes that all configurations have, or 20 of these with a value."""
    ranked = results.ranked()
    axes = [axis for axis in results.axes if not axis.gaps and len(axis.texts) > 1]
    if len(axes) < 2 or len(ranked) < FEWEST:
        return None
    first = results.runs.drop_duplicates("configuration").set_index("configuration")
    table = first.loc[ranked.index, [axis.column for axis in axes]].assign(value=ranked["mean"])
    logarithm = is_loss(results.metric) and bool((table["value"] > 0).all())
    if logarithm:  # or a few hopeless configurations would be all of the variance
        table["value"] = np.log(table["value"])
    axes = [axis for axis in axes if table[axis.column].nunique() > 1]
    if len(axes) < 2 or table["value"].nunique() < 2:
        return None
    found = importances(table, axes, results.mode)
    words = ("the logarithm of " if logarithm else "") + metric_words(results.metric)
    return Section(
        title=TITLE,
        lead=f"How much each axis alone decides of the final {metric_words(results.metric)}.",
        finding=_finding(found, words),
        figures=[_figure(found, metric_words(results.metric))],
        notes=[
            "Importance is of the ranges searched, not of a hyperparameter as such: a wider range "
            "makes its axis more important. Shares are of the axes' own effects; what two of them "
            "do together is not among them. Configurations without a final value are left out."
            + _absent(results.axes)
        ],
    )


def _absent(axes: tuple[Axis, ...]) -> str:
    names = [axis.name for axis in axes if axis.gaps]
    return f" So are axes that only some configurations have: {listed(names)}." if names else ""


def _finding(found: pd.DataFrame, words: str) -> str:
    top = found.iloc[0]
    wide = (
        f"Over the whole space {top['axis']} decides most: {percent(float(top['everywhere']), 2)} "
        f"of the variance of {words} that single axes account for."
    )
    near = found.iloc[int(found["best"].to_numpy().argmax())]
    share = percent(float(near["best"]), 2)
    if near["axis"] == top["axis"]:
        return f"{wide} It also decides most who is among the best tenth ({share})."
    return f"{wide} Who is among the best tenth is decided most by {near['axis']} ({share})."


def _figure(found: pd.DataFrame, words: str) -> Figure:
    data = found.melt(id_vars="axis", value_vars=list(KINDS), var_name="group", value_name="value")
    data["group"] = data["group"].map(KINDS)
    chart = draw_importances(data, axes=found["axis"].tolist(), kinds=list(KINDS.values()))
    return Figure(
        name="importances",
        chart=chart,
        caption=f"How much each axis decides of the final {words}.",
        data=data,
        columns={"group": "importance", "value": "share"},
    )
