"""Fitted curves in words."""

from __future__ import annotations

import math

from orchestrator.report.large_batch import Bound, Fit
from orchestrator.report.text import count, number

EXCESS = 0.1
"""Perfect scaling takes at most so much more examples than the fewest, as a share."""


def whole(value: float) -> str:
    """A count to three digits: 0.42, 312, 1,230, 1,230,000."""
    if not math.isfinite(value) or abs(value) < 1000:
        return number(value)
    digits = 3 - len(str(int(abs(value))))
    return f"{round(value, digits):,.0f}"


def bound(one: Bound, unit: str = "") -> str:
    """``312 examples (95 % interval 240 to 410)``, ``at most 410``, ``unknown``."""
    units = f" {unit}" if unit else ""
    if one.value == one.value:
        text = f"{whole(one.value)}{units}"
        known = math.isfinite(one.low) and math.isfinite(one.high)
        return f"{text} (95 % interval {whole(one.low)} to {whole(one.high)})" if known else text
    if math.isfinite(one.high):
        return f"at most {whole(one.high)}{units}"
    return f"at least {whole(one.low)}{units}" if one.low > 0 else "unknown"


def fit_sentences(fit: Fit | None) -> str:
    """What a fitted curve says: where scaling is perfect, and where it ends."""
    if fit is None:
        return "Fewer than two batch sizes have reached the target: no curve is fitted."
    measured = f"{count(fit.reached, 'batch size')} from {fit.smallest:,} to {fit.largest:,}"
    if fit.below_range and fit.above_range:
        return f"Where scaling ends cannot be told from {measured}."
    if fit.above_range:
        low = fit.b_crit.low
        more = f" B_crit is at least {whole(low)} examples (95 %)." if low > 0 else ""
        return (
            f"Perfect scaling has no visible end in {measured}: doubling the batch goes on to save"
            f" steps.{more} Neither S_min nor B_crit can be told: larger batches would show them."
        )
    if fit.below_range:
        high = fit.b_crit.high
        more = f" B_crit is at most {whole(high)} examples (95 %)." if math.isfinite(high) else ""
        return (
            f"No scaling is seen in {measured}: larger batches save no steps worth having.{more}"
            " Smaller batches would show where it ends."
        )
    critical = fit.b_crit.value
    told = (
        f"S_min {bound(fit.s_min, 'steps')}, E_min {bound(fit.e_min, 'examples')}, B_crit "
        f"{bound(fit.b_crit, 'examples')}"
    )
    return f"{told}: {_scaling(fit, critical)}"


def _scaling(fit: Fit, critical: float) -> str:
    """Up to where doubling halves the steps, as far as it was measured."""
    leaves = fit.leaves(EXCESS)
    beyond = f"at {whole(critical)} it takes twice the fewest examples and twice the fewest steps"
    if leaves < fit.smallest:
        return (
            "already at the smallest batch tried doubling no longer halves the steps, which it"
            f" would up to about {number(leaves, 2)}; {beyond}."
        )
    return f"up to about {number(leaves, 2)} doubling the batch nearly halves the steps; {beyond}."
