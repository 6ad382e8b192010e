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
        """``+1.21 [0.82, 1.60]`` in percentage points or units of the metric."""
        scale, decimals = self._scale(difference, digits=2)
        # Rounded first: −0.001 is to be +0.0, not −0.0.
        mean = signed(round(difference.mean * scale, decimals) + 0.0, decimals)
        if not has_interval(difference):
            return mean
        ends = [fixed(end * scale, decimals) for end in (difference.low, difference.high)]
        return f"{mean} [{ends[0]}, {ends[1]}]"

    def interval(self, difference: Difference, told: int = 0) -> str:
        """``95 % interval +0.8 to +1.6, paired, 5 seeds``.

        Args:
            told: the number of seeds that the reader knows of: only another one is told again.
        """
        scale, decimals = self._scale(difference)
        low, high = (signed(end * scale, decimals) for end in (difference.low, difference.high))
        if told == difference.pairs:
            return f"{low} to {high}"
        head = "" if told else "95 % interval "
        paired = "" if told else "paired, "
        return f"{head}{low} to {high}, {paired}{count(difference.pairs, 'seed')}"

    @property
    def _unit(self) -> str:
        return " pp" if self.percent else ""

    def _scale(self, difference: Difference, digits: int = 1) -> tuple[int, int]:
        """Factor to points, and decimals that show half the interval to so many digits."""
        scale = 100 if self.percent else 1
        half = (difference.high - difference.low) / 2 * scale
        known = half if half > 0 else abs(difference.mean) * scale / 10
        decimals = decimals_for([known]) if known > 0 else 1
        return scale, max(1, decimals + digits - 2)


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
    measure: Measure, better: Mapping[str, Difference], *, other: str, subject: str = "Tickets"
) -> str:
    """Paired differences at a few places as one sentence; empty where nothing was compared.

    ``Tickets at 13.5 % beat re-initialization by 1.2 pp (95 % interval +0.8 to +1.6, paired, 5
    seeds); at 3.58 % no difference is shown (−0.1 to +0.5).``

    Args:
        better: place (``at 13.5 %``) → difference, positive where the subject is better.
    """
    parts: list[str] = []
    before: Difference | None = None
    for place, difference in better.items():
        if difference.pairs:
            parts.append(_part(measure, difference, before, (subject, place, other)))
            before = difference
    return f"{'; '.join(parts)}." if parts else ""


def _part(
    measure: Measure, difference: Difference, before: Difference | None, who: tuple[str, str, str]
) -> str:
    """One difference. The first names both sides; later ones say what differs from the one before.

    Args:
        who: subject, place, other.
    """
    subject, place, other = who
    if not has_interval(difference):
        way = "better" if difference.mean > 0 else "worse"
        return (
            f"{subject} {place} are {measure.amount(difference)} {way} than {other}, with one "
            "shared seed: nobody can say whether by chance"
        )
    told = before.pairs if before and has_interval(before) else 0
    interval = measure.interval(difference, told)
    if not difference.excludes_zero:
        if told:
            return f"{place} no difference is shown ({interval})"
        between = f"between {subject[:1].lower()}{subject[1:]} and {other}"
        return f"{place[:1].upper()}{place[1:]} no difference {between} is shown ({interval})"
    verb = "beat" if difference.mean > 0 else "fall behind"
    by = f"by {measure.amount(difference)} ({interval})"
    if not told or before is None:
        of = "" if measure.percent else f"in {measure.words} "
        return f"{subject} {place} {verb} {other} {of}{by}"
    same = before.excludes_zero and (before.mean > 0) == (difference.mean > 0)
    return f"{place} {by}" if same else f"{place} they {verb} {other} {by}"


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
