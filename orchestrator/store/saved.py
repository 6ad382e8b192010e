"""What early stopping has saved, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.store.standing import Outcome


def saved_sentence(outcomes: Iterable[Outcome], trains: Mapping[str, Mapping[str, Any]]) -> str:
    """How many runs were stopped, and the steps that they did not take; empty where none was.

    A run of s steps that was at the share q of its training when it was stopped would have taken
    s / q. How long a user's own training would have been is not known.

    Args:
        trains: run_id → its ``train`` section as plain data.
    """
    found = list(outcomes)
    stopped = [outcome for outcome in found if outcome.status == "stopped"]
    if not stopped:
        return ""
    taken = sum(outcome.steps for outcome in found)
    saved = 0.0
    for outcome in stopped:
        share = _share(outcome, trains.get(outcome.run_id) or {})
        saved += outcome.steps * (1 / share - 1) if share else 0.0
    ended = sum(outcome.status not in ("pending", "running") for outcome in found)
    runs = f"{len(stopped):,} of {ended:,} runs were stopped early"
    if not saved:
        return f"{runs}."
    whole = taken + saved
    return f"{runs}: {taken:,} steps instead of {whole:,.0f}, {saved / whole:.0%} saved."


def _share(outcome: Outcome, train: Mapping[str, Any]) -> float:
    """How much of its training a run has done; 0 where that is not known."""
    if epochs := train.get("epochs"):
        return outcome.epochs / float(epochs)
    if steps := train.get("steps"):
        return outcome.examples / float(train["batch_size"]) / float(steps)
    return 0.0
