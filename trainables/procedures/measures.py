"""What is measured of pruned networks and of children beside an evaluation's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from trainables.engine import Stack
from trainables.probes.line import barriers, line, line_rows
from trainables.probes.sparsity import density_rows, sparsity, supermask
from trainables.procedures.tickets import joined
from trainables.stack_state import StackState


class Measures(NamedTuple):
    """Of several runs."""

    values: dict[str, dict[str, float]]
    """run_id → what becomes part of its last values."""
    rows: list[dict[str, Any]]
    """Of ``Report.probes``."""


def before_training(run_ids: Sequence[str], stack: Stack) -> Measures:
    """Densities, and what the masks alone make of the networks; nothing of dense ones."""
    if not stack.masks:
        return Measures({}, [])
    found = zip(run_ids, sparsity(stack), supermask(stack), strict=True)
    values = {run_id: shares | metrics for run_id, shares, metrics in found}
    return Measures(values, density_rows(stack, run_ids))


def after_training(
    run_ids: Sequence[str], stack: Stack, siblings: Sequence[Mapping[str, Any]]
) -> Measures:
    """Error barriers between children that have ended and the networks whose order they leave.

    Args:
        siblings: the last states of these, a lane each.
    """
    # A dense network has no masks, the tickets beside it have: here they are of no use.
    ends: list[StackState] = [{**state, "masks": {}} for state in siblings]
    others = joined(ends)
    assert others is not None
    found = line(stack, stack.put(stack.runs, others).evaluated())
    values = dict(zip(run_ids, barriers(found), strict=True))
    return Measures(values, line_rows(found, run_ids))
