"""Whether children are linearly connected, in words."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from orchestrator.report.sections.lottery.measure import SHARES, Measure, nearest
from orchestrator.report.text import count, fixed, metric_words, number, percent

THRESHOLD = 0.02
"""Frankle et al. 2020 (arXiv 1912.05671) take an error barrier below 2 % for none."""
Verdict = Literal["connected", "apart", "unclear"]
_SAYS = {
    "connected": "are linearly connected",
    "apart": "are not linearly connected",
    "unclear": "may or may not be linearly connected",
}


def verdict(mean: float, low: float, high: float) -> Verdict:
    """By the interval of the mean barrier: wholly below ``THRESHOLD``, wholly above it, or neither.

    Where there is no interval (NaN), by the mean alone.
    """
    if low != low:
        return "connected" if mean < THRESHOLD else "apart"
    if high < THRESHOLD:
        return "connected"
    return "apart" if low >= THRESHOLD else "unclear"


def levels_told(barriers: pd.DataFrame) -> dict[int, float]:
    """Level → weights left, of the dense network and of levels near the shares that are told."""
    shares = {int(n): float(x) for n, x in zip(barriers["level"], barriers["x"], strict=True)}
    levels = [0] * (0 in shares) + nearest(shares, SHARES)
    return {level: shares[level] for level in levels}


def connected_sentences(barriers: pd.DataFrame, measure: Measure) -> list[str]:
    """One sentence a level; what the threshold is, in the first.

    Args:
        barriers: rewind (step), level, x (weights left), value, low, high, n.
    """
    if barriers.empty:
        return ["No barrier has been measured yet."]
    told = [
        (barriers[barriers["level"] == level].sort_values("rewind"), _whose(level, share))
        for level, share in levels_told(barriers).items()
    ]
    if not measure.percent:
        return [_of_loss(own, whose, measure) for own, whose in told]
    if barriers["rewind"].nunique() == 1:
        sentences = _one_step([(own.iloc[0], whose) for own, whose in told])
    else:
        sentences = [_over_steps(own, whose) for own, whose in told]
    words = metric_words(measure.metric.removeprefix("probe/barrier/"))
    threshold = (
        f"Connected: the mean {words} barrier, and its 95 % interval, are below 2 pp, as in "
        "Frankle et al. 2020."
    )
    return [*sentences, threshold]


def _whose(level: int, share: float) -> str:
    return f"of tickets at {percent(share)}" if level else "of the dense network"


def _one_step(told: list[tuple[pd.Series, str]]) -> list[str]:
    """One sentence for those that are connected, one for those that are not."""
    step = number(float(told[0][0]["rewind"]), 6)
    sentences = []
    for one, says in _SAYS.items():
        parts = [f"{whose}: {_gap(row)}" for row, whose in told if _verdict(row) == one]
        if parts:
            sentences.append(
                f"Children that part at step {step} {says} (barrier {'; '.join(parts)})."
            )
    return sentences


def _verdict(row: pd.Series) -> Verdict:
    return verdict(float(row["value"]), float(row["low"]), float(row["high"]))


def _gap(row: pd.Series) -> str:
    mean = f"{fixed(100 * float(row['value']), 1)} pp"
    if row["low"] != row["low"]:
        return f"{mean}, one seed"
    low, high = (fixed(100 * float(row[end]), 1) for end in ("low", "high"))
    return f"{mean}, {low} to {high}, {count(int(row['n']), 'seed')}"


def _over_steps(own: pd.DataFrame, whose: str) -> str:
    """The earliest step from which on all children are connected."""
    rows = [row for _, row in own.iterrows()]
    says = [_verdict(row) for row in rows]
    first = len(rows)
    while first > 0 and says[first - 1] == "connected":
        first -= 1
    steps = [number(float(row["rewind"]), 6) for row in rows]
    if first == 0:
        worst = max(rows, key=lambda row: float(row["value"]))
        return (
            f"Children {whose} are linearly connected from step {steps[0]} on, the first tried: "
            f"the highest barrier is {_gap(worst)}."
        )
    if first == len(rows):
        last = rows[-1]
        known = "" if says[-1] == "apart" else " shown to be"
        return (
            f"Children {whose} are at no step up to {steps[-1]}{known} linearly connected: "
            f"there the barrier is {_gap(last)}."
        )
    return (
        f"Children {whose} are linearly connected from step {steps[first]} on, where the barrier"
        f" is {_gap(rows[first])}; at step {steps[first - 1]}: {_gap(rows[first - 1])}."
    )


def _of_loss(own: pd.DataFrame, whose: str, measure: Measure) -> str:
    words = metric_words(measure.metric.removeprefix("probe/barrier/"))
    parts = [
        f"{number(float(r['value']))} at step {number(float(r['rewind']), 6)}"
        for _, r in own.iterrows()
    ]
    return f"Between children {whose} the {words} rises by {', '.join(parts)}."
