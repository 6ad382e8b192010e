"""Down to how many weights tickets match the dense network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.report.networks import DENSE
from orchestrator.report.sections.lottery.cell import Cell
from orchestrator.report.sections.lottery.measure import Measure, has_interval
from orchestrator.report.statistics import Difference
from orchestrator.report.text import NONE, listed, percent


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """Where tickets stop matching; levels by how few weights they leave."""

    until: int | None
    """The sparsest level before the first that is worse; None where the first one is."""
    worse: int | None
    """The first level that is worse; None where none is."""
    again: tuple[int, ...]
    """Sparser levels than ``worse`` that are not shown to be worse."""


def find_matching(better: Mapping[int, Difference]) -> Matching | None:
    """Walks from level to level, and stops matching at the first that is shown to be worse.

    A level is shown to be worse where the interval of its difference lies wholly below 0. Levels
    without an interval (fewer than two seeds) are passed over.

    Args:
        better: level → paired difference to the dense network, positive where the ticket is better.

    Returns:
        None where no level has an interval.
    """
    levels = [level for level in sorted(better) if has_interval(better[level])]
    if not levels:
        return None
    bad = [level for level in levels if better[level].high < 0]
    if not bad:
        return Matching(until=levels[-1], worse=None, again=())
    before = [level for level in levels if level < bad[0]]
    again = tuple(level for level in levels if level > bad[0] and level not in bad)
    return Matching(until=before[-1] if before else None, worse=bad[0], again=again)


def _better(cell: Cell, measure: Measure) -> dict[int, Difference]:
    return {level: measure.better(d) for level, d in cell.differences(DENSE).items()}


def matching_sentence(cell: Cell, measure: Measure) -> str:
    """Where tickets stop matching the dense network; empty where no ticket has a dense network."""
    better = _better(cell, measure)
    if not better:
        return ""
    found = find_matching(better)
    if found is None:
        return (
            "Whether tickets match the dense network nobody can say: no level has two seeds that "
            "both have."
        )
    if found.worse is None:
        assert found.until is not None
        at = f"at {percent(cell.shares[found.until])}: {measure.interval(better[found.until])}"
        return f"At no level are tickets shown to be worse than the dense network ({at})."
    share = percent(cell.shares[found.worse])
    gap = f"{measure.amount(better[found.worse])} ({measure.interval(better[found.worse])})"
    if found.until is None:
        first = f"Tickets are worse than the dense network from {share} on, by {gap} there."
    else:
        first = (
            f"Tickets match the dense network down to {percent(cell.shares[found.until])}: at "
            f"{share} they are worse by {gap}."
        )
    if found.again:
        where = listed([percent(cell.shares[level]) for level in found.again])
        first += f" Sparser still, at {where}, they are not shown to be."
    return first


def matching_until(cell: Cell, measure: Measure) -> str:
    """The share of the weights left down to which tickets match, for a table."""
    found = find_matching(_better(cell, measure))
    if found is None:
        return NONE
    if found.until is None:
        return "not at all"
    return percent(cell.shares[found.until])
