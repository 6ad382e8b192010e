"""How much each batch size minds its learning rate."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_rate_sensitivity
from orchestrator.report.large_batch import sensitivity
from orchestrator.report.sections.large_batch.rates import FACTOR
from orchestrator.report.sections.large_batch.study import (
    INCOMPLETE,
    INFEASIBLE,
    REACHED,
    UNREACHED,
    LargeBatch,
)
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import NONE, number, percent

TITLE = "Sensitivity to the learning rate"
MOST_FIGURES = 3
_APART = 0.3
"""Widths that differ by less, in decades (a factor of 2 in the rate), are called alike."""


def rate_sensitivity_section(study: LargeBatch) -> Section | None:
    """None where no batch size has several learning rates."""
    if study.points.groupby("batch_size")["rate"].nunique().max() < 3:
        return None
    lead = f"Steps to a {study.target} against the learning rate, at each batch size."
    widths = {group: _widths(study, group) for group in study.shown}
    table = widths[study.leading]
    if table["decades"].isna().all():
        why = "No batch size has reached the target yet."
        return Section(title=TITLE, lead=lead, finding=why)
    groups = [study.leading, *(group for group in study.shown if group != study.leading)]
    groups = [group for group in groups if widths[group]["decades"].notna().any()]
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, table),
        figures=[_figure(study, group, i) for i, group in enumerate(groups[:MOST_FIGURES])],
        tables=[_table(study, widths)],
        notes=[
            f"Width: the stretch of swept rates around the best, in decades, in which the target "
            f"takes at most {FACTOR:g} times the fewest steps; ≥: it goes to the end of what was "
            "swept, or the budget ends before so many steps. Other hyperparameters are at their "
            "best for each rate."
        ],
    )


def _widths(study: LargeBatch, group: str) -> pd.DataFrame:
    """See ``large_batch.sensitivity``; a stretch that the budget may have cut is open, too."""
    own = study.points[(study.points["group"] == group) & study.points["rate"].notna()]
    table = sensitivity(own, factor=FACTOR)
    fewest = own[own["status"] == REACHED].groupby("batch_size")["steps"].min()
    short = own[own["status"] == UNREACHED].groupby("batch_size")["steps"].min()
    cut = table["batch_size"].map(short) < FACTOR * table["batch_size"].map(fewest)
    return table.assign(open=table["open"].astype(bool) | cut)


def _finding(study: LargeBatch, table: pd.DataFrame) -> str:
    known = table.dropna(subset=["decades"]).sort_values("batch_size")
    whose = study.whose(study.leading)
    if len(known) < 2:
        only = known.iloc[0]
        return f"Batch size {only['batch_size']:,}{whose}: {_width(only)}."
    closed = known[~known["open"]]
    # Of an open stretch only a least width is known: it cannot be the narrowest.
    some = closed if len(closed) else known
    narrow, wide = (
        some.iloc[int(some["decades"].argmin())],
        known.iloc[int(known["decades"].argmax())],
    )
    if wide["decades"] - narrow["decades"] < _APART:
        first = f"All batch sizes{whose} bear much the same range of rates: {_width(narrow)} to "
        first += f"{_width(wide)}."
    else:
        first = (
            f"Batch size {narrow['batch_size']:,}{whose} is most sensitive to its learning "
            f"rate ({_width(narrow)}), batch size {wide['batch_size']:,} least ({_width(wide)})."
        )
    lost = known["infeasible"]
    if lost.max() == 0:
        return first
    worst = known.iloc[int(lost.argmax())]
    share = percent(float(worst["infeasible"]), 2)
    return (
        f"{first} At batch size {worst['batch_size']:,}, {share} of the rates diverged, the most."
    )


def _width(row: pd.Series) -> str:
    if row["rates"] == 1 and not row["open"]:
        return "its best rate alone"
    return f"{'at least ' if row['open'] else ''}{row['decades']:.2f} decades"


def sensitivity_data(study: LargeBatch, group: str) -> pd.DataFrame:
    """A row a batch size and rate: x (rate), group (batch size), value (steps), status."""
    own = study.points[(study.points["group"] == group) & study.points["rate"].gt(0)]
    own = own[own["status"] != INCOMPLETE]
    rank = own["status"].map({"reached": 0, "unreached": 1, "infeasible": 2})
    own = own.assign(rank=rank).sort_values(["batch_size", "rate", "rank", "steps"])
    first = own.drop_duplicates(["batch_size", "rate"])
    top = float(first.loc[first["status"] != INFEASIBLE, "steps"].max())
    # Each batch size has a line of its own for what diverged.
    place = first["batch_size"].rank(method="dense") - 1
    height = top * 1.25 * 1.12**place
    return pd.DataFrame(
        {
            "x": first["rate"],
            "group": first["batch_size"].map("{:,}".format),
            "value": first["steps"].where(first["status"] != INFEASIBLE, height),
            "status": first["status"],
            "batch_size": first["batch_size"],
        }
    ).reset_index(drop=True)


def _figure(study: LargeBatch, group: str, place: int) -> Figure:
    data = sensitivity_data(study, group)
    order = list(dict.fromkeys(data["group"]))
    chart = draw_rate_sensitivity(data, y_title="steps to the target", order=order)
    caption = (
        f"Steps to a {study.target} against the learning rate{study.whose(group)}, a line for each "
        "batch size. △: not reached within the budget; ×: diverged (along the top, a row for each "
        "batch size)."
    )
    columns = {"x": "learning_rate", "value": "steps"}
    data = data.drop(columns="group")
    name = "rate_sensitivity" + (f"_{place + 1}" if place else "")
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _table(study: LargeBatch, widths: dict[str, pd.DataFrame]) -> Table:
    rows = []
    for group, table in widths.items():
        for _, row in table.iterrows():
            known = row["decades"] == row["decades"]
            rows.append(
                [
                    *([group] if study.several else []),
                    f"{row['batch_size']:,}",
                    f"{number(row['low'])} – {number(row['high'])}" if known else NONE,
                    f"{'≥ ' if row['open'] else ''}{row['decades']:.2f}" if known else NONE,
                    f"{row['rates']} of {row['tried']}",
                    percent(float(row["infeasible"]), 2),
                ]
            )
    head = [*([study.group_title] if study.several else []), "batch size"]
    head += [f"within {FACTOR:g} ×", "decades", "rates", "diverged"]
    align = "l" * study.several + "rrrrr"
    caption = "Width by batch size"
    return Table(head=head, rows=rows, align=align, caption=caption, folded=True)
