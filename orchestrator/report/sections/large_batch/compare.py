"""LARS, LAMB and others beside momentum at each batch size, and warmup beside none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_lines
from orchestrator.report.figures.lines import Across
from orchestrator.report.figures.scaling import batch_axis
from orchestrator.report.labels import configuration_labels
from orchestrator.report.sections.large_batch.contrast import (
    contrast,
    largest_useful,
    tally,
    verdict,
)
from orchestrator.report.sections.large_batch.study import REACHED, LargeBatch
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import NONE, fixed

TITLE = "Optimizers and warmup"
NO_WARMUP, CONSTANT, GRADUAL = "no warmup", "constant warmup", "gradual warmup"
MOST = 8
Contrasts = dict[str, tuple[pd.DataFrame, str, str]]
"""Name of a line → its rows, and which two ways it compares."""


def compare_section(study: LargeBatch) -> Section | None:
    """None where neither the optimizer nor the warmup varies."""
    optimizers = _optimizers(study)
    warmups = _warmups(study)
    first = _against_momentum(study, optimizers)
    second = _against_none(study, optimizers, warmups)
    if not first and not second:
        return None
    lead = (
        f"Steps to a {study.target}, as a multiple of the steps of another way at the same batch "
        "size; each at its best hyperparameters there."
    )
    sentences = [_sentence(*one) for one in (*first.values(), *second.values())]
    tables = [_table(rows) for rows in (first, second) if rows]
    figures = [_figure("optimizers", first), _figure("warmup", second)]
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(filter(None, sentences)) or "Nothing can be compared yet.",
        figures=[figure for figure in figures if figure is not None],
        tables=tables,
        notes=[
            "Ratios are geometric means over seeds, paired, with Student’s interval; not corrected"
            " for the number of batch sizes, nor for each way having its best picked among its own"
            " trials. The largest useful batch is the largest at"
            " which either way reaches the target."
        ],
    )


def _runs(study: LargeBatch) -> pd.DataFrame:
    """The rows of the store behind the trials, in their order."""
    return study.results.runs.set_index("run_id").loc[study.trials["run_id"]]


def _optimizers(study: LargeBatch) -> pd.Series:
    """The optimizer of each trial, labelled with what tells it from the others."""
    runs = _runs(study)
    axes = [
        axis
        for axis in study.results.axes
        if axis.path.partition(".")[0] == "optimizer" and not axis.numeric
    ]
    labels = configuration_labels(axes, runs[[axis.column for axis in axes]]) if axes else ""
    return pd.Series(labels if axes else "all runs", index=runs.index).reset_index(drop=True)


def _warmups(study: LargeBatch) -> pd.Series:
    """``no warmup``, ``constant warmup`` or ``gradual warmup`` for each trial."""
    runs = _runs(study)
    names = ["", ".steps", ".epochs"]
    columns = [f"config.schedule.warmup{name}" for name in names]
    known = [pd.to_numeric(runs[c], errors="coerce") for c in columns if c in runs]
    some = np.any([column.fillna(0).to_numpy() > 0 for column in known], axis=0) if known else False
    shapes = runs.get("config.schedule.warmup_shape", pd.Series("linear", index=runs.index))
    kind = np.where(shapes.eq("constant"), CONSTANT, GRADUAL)
    return pd.Series(np.where(some, kind, NO_WARMUP), index=study.trials.index)


def reference(study: LargeBatch, optimizers: pd.Series) -> str | None:
    """Momentum: SGD with momentum, plain before Nesterov's, else plain SGD. None without SGD."""
    runs = _runs(study)
    blank = pd.Series(np.nan, index=runs.index)
    momentum = pd.to_numeric(runs.get("config.optimizer.momentum", blank), errors="coerce")
    nesterov = runs.get("config.optimizer.nesterov", blank).eq(True)
    rank = np.where(momentum.fillna(0) > 0, np.where(nesterov, 1, 0), 2)
    is_sgd = runs.get("config.optimizer.name", blank).eq("sgd").to_numpy()
    ranked = pd.DataFrame({"label": optimizers, "rank": rank})[is_sgd]
    return None if ranked.empty else str(ranked.sort_values("rank", kind="stable")["label"].iloc[0])


