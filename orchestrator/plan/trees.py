"""Networks that come from each other: which train together, from which step, how many at a time.

A tree is a dense network and all that comes from it. It trains in one pack, level after level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import get_args

from trainables.configs.base import steps_in
from trainables.configs.function_run import Run
from trainables.configs.lottery import Control, dense, pruned_from, sibling
from trainables.configs.run import RunConfig, length, run_id

ANEW = ("reinitialized", "signs")
"""Controls that train other first weights, and so from the first step."""


def tree_of(name: str, run: RunConfig) -> str:
    """The run_id of the dense network that a run comes from, or is: ``name`` is its own."""
    return name if run.lottery is None else run_id(dense(run))


def trees_of(runs: Mapping[str, RunConfig]) -> dict[str, list[str]]:
    """Dense network → those of the runs that are in its tree, in their order."""
    found: dict[str, list[str]] = {}
    for name, run in runs.items():
        found.setdefault(tree_of(name, run), []).append(name)
    return found


def parents(run: RunConfig) -> dict[str, RunConfig]:
    """run_id → the networks that must have ended before this one can."""
    found = [pruned_from(run), sibling(run), dense(run) if run.lottery is not None else None]
    return {run_id(parent): parent for parent in found if parent is not None}


def lanes_at_once(runs: Iterable[Run]) -> int:
    """The most lanes that runs of one pack train in: those of one level, or of all levels that
    are pruned at once."""
    return max(Counter(_wave(run) for run in runs).values(), default=0)


def _wave(run: Run) -> int:
    node = run.lottery if isinstance(run, RunConfig) else None
    if node is None or node.level == 0:
        return 0
    return 1 if node.prunes_at_once else node.level


def first_batch(run: RunConfig, steps_per_epoch: int) -> int:
    """Batches that were seen where a network's own training begins: those of its rewind point.

    By ``learning_rate`` and ``fine_tune`` it trains as long as it would by ``rewind``.
    """
    node = run.lottery
    if node is None or node.control in ANEW:
        return 0
    total = length(run.train, steps_per_epoch)
    at = steps_in(node.rewind_to, total_steps=total, steps_per_epoch=steps_per_epoch)
    return min(at, total - 1)


def descendants(runs: Mapping[str, RunConfig], of: Iterable[str]) -> set[str]:
    """Those of the runs that come from these, at whatever distance."""
    above: dict[str, bool] = dict.fromkeys(of, True)

    def comes(name: str, run: RunConfig) -> bool:
        if name not in above:
            above[name] = any(comes(*parent) for parent in parents(run).items())
        return above[name]

    wanted = set(above)
    return {name for name, run in runs.items() if name not in wanted and comes(name, run)}


def kinds(runs: Iterable[RunConfig]) -> dict[str, int]:
    """How many networks of each kind there are: dense, tickets, each control, children."""
    found = Counter(_kind(run) for run in runs)
    order = ("dense", "tickets", *get_args(Control), "children")
    return {kind: found[kind] for kind in order if found[kind]}


def _kind(run: RunConfig) -> str:
    node = run.lottery
    if node is None:
        return "dense"
    return "children" if node.child else node.control or "tickets"
