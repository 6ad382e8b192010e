"""Whether there are seeds enough to tell the best configuration from the next."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from orchestrator.report.flags.model import Flag
from orchestrator.report.results import Results
from orchestrator.report.statistics import difference_between
from orchestrator.report.text import count, metric_words, number

POWER, CONFIDENCE = 0.8, 0.95
MOST = 1000
"""Seeds beyond which nobody goes: the two are then equal for all that matters."""


def too_few_seeds(results: Results) -> list[Flag] | None:
    """Whether the best configuration and the next cannot be told apart with the seeds there are.

    With how many they could: the least n at which a paired t-test of differences with the
    observed mean δ and standard deviation s finds them in 80 % of studies, at 95 % confidence.
    """
    ranked = results.ranked()
    if len(ranked) < 2:
        return None
    best, second = str(ranked.index[0]), str(ranked.index[1])
    found = difference_between(results.runs, second, best)
    words = metric_words(results.metric)
    if math.isnan(found.low):
        return [
            Flag(
                doubt="one seed",
                evidence=f"{best} is {number(abs(found.mean), 2)} ahead of {second} in {words}, "
                "with one seed.",
                advice="Add seeds: regatta run again with more trains only what is new.",
            )
        ]
    if found.excludes_zero or found.mean == 0:
        return []
    half = (found.high - found.low) / 2
    sd = half * math.sqrt(found.pairs) / float(stats.t.ppf((1 + CONFIDENCE) / 2, found.pairs - 1))
    needed = seeds_to_tell(abs(found.mean), sd)
    how = f"about {count(needed, 'seed')}" if needed < MOST else "no number of seeds worth having"
    return [
        Flag(
            doubt="too few seeds to tell",
            evidence=(
                f"{second} is {number(abs(found.mean), 2)} behind {best} in {words}, with a "
                f"standard deviation of {number(sd, 2)} over {count(found.pairs, 'seed')}."
            ),
            advice=f"To tell such a difference takes {how}; or call it a tie.",
        )
    ]


def seeds_to_tell(mean: float, sd: float) -> int:
    """The least n ≥ 2 with P(t_{n−1}(√n mean/sd) beyond the two-sided 95 % quantile) ≥ 0.8.

    t_{n−1}(δ) is the non-central t distribution: the power of a paired t-test (Cohen 1988).
    At most 1,000.
    """
    if sd == 0:
        return 2
    n = np.arange(2, MOST + 1)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    power = stats.nct.sf(quantile, n - 1, np.sqrt(n) * mean / sd)
    enough = np.flatnonzero(power >= POWER)
    return int(n[enough[0]]) if enough.size else MOST
