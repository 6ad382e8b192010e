"""Steps and examples to the target against the batch size, and the curve through them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_scaling
from orchestrator.report.figures.scaling import SHADES
from orchestrator.report.large_batch import Fit, leaves_perfect
from orchestrator.report.sections.large_batch.study import (
    INCOMPLETE,
    INFEASIBLE,
    REACHED,
    UNREACHED,
    LargeBatch,
)
from orchestrator.report.sections.large_batch.words import (
    EXCESS,
    bound,
    fit_sentences,
    whole,
)
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import NONE, count, listed, number

TITLE = "Scaling with the batch size"
_NO_ROWS = pd.DataFrame({"x": [], "group": [], "value": []}).astype({"x": float, "value": float})


def steps_section(study: LargeBatch) -> Section:
    lead = (
        f"Steps and examples to a {study.target}, with the best of the hyperparameters tried at "
        "each batch size."
    )
    known = study.best[study.best["status"] != INCOMPLETE]
    if known.empty:
        why = "No batch size has been trained with every seed yet."
        return Section(title=TITLE, lead=lead, finding=why)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study),
        figures=[_figure(study, "steps"), _figure(study, "examples")]
        if (known["status"] == REACHED).any()
        else [],
        tables=[*_fit_tables(study), _table(study)],
        notes=[
            "After Shallue et al. 2019 (JMLR 20:112), but with seeds: a point of hyperparameters"
            " has reached the target where all of its seeds have; its steps are their median. The"
            " curve is S = S_min + E_min / B (McCandlish et al. 2018, arXiv 1812.06162), fitted to"
            " log S of each seed at the point that the other seeds choose: the best of noisy points"
            " flatters itself, so points may lie below the curve. Batch sizes that have not reached"
            " the target count as censored. Intervals: bootstrap of residuals.",
            f"Regimes: perfect scaling takes at most {100 * EXCESS:.0f} % more examples than E_min"
            f" (B up to B_crit / {1 / EXCESS:.0f}); beyond {1 / EXCESS:.0f} B_crit, at most"
            f" {100 * EXCESS:.0f} % of the steps are left to gain. Steps are known to the distance"
            " of two evaluations.",
        ],
    )


def _finding(study: LargeBatch) -> str:
    group = study.leading
    own = study.of(group)
    if not (study.best["status"] == REACHED).any():
        return f"No batch size has reached the target. {_lost(study)}".strip()
    first = f"{group}: " if study.several else ""
    parts = [f"{first}{fit_sentences(study.fits[group])}", _measured(own), _others(study)]
    parts += [_lost(study), _waiting(study)]
    return " ".join(part for part in parts if part) + study.not_shown


def _measured(own: pd.DataFrame) -> str:
    """Where the measured points leave perfect scaling, whatever was fitted."""
    end = leaves_perfect(own, EXCESS)
    reached = own[own["status"] == REACHED]["batch_size"]
    if math.isnan(end) or len(reached) < 2 or end == reached.min():
        return ""
    if end == reached.max():
        return f"As measured, no batch size up to {whole(end)} wastes examples."
    return (
        f"As measured, batch sizes up to {whole(end)} take at most {100 * EXCESS:.0f} % more "
        "examples than any smaller one."
    )


def _others(study: LargeBatch) -> str:
    told = []
    for group in study.shown:
        fit = study.fits[group]
        if group != study.leading and fit is not None:
            told.append(f"{group} {bound(fit.b_crit)}")
    return f"B_crit of others: {listed(told, separator='; ')}." if told else ""


def _lost(study: LargeBatch) -> str:
    """Batch sizes at which nothing reached the target, of the groups that are drawn."""
    parts = []
    for status, words in ((UNREACHED, "unreached"), (INFEASIBLE, "infeasible (diverged)")):
        rows = study.best[(study.best["status"] == status) & study.best["group"].isin(study.shown)]
        sizes = [
            f"{row['batch_size']:,}" + (f" ({row['group']})" if study.several else "")
            for _, row in rows.iterrows()
        ]
        if sizes:
            parts.append(f"{words} at batch size {listed(sizes)}")
    return f"The target was {'; '.join(parts)}." if parts else ""


def _waiting(study: LargeBatch) -> str:
    if not study.waiting:
        return ""
    runs = count(study.waiting, "run")
    return f"{runs} {'has' if study.waiting == 1 else 'have'} yet to end: figures may change."


def scaling_data(study: LargeBatch, what: str) -> pd.DataFrame:
    """A row a group and batch size of those that are known; ``what``: steps or examples."""
    best = study.best[study.best["group"].isin(study.shown) & (study.best["status"] != INCOMPLETE)]
    factor = best["batch_size"] if what == "examples" else 1
    reached = best["status"] == REACHED
    value = (best["steps"] * factor).where(best["status"] != INFEASIBLE)
    data = pd.DataFrame(
        {
            "x": best["batch_size"].astype(float),
            "group": best["group"],
            "status": best["status"],
            "value": value,
            "low": (best["low"] * factor).where(reached & (best["seeds"] > 1)).astype(float),
            "high": (best["high"] * factor).where(reached & (best["seeds"] > 1)).astype(float),
            "lr": best["rate"].astype(float),
            "n": best["seeds"],
        }
    )
    # A mark of what diverged says at which batch size, not after how many steps.
    top = float(data[["value", "high"]].max().max())
    return data.assign(value=data["value"].fillna(1.3 * top)).reset_index(drop=True)


def _figure(study: LargeBatch, what: str) -> Figure:
    data = scaling_data(study, what)
    sizes = np.geomspace(float(data["x"].min()), float(data["x"].max()), 65)
    power = 1 if what == "examples" else 0
    curves, ideals, marks = [], [], []
    for group in study.shown:
        fit = study.fits[group]
        if fit is None:
            continue
        steps = np.array([fit.steps(size) for size in sizes])
        curves.append(pd.DataFrame({"x": sizes, "group": group, "value": steps * sizes**power}))
        first = study.reached(group).iloc[0]
        start = float(first["batch_size"]) * float(first["steps"])
        ideal = start / sizes if what == "steps" else np.full_like(sizes, start)
        ideals.append(pd.DataFrame({"x": sizes, "group": group, "value": ideal}))
        marks.append(_mark(group, fit))
    critical = pd.DataFrame(marks, columns=["group", "x", "low", "high"]).dropna(subset=["x"])
    leading = study.fits[study.leading]
    chart = draw_scaling(
        data,
        y_title=f"{what} to the target",
        group_title=study.group_title,
        order=study.shown,
        fits=pd.concat(curves) if curves else _NO_ROWS,
        ideal=pd.concat(ideals) if ideals else _NO_ROWS,
        marks=critical,
        regimes=regimes(leading, float(sizes[0]) / 1.2, float(sizes[-1]) * 1.2),
        falling=what == "steps",
    )
    caption = (
        f"{what.capitalize()} to a {study.target} against the batch size. Points: medians over "
        "seeds of the best hyperparameters, with the range over seeds; △: not reached within the "
        "budget; ×: all diverged. Line: fitted curve; dashed: perfect scaling from the smallest "
        f"batch.{' Vertical: B_crit with its 95 % interval.' if len(critical) else ''}"
        f"{_shaded(study, leading)}"
    )
    columns = {"x": "batch_size", "value": what, "group": study.group_title}
    return Figure(
        name=f"{what}_to_target", chart=chart, caption=caption, data=data, columns=columns
    )


def _shaded(study: LargeBatch, fit: Fit | None) -> str:
    if fit is None or math.isnan(fit.b_crit.value):
        return ""
    return f" Shades: regimes{study.whose(study.leading)}."


def _mark(group: str, fit: Fit) -> dict[str, object]:
    one = fit.b_crit
    return {"group": group, "x": one.value, "low": one.low, "high": one.high}


def regimes(fit: Fit | None, low: float, high: float) -> pd.DataFrame:
    """Stretches from low to high: x, x2, name. Empty where B_crit is not known."""
    if fit is None or math.isnan(fit.b_crit.value):
        return pd.DataFrame({"x": [], "x2": [], "name": []})
    cuts = [low, fit.leaves(EXCESS), fit.b_crit.value / EXCESS, high]
    ends = np.clip(cuts, low, high)
    rows = [
        {"x": a, "x2": b, "name": name}
        for a, b, name in zip(ends[:-1], ends[1:], SHADES, strict=True)
        if b > a
    ]
    return pd.DataFrame(rows)


def _fit_tables(study: LargeBatch) -> list[Table]:
    rows = []
    for group in study.order:
        fit = study.fits[group]
        if fit is None:
            continue
        three = [bound(one).replace("95 % interval ", "") for one in (fit.s_min, fit.e_min)]
        three.append(bound(fit.b_crit).replace("95 % interval ", ""))
        sizes = f"{fit.reached} ({fit.smallest:,} – {fit.largest:,})"
        rows.append([group, *three, sizes, str(fit.censored), number(fit.scatter, 2)])
    head = [study.group_title, "S_min (steps)", "E_min (examples)", "B_crit (examples)"]
    head += ["batch sizes", "censored", "scatter"]
    caption = "Fitted curves; scatter: residual standard deviation of ln S."
    return [Table(head=head, rows=rows, align="lrrrrrr", caption=caption)] if rows else []


def _table(study: LargeBatch) -> Table:
    rows = []
    for _, row in study.best.iterrows():
        reached = row["status"] == REACHED
        rows.append(
            [
                *([str(row["group"])] if study.several else []),
                f"{row['batch_size']:,}",
                str(row["status"]),
                whole(float(row["steps"])) if reached else NONE,
                f"{row['examples']:,.0f}" if reached else NONE,
                number(float(row["rate"])),
                str(row["seeds"]),
            ]
        )
    head = [*([study.group_title] if study.several else []), "batch size", "target", "steps"]
    head += ["examples", "learning rate", "seeds"]
    align = "l" * study.several + "rlrrrr"
    return Table(head=head, rows=rows, align=align, caption="Best of each batch size", folded=True)
