"""The curvature of the loss over training, and what preconditioning makes of it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_density, draw_sharpness
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.spectra import (
    AFTER,
    MATRICES,
    at_ends,
    last_density,
    measured,
    scalars,
    stable_below,
)
from orchestrator.report.text import count, listed, number, percent

TITLE = "The spectrum of the curvature"
MOST = 8
"""So many configurations are drawn."""
NEAR = 0.2
"""An eigenvalue within so much of the bound is at the edge of stability."""
_FLOOR = 1e-4
"""Densities below this share of the largest one are drawn as this share."""


_CHANGED = 1.1
"""By less than this factor a number has hardly changed."""


def spectrum_section(results: Results) -> Section | None:
    """None where no spectrum was measured."""
    if results.probes.empty:
        return None
    rows = measured(results)
    matrix = next((name for name in MATRICES if (rows["matrix"] == name).any()), None)
    if matrix is None:
        return None
    order = _chosen(results, rows)
    tops = scalars(rows, matrix, "top")
    tops = tops.assign(stable=stable_below(tops, results.history))
    sentences = [_course(tops, order, matrix), _edge(tops), _flattened(rows, matrix)]
    figures = [_sharpness(tops, order, matrix)]
    figures += [_density(rows, order, name) for name in (matrix, AFTER)]
    return Section(
        title=TITLE,
        lead=(
            f"The eigenvalues of the loss’s {MATRICES[matrix]} over training, before and after"
            " the optimizer’s preconditioner."
        ),
        finding=" ".join(sentence for sentence in sentences if sentence),
        tables=[_table(rows, order, matrix)],
        figures=[figure for figure in figures if figure is not None],
        notes=[
            "λ₁ is the largest eigenvalue, λₖ the last of those that were told one by one, both by"
            " Lanczos’ iteration on a fixed part of the training set. After preconditioning they"
            " are those of P⁻¹ times the matrix, P as the optimizer’s state stands: a gradient’s"
            " part along such an eigenvector shrinks at the rate of its eigenvalue, so that a"
            " smaller λ₁/λₖ is the better conditioned problem. Its scale depends on the optimizer."
            " Gradient descent with momentum β and rate η is stable below (2 + 2β)/η on a quadratic"
            " (Cohen et al. 2021, arXiv 2103.00065): there lies the edge of stability."
        ],
    )


def _chosen(results: Results, rows: pd.DataFrame) -> list[str]:
    """Configurations to draw: the best of each optimizer, then others, best first."""
    first = rows.drop_duplicates("configuration").set_index("configuration")
    ranks = {label: rank for rank, label in enumerate(results.ranked().index)}
    ordered = sorted(first.index, key=lambda label: ranks.get(label, len(ranks)))
    kept: list[str] = []
    seen = set()
    for label in ordered:
        if first.loc[label, "optimizer"] not in seen:
            seen.add(first.loc[label, "optimizer"])
            kept.append(label)
    kept += [label for label in ordered if label not in kept]
    return [label for label in first.index if label in set(kept[:MOST])]


def _course(tops: pd.DataFrame, order: list[str], matrix: str) -> str:
    ends = at_ends(tops)
    moved = ends[ends["first_step"] < ends["last_step"]]
    what = f"The largest eigenvalue of the {MATRICES[matrix]}"
    if moved.empty:
        median = float(ends["last"].median())
        return f"{what} is {number(median)} (median over {count(len(ends), 'run')})."
    before, after = float(moved["first"].median()), float(moved["last"].median())
    grown = int((moved["last"] > moved["first"]).sum())
    verb = "goes from"
    if before > 0 and after > 0 and max(before / after, after / before) >= _CHANGED:
        verb = "grows from" if after > before else "falls from"
    return (
        f"{what} {verb} {number(before)} at its first measurement to {number(after)} at its last"
        f" (medians over {count(len(moved), 'run')}; it has grown in {grown:,} of them)."
    )


def _edge(tops: pd.DataFrame) -> str:
    """Where plain gradient descent ends beside what it can bear."""
    bounded = tops.dropna(subset=["stable"])
    if bounded.empty:
        return ""
    last = bounded[bounded["step"] == bounded.groupby("run_id")["step"].transform("max")]
    last = last[last["step"] > 0]
    if last.empty:
        return ""
    ratio = last["value"] / last["stable"]
    near, above = int((abs(ratio - 1) <= NEAR).sum()), int((ratio > 1 + NEAR).sum())
    return (
        f"Of {count(len(last), 'run')} of plain SGD, {near:,} end within {100 * NEAR:.0f} % of the"
        f" bound of stability, {above:,} above and {len(last) - near - above:,} below it"
        f" (λ₁ over the bound: median {number(float(ratio.median()), 2)})."
    )


def _flattened(rows: pd.DataFrame, matrix: str) -> str:
    """What preconditioning makes of λ₁/λₖ at the last measurement, optimizer by optimizer."""
    pairs = _spreads(rows, matrix)
    parts = []
    for optimizer, own in pairs.groupby("optimizer", sort=False):
        factor = float(np.exp(np.log(own["before"] / own["after"]).mean()))
        times = (
            f"{'lowers' if factor > 1 else 'raises'} it {number(max(factor, 1 / factor), 2)}-fold"
        )
        if max(factor, 1 / factor) < _CHANGED:
            times = "hardly changes it"
        before, after = (number(float(own[side].median())) for side in ("before", "after"))
        parts.append(f"that of {optimizer} {times}, from {before} to {after}")
    if not parts:
        return ""
    return f"What a preconditioner makes of λ₁/λₖ at the last measurement: {listed(parts, MOST)}."


def _spreads(rows: pd.DataFrame, matrix: str) -> pd.DataFrame:
    """A row a run with both: optimizer, before, after (λ₁/λₖ, positive)."""
    sides = []
    for name, column in ((matrix, "before"), (AFTER, "after")):
        own = scalars(rows, name, "spread")
        own = own[own["value"] > 0]
        sides.append(
            own[["run_id", "step", "optimizer", "value"]].rename(columns={"value": column})
        )
    both = sides[0].merge(sides[1], on=["run_id", "step", "optimizer"])
    last: pd.DataFrame = both[both["step"] == both.groupby("run_id")["step"].transform("max")]
    return last


def _table(rows: pd.DataFrame, order: list[str], matrix: str) -> Table:
    """Medians over seeds at the last measurement."""
    columns = [
        ("λ₁", matrix, "top"),
        ("λ₁/λₖ", matrix, "spread"),
        ("smallest", matrix, "bottom"),
        ("trace", matrix, "trace"),
        ("λ₁/λₖ after", AFTER, "spread"),
    ]
    found = []
    for _, name, what in columns:
        ends = at_ends(scalars(rows, name, what))
        found.append(ends.groupby("configuration")["last"].median())
    cells = [
        [label, *(number(float(one.get(label, math.nan))) for one in found)] for label in order
    ]
    return Table(
        head=["configuration", *(head for head, _, _ in columns)],
        rows=cells,
        align="l" + "r" * len(columns),
        caption="Medians over seeds at the last measurement.",
    )


def _sharpness(tops: pd.DataFrame, order: list[str], matrix: str) -> Figure | None:
    drawn = tops[tops["configuration"].isin(order) & (tops["value"] > 0)]
    if drawn.empty:
        return None
    data = drawn.groupby(["configuration", "step"], as_index=False, sort=False).agg(
        value=("value", "mean"),
        low=("value", "min"),
        high=("value", "max"),
        n=("seed", "nunique"),
        stable=("stable", "mean"),
    )
    data = data.rename(columns={"configuration": "group", "step": "x"})
    # A single measurement a run has no line; and where rates fall to 0 bounds leave the figure.
    data["stable"] = data["stable"].where(data["stable"] < 100 * data["high"].max())
    words = f"largest eigenvalue of the {MATRICES[matrix]}"
    chart = draw_sharpness(data, x_title="steps", y_title="λ₁", order=order)
    bound = " Dashed: what gradient descent at that rate can bear." if data["stable"].any() else ""
    caption = f"The {words} over training: mean over seeds, band from minimum to maximum.{bound}"
    columns = {"x": "step", "group": "configuration", "value": f"probe/{matrix}/top"}
    return Figure(name="sharpness", chart=chart, caption=caption, data=data, columns=columns)


def _density(rows: pd.DataFrame, order: list[str], matrix: str) -> Figure | None:
    """Of the first seed of each configuration that has one."""
    own = last_density(rows, matrix)
    own = own[own["configuration"].isin(order)]
    if own.empty:
        return None
    own = own[own["seed"] == own.groupby("configuration")["seed"].transform("min")]
    data = own[["x", "configuration", "density", "step"]]
    data = data.rename(columns={"configuration": "group", "density": "value"})
    # At the floor, not left out: lines would bridge the gaps.
    data["value"] = data["value"].clip(lower=_FLOOR * data["value"].max())
    kept = [label for label in order if label in set(data["group"])]
    chart = draw_density(data, x_title="eigenvalue / largest eigenvalue", order=kept)
    after = matrix == AFTER
    whose = "preconditioned matrix" if after else MATRICES[matrix]
    caption = (
        f"The density of the eigenvalues of the {whose} at the last measurement, relative to the"
        f" largest one (dotted), by stochastic Lanczos quadrature: one seed of each configuration."
        f" {_bulk(own)}"
    )
    columns = {"x": "eigenvalue_over_top", "group": "configuration", "value": "density"}
    name = "density_after" if after else "density_before"
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _bulk(own: pd.DataFrame) -> str:
    """The share of eigenvalues that are small beside the largest one, median over lines."""
    shares = []
    for _, line in own.sort_values("x").groupby("configuration"):
        mass = np.trapezoid(line["density"], line["x"])
        small = line[line["x"].abs() <= 0.1]
        if mass > 0 and len(small) > 1:
            shares.append(float(np.trapezoid(small["density"], small["x"]) / mass))
    if not shares:
        return ""
    return f"{percent(float(np.median(shares)))} of them are below a tenth of it in magnitude."
