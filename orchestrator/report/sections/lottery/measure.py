"""What networks are compared by, and differences of it in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.report.results import Results
from orchestrator.report.statistics import Difference
from orchestrator.report.text import (
    count,
    decimals_for,
    fixed,
    is_loss,
    metric_words,
    number,
    signed,
)

_CHOICE = ("accuracy", "error", "r2", "loss")
"""What is looked at, if it was measured: the first of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A metric, and how it is written."""

    metric: str
    higher_is_better: bool

    @property
    def words(self) -> str:
        return metric_words(self.metric)

    @property
    def column(self) -> str:
        return f"final/{self.metric}"

    @property
    def percent(self) -> bool:
        """Whether it is a share, told in percent; its differences in percentage points."""
        return self.metric.endswith(("accuracy", "error"))

    @property
    def log(self) -> bool:
        return is_loss(self.metric)

    def better(self, difference: Difference) -> Difference:
        """The difference, positive where the first of the two is better."""
        if self.higher_is_better:
            return difference
        return Difference(
            mean=-difference.mean,
            low=-difference.high,
            high=-difference.low,
            pairs=difference.pairs,
        )

    def value(self, value: float) -> str:
        return f"{number(100 * value, 4)} %" if self.percent else number(value, 4)

    def amount(self, difference: Difference) -> str:
        """How much, without a sign: ``1.2 pp``."""
        scale, decimals = self._scale(difference)
        return f"{abs(difference.mean) * scale:.{decimals}f}{self._unit}"

    def signed(self, difference: Difference) -> str:
        """``+1.2 [0.8, 1.6]`` in percentage points or units; without a sign to be flipped."""
        scale, decimals = self._scale(difference)
        mean = signed(difference.mean * scale, decimals)
        if not has_interval(difference):
            return mean
        ends = [fixed(end * scale, decimals) for end in (difference.low, difference.high)]
        return f"{mean} [{ends[0]}, {ends[1]}]"

    def interval(self, difference: Difference) -> str:
        """``95 % interval +0.8 to +1.6, paired, 5 seeds``."""
        scale, decimals = self._scale(difference)
        low, high = (signed(end * scale, decimals) for end in (difference.low, difference.high))
        return f"95 % interval {low} to {high}, paired, {count(difference.pairs, 'seed')}"

    @property
    def _unit(self) -> str:
        return " pp" if self.percent else ""

    def _scale(self, difference: Difference) -> tuple[int, int]:
        scale = 100 if self.percent else 1
        half = (difference.high - difference.low) / 2 * scale
        known = half if half > 0 else abs(difference.mean) * scale / 10
        decimals = decimals_for([known]) if known > 0 else 1
        return scale, max(1, decimals - 1)


def has_interval(difference: Difference) -> bool:
    return not math.isnan(difference.low)


def measures(results: Results) -> list[Measure]:
    """What tickets are compared by: on the test split where it was measured, which nothing here is
    chosen by; then on the objective's."""
    split = results.metric.partition("/")[0]
    found = [_of_split(results, one) for one in dict.fromkeys(("test", split))]
    known = [measure for measure in found if measure]
    own = Measure(metric=results.metric, higher_is_better=results.mode == "max")
    return known or [own]


def _of_split(results: Results, split: str) -> Measure | None:
    for what in _CHOICE:
        metric = f"{split}/{what}"
        if f"final/{metric}" in results.runs and results.runs[f"final/{metric}"].notna().any():
            return Measure(metric=metric, higher_is_better=what in ("accuracy", "r2"))
    return None


def values_of(results: Results, column: str) -> pd.Series:
    """A figure of each network that had all of its training; NaN of all others."""
    runs = results.runs
    values = runs.get(column, pd.Series(np.nan, index=runs.index)).astype(float)
    found: pd.Series = values.where(runs["whole"].astype(bool) & np.isfinite(values))
    return found


def worded(
    measure: Measure,
    difference: Difference,
    *,
    subject: str,
    other: str,
    verbs: Mapping[bool, str],
) -> str:
    """A paired difference as a sentence; empty where nothing was compared.

    Args:
        difference: positive where the subject is better.
        subject: ``Tickets at 13.5 %``.
        verbs: whether it is better → ``beat`` or ``fall behind``.
    """
    if not difference.pairs:
        return ""
    if not has_interval(difference):
        way = "better" if difference.mean > 0 else "worse"
        gap = f"are {measure.amount(difference)} {way} than" if difference.mean else "equal"
        return f"{subject} {gap} {other}; with one shared seed nobody can say whether by chance."
    interval = measure.interval(difference)
    if not difference.excludes_zero:
        return f"{subject} differ from {other} by no more than chance may explain ({interval})."
    verb = verbs[difference.mean > 0]
    return f"{subject} {verb} {other} by {measure.amount(difference)} ({interval})."


def nearest(levels: Mapping[int, float], wanted: Sequence[float]) -> list[int]:
    """Of levels (level → share of the weights left), those nearest to the wanted shares, each once.

    Nearest in the ratio of shares; the level of the dense network is none.
    """
    pruned = {level: share for level, share in levels.items() if level > 0 and share > 0}
    chosen = [
        min(pruned, key=lambda level: abs(math.log(pruned[level] / share)))
        for share in wanted
        if pruned
    ]
    return list(dict.fromkeys(chosen))


SHARES = (0.2107, 0.1352, 0.0358)
"""Weights left where Frankle & Carbin 2019 look closest: levels are told that are nearest to."""
