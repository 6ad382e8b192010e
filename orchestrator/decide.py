"""What follows from a report of a pack: which lanes are stopped, and which runs take their places.

The driver of a launch and the simulation ask here, so that what is simulated is what would happen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.early_stopping import Rules
from orchestrator.search import Source
from orchestrator.store import Outcome
from trainables.configs.run import RunConfig


@dataclass(slots=True)
class Lanes:
    """The lanes of one pack."""

    width: int
    """Runs that it began with."""
    key: str
    """Their fusion key."""
    live: set[str]
    """Runs that train."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Takes effect right before the pack's next report."""

    stop: Mapping[str, str] = field(default_factory=dict)
    """run_id → why."""
    join: Mapping[str, RunConfig] = field(default_factory=dict)
    """Runs that begin in the pack, in the order of their lanes."""


def decide(
    rules: Rules,
    source: Source,
    lanes: Lanes,
    rows: Sequence[Mapping[str, Any]],
    ended: Collection[str],
    *,
    done: bool,
) -> Verdict:
    """Asks the rules about each row, and fills lanes that are free; ``lanes.live`` is kept up.

    Args:
        rows: the report's.
        ended: runs of the report that have ended by themselves.
        done: whether the pack has ended.
    """
    stop: dict[str, str] = {}
    for row in rows:
        run_id = row["run_id"]
        reason = rules.observe(row, ended=run_id in ended)
        if reason is not None and run_id not in ended:
            stop[run_id] = reason
    lanes.live.difference_update(ended, stop)
    over = rules.used_up()
    if over is not None:
        stop |= dict.fromkeys(sorted(lanes.live), over)
        lanes.live.clear()
    join = {} if done or over is not None else _refill(source, lanes)
    lanes.live.update(join)
    return Verdict(stop=stop, join=join)


def _refill(source: Source, lanes: Lanes) -> Mapping[str, RunConfig]:
    """Runs for the lanes that are free, once these are at least half of the pack.

    What joins together is a stack of its own, and narrow stacks are slow.
    """
    free = lanes.width - len(lanes.live)
    if 2 * free < lanes.width:
        return {}
    return source.take(free, lanes.key) or {}


def standing(outcomes: Sequence[Outcome], stop: Mapping[str, str]) -> list[Outcome]:
    """How runs stand once the verdict has taken effect."""
    return [
        dataclasses.replace(outcome, status="stopped", reason=stop[outcome.run_id])
        if outcome.run_id in stop
        else outcome
        for outcome in outcomes
    ]
