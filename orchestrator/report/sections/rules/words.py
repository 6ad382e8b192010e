"""Comparisons with the best, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.report.comparisons import Comparison
from orchestrator.report.sections.rules.trials import Entry
from orchestrator.report.statistics import Difference
from orchestrator.report.text import NONE, count, decimals_for, fixed, listed, signed

MOST_NAMED = 4


def decimals_of(difference: Difference) -> int:
    """Decimals that show half the interval to two digits."""
    half = (difference.high - difference.low) / 2
    known = half if half > 0 else abs(difference.mean) / 10
    return decimals_for([known])


def difference_text(comparison: Comparison | None) -> str:
    """``+0.0121 [0.0082, 0.0160]``; a dash for the best itself."""
    if comparison is None or not comparison.difference.pairs:
        return NONE
    d = comparison.difference
    decimals = decimals_of(d)
    mean = signed(round(d.mean, decimals) + 0.0, decimals)
    if math.isnan(d.low):
        return mean
    return f"{mean} [{fixed(d.low, decimals)}, {fixed(d.high, decimals)}]"


def by(difference: Difference) -> str:
    """``0.012 (95 % interval +0.008 to +0.016, paired, 5 seeds)``: how much, without its sign.

    The interval is turned with it, so that it holds the amount.
    """
    decimals = decimals_of(difference)
    amount = f"{abs(difference.mean):.{decimals}f}"
    if math.isnan(difference.low):
        return f"{amount} (one shared seed)"
    low, high = difference.low, difference.high
    if difference.mean < 0:
        low, high = -high, -low
    ends = f"{signed(low, decimals)} to {signed(high, decimals)}"
    return f"{amount} (95 % interval {ends}, paired, {count(difference.pairs, 'seed')})"


def verdict(comparison: Comparison) -> str:
    """What is to be added to a difference that is not told apart; empty where it is."""
    if math.isnan(comparison.p):
        return ", and nobody can say whether by chance"
    if comparison.told_apart:
        return ""
    return (
        ", told apart by itself but not among so many" if comparison.alone else (", not told apart")
    )


def told(comparison: Comparison | None) -> str:
    """Whether it is told from the best."""
    if comparison is None or math.isnan(comparison.p):
        return NONE
    return "yes" if comparison.told_apart else "alone" if comparison.alone else "no"


def separable(entries: Sequence[Entry]) -> str:
    """How many can be told from the first, and which cannot."""
    others = [(e, e.comparison) for e in entries if e.comparison is not None]
    if not others:
        return "No other can be compared with it."
    known = [(e, c) for e, c in others if not math.isnan(c.p)]
    if not known:
        return "With one shared seed nobody can say which of the others is worse by chance."
    apart = [e.rule for e, c in known if c.told_apart]
    near = [(e, c) for e, c in known if not c.told_apart]
    correction = f", corrected for {count(len(known), 'comparison')}" if len(known) > 1 else ""
    head = (
        f"{len(apart) or 'None'} of the {count(len(known), 'other')} can be told from it (paired "
        f"by seed{correction})"
    )
    if len(known) == 1:
        head = f"{known[0][0].rule} {'can' if apart else 'cannot'} be told from it"
    next_, comparison = known[0]
    margin = f"; the next, {next_.rule}, is behind by {by(comparison.difference)}"
    ties = (
        f". Not separable from it: {listed([e.rule for e, _ in near], MOST_NAMED)}"
        if (near and len(known) > 1)
        else ""
    )
    return f"{head}{margin}{ties}."
