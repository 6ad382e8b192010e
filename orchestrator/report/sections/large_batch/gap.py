"""The generalization gap of each batch size, at equal training loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from orchestrator.report.figures import draw_lines
from orchestrator.report.figures.lines import Across
from orchestrator.report.figures.scaling import batch_axis
from orchestrator.report.sections.large_batch.slope import Slope, fit_slope
from orchestrator.report.sections.large_batch.study import METRIC, LargeBatch
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import count, fixed, listed, metric_words, number, signed

TITLE = "Generalization at equal training loss"
TRAIN = "train/loss"


def gap_section(study: LargeBatch) -> Section | None:
    """None where training and held-out losses are not both measured."""
    held = _held_out(study)
    if held is None:
        return None
    words = metric_words(held)
    lead = (
        f"The {words} minus the training loss where runs of all batch sizes have come to the same "
        "training loss, at the best hyperparameters of each."
    )
    curves = _curves(study, held)
    level = common_level(list(curves.values()))
    gaps = gap_rows(study, curves, level)
    if gaps["batch_size"].nunique() < 2:
        why = "Fewer than two batch sizes have come to one training loss: nothing to compare yet."
        return Section(title=TITLE, lead=lead, finding=why)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(study, gaps, level),
        figures=[_figure(study, gaps, level, words)],
        notes=[
            "The training loss is that of the batches between two evaluations, dropout and"
            " augmentation included; beside it stands the mean of the held-out losses at both. It"
            " is made to fall (isotonic regression), for a noisy one would come to any level early;"
            " both are interpolated. The level is the lowest that every run shown has come to. The"
            " slope is of single runs against log10 of the batch size, by least squares."
        ],
    )


def _held_out(study: LargeBatch) -> str | None:
    """The loss of the split that the target is of, else of another one."""
    history = study.results.history
    if TRAIN not in history or history[TRAIN].isna().all():
        return None
    targets = study.results.runs.get(METRIC)
    split = "" if targets is None else str(targets.dropna().iloc[0]).partition("/")[0]
    names = [f"{name}/loss" for name in (split, "valid", "test") if name in ("valid", "test")]
    known = [name for name in names if name in history and history[name].notna().any()]
    return known[0] if known else None


def _curves(study: LargeBatch, held: str) -> dict[str, pd.DataFrame]:
    """run_id → :func:`falling` losses, for the best points that have reached the target."""
    best = pd.concat([study.reached(group) for group in study.shown])
    keys = ["group", "batch_size", "point"]
    ids = study.trials.merge(best[keys], on=keys)["run_id"]
    history = study.results.history
    own = history[history["run_id"].isin(ids)].sort_values("step")
    own = own[["run_id", TRAIN, held]].rename(columns={TRAIN: "train", held: "held"}).dropna()
    own = own[own["train"].gt(0) & np.isfinite(own["held"])]
    return {str(run): falling(rows) for run, rows in own.groupby("run_id") if len(rows) > 2}


def falling(rows: pd.DataFrame) -> pd.DataFrame:
    """train, held: the training loss of each interval between evaluations, and the held-out loss in
    its middle.

    The training loss of an interval is a mean over the batches in it, of few examples where batches
    are small: by its noise it would come below a level before its mean does, and the earlier the
    smaller the batch. Isotonic regression is the closest sequence that does not rise.

    Args:
        rows: train (of the batches since the row before) and held (at the row), by step.
    """
    train, held = rows["train"].to_numpy(dtype=float), rows["held"].to_numpy(dtype=float)
    smooth = isotonic_regression(train[1:], increasing=False).x
    return pd.DataFrame({"train": smooth, "held": (held[1:] + held[:-1]) / 2})


def common_level(curves: Sequence[pd.DataFrame]) -> float:
    """The lowest training loss that every run has come to; NaN without runs."""
    return max((float(rows["train"].min()) for rows in curves), default=math.nan)


def held_at(rows: pd.DataFrame, level: float) -> float:
    """The held-out loss where the training loss first comes to ``level``.

    Interpolated against log train loss, between the evaluation there and the one before. NaN where
    it has not, or was below it from the first evaluation on.
    """
    train, held = rows["train"].to_numpy(dtype=float), rows["held"].to_numpy(dtype=float)
    below = np.flatnonzero(train <= level * (1 + 1e-9))
    if below.size == 0:
        return math.nan
    at = int(below[0])
    if at == 0:
        return float(held[0]) if train[0] >= level * (1 - 1e-9) else math.nan
    span = math.log(train[at - 1] / train[at])
    share = min(1.0, math.log(train[at - 1] / level) / span) if span > 0 else 1.0
    return float(held[at - 1] + share * (held[at] - held[at - 1]))


def gap_rows(study: LargeBatch, curves: dict[str, pd.DataFrame], level: float) -> pd.DataFrame:
    """A row a run: group, batch_size, seed, gap."""
    runs = study.trials[study.trials["run_id"].isin(list(curves))]
    gaps = [held_at(curves[run], level) - level for run in runs["run_id"]]
    return runs[["group", "batch_size", "seed"]].assign(gap=gaps).dropna().reset_index(drop=True)


def _slope(gaps: pd.DataFrame) -> Slope | None:
    x = np.log10(gaps["batch_size"].to_numpy(dtype=float))
    return fit_slope(x, gaps["gap"].to_numpy(dtype=float))


def _finding(study: LargeBatch, gaps: pd.DataFrame, level: float) -> str:
    own = gaps[gaps["group"] == study.leading]
    sizes = own["batch_size"].nunique()
    whose = study.whose(study.leading)
    where = f"At a training loss of {number(level)}, the gap{whose}"
    slope = _slope(own) if sizes >= 3 else None
    if slope is None:
        first = f"{where} cannot be told to depend on the batch size: {count(sizes, 'size')}."
    else:
        digits = max(2, 2 - math.floor(math.log10(max(abs(slope.slope), 1e-6))))
        per = f"{signed(slope.slope, digits)} (95 % interval {signed(slope.low, digits)} to "
        per += f"{signed(slope.high, digits)}) for each tenfold batch"
        if slope.low > 0 or slope.high < 0:
            verb = "widens" if slope.low > 0 else "narrows"
            means = own.groupby("batch_size")["gap"].mean()
            ends = f"{fixed(means.iloc[0], digits)} at batch size {means.index[0]:,}, "
            ends += f"{fixed(means.iloc[-1], digits)} at {means.index[-1]:,}"
            first = f"{where} {verb} with the batch size on the whole: {per} ({ends})."
        else:
            first = f"{where} does not clearly change with the batch size: {per}."
    clear = [
        f"{group} {'wider' if other.low > 0 else 'narrower'}"
        for group in study.shown
        if group != study.leading
        and (other := _slope(gaps[gaps["group"] == group])) is not None
        and (other.low > 0 or other.high < 0)
    ]
    return f"{first} Others that clearly change with it: {listed(clear)}." if clear else first


def _figure(study: LargeBatch, gaps: pd.DataFrame, level: float, words: str) -> Figure:
    means = mean_intervals(gaps, ["group", "batch_size"], "gap")
    data = means.rename(columns={"batch_size": "x", "mean": "value"})
    shown = [group for group in study.shown if (data["group"] == group).any()]
    channel = batch_axis(float(data["x"].min()), float(data["x"].max()))("x:Q")
    chart = draw_lines(
        data,
        across=Across(channel=channel, title="batch size", form=","),
        y_title=f"{words} − training loss",
        group_title=study.group_title,
        order=shown,
        height=280,
    )
    caption = (
        f"{words.capitalize()} minus training loss where the latter is {number(level)}, against the"
        " batch size. Points: means over seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "batch_size", "value": "gap", "group": study.group_title}
    return Figure(
        name="generalization_gap", chart=chart, caption=caption, data=data, columns=columns
    )
