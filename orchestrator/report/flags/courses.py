"""What the best configuration's course over training says of it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.flags.model import Flag
from orchestrator.report.results import Results, time_column
from orchestrator.report.statistics import paired_difference
from orchestrator.report.text import metric_words, number, percent

LATE = 0.8
"""Of training: what is gained from here on should be little."""
GAIN = 0.02
"""Of the final value: less is no gain to speak of."""
WORSE = 0.05
"""Of the least loss: more above it is overfitting."""
DECAYED = 0.1
"""Of the peak: a learning rate that ends below it has ended training, whatever came before."""
FEWEST = 6
"""Evaluations below which a course is not judged."""
SHARE = 0.5
"""Of the variance over seeds: what evaluations of one run vary by is then not small."""


def still_improving(results: Results) -> list[Flag] | None:
    """Whether the last fifth of training still improves the best configuration.

    By more than 2 % of its final value, in the mean over seeds and, where there are several, with
    an interval (Student's t) above 0. It cannot judge where the learning rate has decayed below a
    tenth of its peak: every such course ends in a fall and then stands still.
    """
    course = _best_course(results, results.metric)
    if course is None or _decayed(results):
        return None
    late = course[course.index <= LATE * course.index[-1]]
    sign = 1 if results.mode == "min" else -1
    before, after = late.iloc[-1].to_numpy(), course.iloc[-1].to_numpy()
    gain = paired_difference(sign * before, sign * after)
    sure = math.isnan(gain.low) or gain.low > 0
    if gain.mean <= GAIN * abs(float(np.mean(after))) or not sure:
        return []
    return [
        Flag(
            doubt="still improving when training ends",
            evidence=(
                f"In the last fifth of training the best configuration's "
                f"{metric_words(results.metric)} gained {number(gain.mean, 2)}, to "
                f"{number(float(np.mean(after)))}."
            ),
            advice="Train longer before configurations are told apart: others may overtake it.",
        )
    ]


def overfitting(results: Results) -> list[Flag] | None:
    """Whether the best configuration's validation loss ends above its least, by 5 % or more.

    The least lies before the last tenth of training, and the training loss falls meanwhile; with
    several seeds the interval of the rise is above 0.
    """
    valid = _best_course(results, "valid/loss")
    train = _best_course(results, "train/loss")
    if valid is None:
        return None
    times, losses = valid.index.to_numpy(np.float64), valid.to_numpy()
    at = int(losses.mean(axis=1).argmin())
    least, when = float(losses[at].mean()), float(times[at])
    rise = paired_difference(losses[-1], losses[at])
    sure = math.isnan(rise.low) or rise.low > 0
    if not (when < 0.9 * times[-1] and sure and rise.mean > WORSE * least):
        return []
    if train is not None and when in train.index:
        own = train.loc[when:].to_numpy().mean(axis=1)
        if own[-1] >= own[0]:
            return []  # training itself got worse: that is another trouble
    clock = time_column(results.history)
    return [
        Flag(
            doubt="overfitting",
            evidence=(
                f"The best configuration's validation loss was least at {number(when)} of "
                f"{number(float(times[-1]))} {clock}s, {number(least)}, and ended "
                f"{percent(rise.mean / least, 2)} above it."
            ),
            advice="Regularize, stop earlier, or compare best values instead of final ones.",
        )
    ]


def noisy(results: Results) -> list[Flag] | None:
    """Whether one evaluation more or less decides.

    σ² = mean(Δ²)/2 over neighbouring evaluations of the last third, Δ their differences. It
    is flagged where it is half of the variance over seeds or more, and σ is larger than the
    distance from the best configuration to the next.
    """
    course, ranked = _best_course(results, results.metric), results.ranked()
    if course is None or len(ranked) < 2:
        return None
    late = course.iloc[-max(3, len(course) // 3) :].to_numpy()
    sd = math.sqrt(float(np.mean(np.diff(late, axis=0) ** 2)) / 2)
    gap = abs(float(ranked["mean"].iloc[1] - ranked["mean"].iloc[0]))
    over_seeds = float(ranked["sd"].iloc[0])
    small = math.isfinite(over_seeds) and sd**2 < SHARE * over_seeds**2
    if small or sd <= gap:
        return []
    return [
        Flag(
            doubt="evaluations vary from one to the next",
            evidence=(
                f"Late in training {metric_words(results.metric)} of the best configuration "
                f"varies by {number(sd, 2)} between evaluations; the next configuration is "
                f"{number(gap, 2)} behind."
            ),
            advice=(
                "Average weights (ema, swa), let the learning rate decay further, or evaluate on "
                "more examples."
            ),
        )
    ]


def _best_course(results: Results, metric: str) -> pd.DataFrame | None:
    """The metric of the best configuration: a row an evaluation, a column a seed; finite.

    None where it has fewer than six evaluations that all seeds share.
    """
    ranked = results.ranked()
    if ranked.empty or metric not in results.history:
        return None
    best = results.runs.loc[results.runs["configuration"] == ranked.index[0], ["run_id", "seed"]]
    history = results.history
    rows = history[history["run_id"].isin(best["run_id"])].merge(best, on="run_id")
    clock = time_column(results.history)
    table = rows.pivot_table(index=clock, columns="seed", values=metric, aggfunc="last")
    whole = table.loc[np.isfinite(table.to_numpy()).all(axis=1)]
    return whole if len(whole) >= FEWEST else None


def _decayed(results: Results) -> bool:
    """Whether the best configuration's learning rate ends far below its peak."""
    if "lr" not in results.history:
        return False
    best = results.ranked().index[0]
    ids = results.runs.loc[results.runs["configuration"] == best, "run_id"]
    rates = results.history.loc[results.history["run_id"].isin(ids), ["run_id", "lr"]].dropna()
    if rates.empty:
        return False
    by_run = rates.groupby("run_id")["lr"]
    return bool((by_run.last() < DECAYED * by_run.max()).all())
