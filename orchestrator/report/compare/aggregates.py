"""Aggregates over tasks and seeds, with intervals of a stratified bootstrap.

Agarwal, Schwarzer, Castro, Courville & Bellemare 2021, "Deep Reinforcement Learning at the Edge of
the Statistical Precipice", as their library ``rliable`` computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000
CONFIDENCE = 0.95


def iqm(scores: Floats) -> float:
    """The interquartile mean: of all runs on all tasks, without the lowest and the highest quarter.

    The mean of what is left when ⌊n/4⌋ of the n = runs × tasks scores are cut from each end
    (``scipy.stats.trim_mean(scores, 0.25, axis=None)``).

    Args:
        scores: (runs, tasks), or any shape: it is made flat.
    """
    ranked = np.sort(np.asarray(scores, dtype=np.float64), axis=None)
    cut = int(0.25 * ranked.size)
    return float(ranked[cut : ranked.size - cut].mean())


def probability_of_improvement(x: Sequence[Floats], y: Sequence[Floats]) -> float:
    """P(X > Y): how likely a run of X is better than one of Y on a task drawn at random.

    1/M Σₘ 1/(N K) Σᵢⱼ S(xₘᵢ, yₘⱼ) with S = 1 where x > y, ½ where equal: the Mann–Whitney U
    statistic of each task over N K, averaged over the M tasks (Agarwal et al. 2021, equation A.2).

    Args:
        x, y: for each task the scores of N and K runs; more is better.
    """
    shares = [_ahead(own, other) for own, other in zip(x, y, strict=True)]
    return float(np.mean(shares))


def _ahead(x: Floats, y: Floats) -> float:
    signs = np.sign(np.subtract.outer(np.asarray(x), np.asarray(y)))
    return float((signs + 1).mean() / 2)


def bootstrap(
    samples: Sequence[Sequence[Floats]],
    statistic: Callable[..., float],
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic, runs drawn anew with replacement within each task.

    Tasks are strata: all of them are in every draw. Contenders are drawn independently, as
    ``rliable`` does. With few runs a task there are few different draws, and intervals are too
    narrow rather than too wide.

    Args:
        samples: for each contender and task, the scores of its runs.
        statistic: of one list of tasks for each contender.
    """
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for draw in range(resamples):
        anew = [
            [scores[rng.integers(0, len(scores), len(scores))] for scores in contender]
            for contender in samples
        ]
        draws[draw] = statistic(*anew)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def iqm_of(tasks: Sequence[Floats]) -> float:
    """:func:`iqm` of tasks that may have different numbers of runs."""
    return iqm(np.concatenate([np.asarray(scores) for scores in tasks]))


def normalized(
    scores: Mapping[str, Mapping[str, Floats]], *, higher: bool
) -> dict[str, dict[str, Floats]]:
    """Scores between 0, the worst run of any contender on a task, and 1, the best one.

    So that tasks of different scales count alike; ½ where all are equal.

    Args:
        scores: contender → task → values of its runs.
        higher: whether more is better.
    """
    made: dict[str, dict[str, Floats]] = {name: {} for name in scores}
    for task in next(iter(scores.values())):
        every = np.concatenate([own[task] for own in scores.values()])
        low, high = float(every.min()), float(every.max())
        for name, own in scores.items():
            place = np.full(len(own[task]), 0.5)
            if high > low:
                place = (own[task] - low) / (high - low)
            made[name][task] = place if higher else 1 - place
    return made