def _against_momentum(study: LargeBatch, optimizers: pd.Series) -> Contrasts:
    base = reference(study, optimizers)
    if base is None:
        return {}
    others = [name for name in dict.fromkeys(optimizers) if name != base][:MOST]
    found = {name: contrast(study.trials, optimizers, name, base) for name in others}
    return {name: (rows, name, base) for name, rows in found.items() if len(rows)}


def _against_none(study: LargeBatch, optimizers: pd.Series, warmups: pd.Series) -> Contrasts:
    """Gradual and constant warmup beside none, for each optimizer that has both."""
    found: Contrasts = {}
    several = optimizers.nunique() > 1
    for name in list(dict.fromkeys(optimizers))[:MOST]:
        own = optimizers == name
        for kind in (GRADUAL, CONSTANT):
            rows = contrast(study.trials[own], warmups[own], kind, NO_WARMUP)
            if len(rows):
                whose = f" ({name})" if several else ""
                found[f"{kind}{whose}"] = (rows, f"{kind}{whose}", NO_WARMUP)
    return found


def _sentence(rows: pd.DataFrame, first: str, second: str) -> str:
    row = largest_useful(rows)
    if row is None:
        return f"Neither {first} nor {second} has reached the target at any batch size."
    size = f"{row['batch_size']:,}, the largest useful one"
    at = f"At batch size {size}, {verdict(row, first, second)}"
    return f"{at}. Over all, {first} is {tally(rows)}." if len(rows) > 1 else f"{at}."


def _figure(name: str, contrasts: Contrasts) -> Figure | None:
    parts = [
        rows.assign(group=line).rename(columns={"batch_size": "x"}).dropna(subset=["value"])
        for line, (rows, _, _) in contrasts.items()
    ]
    data = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if data.empty:
        return None
    data = data[["x", "group", "value", "low", "high", "n"]]
    base = next(iter(contrasts.values()))[2]
    channel = batch_axis(float(data["x"].min()), float(data["x"].max()))("x:Q")
    chart = draw_lines(
        _cut(data),
        across=Across(channel=channel, title="batch size", form=","),
        y_title=f"steps, as a multiple of {base}",
        group_title="way",
        order=list(dict.fromkeys(data["group"])),
        log_y=True,
        reference=(1.0, base),
        height=280,
    )
    caption = (
        f"Steps to the target as a multiple of those of {base}, where both reach it; below 1: "
        "fewer. Bands: 95 % intervals, paired by seed, as far as they are drawn."
    )
    columns = {"x": "batch_size", "value": "ratio"}
    return Figure(name=f"compared_{name}", chart=chart, caption=caption, data=data, columns=columns)


def _cut(data: pd.DataFrame) -> pd.DataFrame:
    """Intervals of two seeds can span decades: they are drawn no wider than a factor of 4."""
    least, most = float(data["value"].min()) / 4, float(data["value"].max()) * 4
    return data.assign(low=data["low"].clip(lower=least), high=data["high"].clip(upper=most))


def _table(contrasts: Contrasts) -> Table:
    rows = []
    for table, first, second in contrasts.values():
        for _, row in table.iterrows():
            both = row["first"] == REACHED == row["second"]
            interval = row["low"] == row["low"]
            rows.append(
                [
                    first,
                    second,
                    f"{row['batch_size']:,}",
                    fixed(float(row["value"]), 2) if both else NONE,
                    f"{fixed(float(row['low']), 2)} – {fixed(float(row['high']), 2)}"
                    if interval
                    else NONE,
                    str(int(row["n"])) if both else f"{row['first']}, {row['second']}",
                ]
            )
    head = ["way", "beside", "batch size", "ratio", "95 % interval", "seeds"]
    second = next(iter(contrasts.values()))[2]
    caption = f"Steps as a multiple of {second}, by batch size"
    return Table(head=head, rows=rows, align="llrrrr", caption=caption, folded=True)
