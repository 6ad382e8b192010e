"""The gradient noise scale over training, beside the critical batch size that was fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_noise
from orchestrator.report.large_batch import Fit
from orchestrator.report.results import time_column
from orchestrator.report.sections.large_batch.study import LargeBatch
from orchestrator.report.sections.large_batch.words import whole
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import thinned
from orchestrator.report.text import count, number

TITLE = "The gradient noise scale"
NOISE = "probe/noise_scale"
AGREE = 5.0
"""McCandlish et al. 2018 find B_crit and the noise scale to agree within about this factor."""
MOST_SIZES, MOST_POINTS = 10, 80
_WIDE = 30
_GROWS = 1.5


def noise_section(study: LargeBatch) -> Section | None:
    """None where no noise scale was measured."""
    if NOISE not in study.results.history or study.results.history[NOISE].isna().all():
        return None
    lead = "How large a batch the noise of the gradients would repay, over training."
    measured = noise_rows(study)
    if measured.empty:
        why = "No run that reached the target has measured a noise scale above 0 yet."
        return Section(title=TITLE, lead=lead, finding=why)
    fit = study.fits[study.leading]
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, measured, fit),
        figures=[_figure(study, measured, fit)],
        notes=[
            "B_simple = tr Σ / |G|², the variance of single examples’ gradients over the square of"
            " their mean (McCandlish et al. 2018, arXiv 1812.06162, eq. 2.9), in examples; measured"
            " from running averages of both, at the best hyperparameters of each batch size."
            " Measurements that are not above 0 are left out. Means are of logarithms, over"
            " evaluations, seeds and batch sizes."
        ],
    )


def noise_rows(study: LargeBatch) -> pd.DataFrame:
    """A row an evaluation of the leading group's best runs: batch_size, seed, time, value, share
    (of the run's training)."""
    best = study.reached(study.leading)[["group", "batch_size", "point"]]
    runs = study.trials.merge(best, on=["group", "batch_size", "point"])
    history = study.results.history
    clock = time_column(history)
    rows = history[["run_id", clock, "step", NOISE]].merge(
        runs[["run_id", "batch_size", "seed", "steps"]], on="run_id"
    )
    rows = rows[rows[NOISE].gt(0) & np.isfinite(rows[NOISE]) & rows[clock].gt(0)]
    rows = pd.DataFrame(rows).rename(columns={clock: "time", NOISE: "value"})
    return rows.assign(share=rows["step"] / rows["steps"])


def _finding(study: LargeBatch, rows: pd.DataFrame, fit: Fit | None) -> str:
    log = np.log(rows["value"])
    by_size = log.groupby(rows["batch_size"]).mean()
    mean = float(np.exp(by_size.mean()))
    sizes = count(len(by_size), "batch size")
    first = (
        f"The noise scale{study.whose(study.leading)} averages {whole(mean)} examples over training"
        f" ({sizes})"
    )
    return f"{first}{_beside(mean, fit)} {_growth(rows, log)}".strip()


def _beside(mean: float, fit: Fit | None) -> str:
    """How far it is from what was fitted."""
    if fit is None:
        return "; there is no fitted curve to set it beside."
    one = fit.b_crit
    if one.value != one.value:
        if fit.above_range and not fit.below_range and one.low > 0:
            agrees = "in line with it" if mean >= one.low / AGREE else "far below it"
            return (
                f"; the fitted curve says only that B_crit is at least {whole(one.low)}: {agrees}."
            )
        if fit.below_range and not fit.above_range and np.isfinite(one.high):
            agrees = "in line with it" if mean <= one.high * AGREE else "far above it"
            return (
                f"; the fitted curve says only that B_crit is at most {whole(one.high)}: {agrees}."
            )
        return "; no B_crit could be fitted to set it beside."
    factor = max(mean / one.value, one.value / mean)
    far = f"{number(factor, 2)} times {'above' if mean > one.value else 'below'}"
    far = far if factor >= 1.1 else "much the same as"
    near = factor <= AGREE
    within = (
        f"{'within' if near else 'outside'} the factor {AGREE:g} within which McCandlish et al."
    )
    return f", {far} the fitted B_crit of {whole(one.value)}: {within} find the two to agree."


def _growth(rows: pd.DataFrame, log: pd.Series) -> str:
    early, late = log[rows["share"] <= 0.25], log[rows["share"] > 0.75]
    if early.empty or late.empty:
        return ""
    a, b = float(np.exp(early.mean())), float(np.exp(late.mean()))
    if max(a / b, b / a) < _GROWS:
        return "It stays much the same over training."
    verb = "grows" if b > a else "falls"
    return f"It {verb} from {whole(a)} in the first quarter of training to {whole(b)} in the last."


def _figure(study: LargeBatch, rows: pd.DataFrame, fit: Fit | None) -> Figure:
    sizes = sorted(set(rows["batch_size"]))
    kept = [sizes[i] for i in thinned(len(sizes), MOST_SIZES)]
    parts = []
    for size in kept:
        own = rows[rows["batch_size"] == size].assign(log=lambda r: np.log(r["value"]))
        # One evaluation of each seed after the other: seeds end after different steps.
        turn = own.groupby("run_id").cumcount()
        grouped = own.groupby(turn // -(-(int(turn.max()) + 1) // MOST_POINTS))
        mean = grouped.agg(x=("time", "mean"), log=("log", "mean"), n=("seed", "nunique"))
        parts.append(
            pd.DataFrame(
                {
                    "x": mean["x"],
                    "group": f"{size:,}",
                    "value": np.exp(mean["log"]),
                    "n": mean["n"],
                    "batch_size": size,
                }
            )
        )
    data = pd.concat(parts, ignore_index=True)
    clock = time_column(study.results.history)
    known = fit is not None and fit.b_crit.value == fit.b_crit.value
    critical = (fit.b_crit.value, fit.b_crit.low, fit.b_crit.high) if fit and known else None
    chart = draw_noise(
        data,
        x_title=f"{clock}s",
        log_x=float(data["x"].max()) > _WIDE * float(data["x"].min()),
        order=[f"{size:,}" for size in kept],
        critical=critical,
    )
    fewer = f" Drawn: {len(kept)} of {len(sizes)} batch sizes." if len(kept) < len(sizes) else ""
    beside = " Dashed: the fitted B_crit, with its 95 % interval." if critical else ""
    caption = (
        f"Noise scale over training{study.whose(study.leading)}, a line for each batch size "
        f"(geometric means over seeds).{beside}{fewer}"
    )
    columns = {"x": clock, "value": NOISE}
    data = data.drop(columns="group")
    return Figure(name="noise_scale", chart=chart, caption=caption, data=data, columns=columns)
