"""What a learning-rate range test predicts (Smith 2017): pure functions of its curve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from orchestrator.report.statistics import Floats

BELOW_EDGE = 10.0
"""The peak is guessed to be the largest useful rate divided by this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTest:
    """What one run of the test says; NaN where it says nothing."""

    steepest: float
    """The rate at which the loss falls fastest for each decade of the rate."""
    edge: float
    """The largest rate before divergence."""

    @property
    def below_edge(self) -> float:
        return self.edge / BELOW_EDGE


def middles(rates: Floats) -> Floats:
    """The rate in the middle of each interval between evaluations, on the logarithmic axis.

    A loss that is a mean over an interval belongs there: √(lrᵢ₋₁ lrᵢ). The first interval is taken
    to be as long as the second.
    """
    logs = np.log10(rates)
    steps = np.diff(logs, prepend=2 * logs[0] - logs[1] if len(logs) > 1 else logs[0])
    return np.asarray(10 ** (logs - steps / 2), dtype=np.float64)


def read_test(rates: Floats, losses: Floats, *, diverged: bool) -> RangeTest:
    """What the curve of a range test says.

    ``steepest``: where d loss / d log₁₀ lr is smallest (central differences), up to the lowest
    loss. ``edge``: the last rate before half of what was gained (first loss − lowest loss) is lost
    again, or the last of all where the run diverged; NaN where neither happens. Smith (2017) looks
    for it by eye; others wait for four times the lowest loss, which one near zero passes by noise.

    Args:
        rates: ascending, as many as losses, in the order of training.
        losses: not finite ones end the curve.
        diverged: whether the run ended by divergence.
    """
    finite = np.isfinite(losses)
    n = int(np.argmin(finite)) if not finite.all() else losses.size
    x, y = np.log10(rates[:n]), losses[:n]
    if n < 3:
        return RangeTest(
            steepest=math.nan, edge=float(rates[n - 1]) if diverged and n else math.nan
        )
    lowest = int(np.argmin(y))
    slopes = np.gradient(y, x)[: lowest + 1]
    falls = bool((slopes < 0).any())
    steepest = float(10 ** x[int(np.argmin(slopes))]) if falls else math.nan
    lost = np.flatnonzero(y[lowest:] > y[lowest] + (y[0] - y[lowest]) / 2)
    if lost.size and lowest:
        return RangeTest(steepest=steepest, edge=float(rates[lowest + int(lost[0]) - 1]))
    ended = diverged or n < losses.size
    return RangeTest(steepest=steepest, edge=float(rates[n - 1]) if ended else math.nan)


def geometric_interval(rates: Floats, confidence: float = 0.95) -> tuple[float, float, float]:
    """Geometric mean of rates with its Student-t interval on the logarithmic axis; NaN left out."""
    logs = np.log10(rates[np.isfinite(rates)])
    n = logs.size
    if n == 0:
        return math.nan, math.nan, math.nan
    mean = float(logs.mean())
    if n < 2:
        return 10**mean, math.nan, math.nan
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * logs.std(ddof=1) / math.sqrt(n))
    return 10**mean, 10 ** (mean - half), 10 ** (mean + half)
