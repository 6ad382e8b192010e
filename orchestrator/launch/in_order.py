"""Networks that come from others: what must have ended before they are put into packs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.launch.extend import unfinished_packs
from orchestrator.plan.trees import descendants
from orchestrator.store import Store
from trainables.configs.run import RunConfig

ORPHANED = "what it comes from has failed"


def resumed_packs(
    store: Store, runs: Mapping[str, RunConfig], left: Mapping[str, RunConfig]
) -> dict[str, dict[str, Any]]:
    """Interrupted packs that go on as they are; those that were made on the way need a driver
    that decides, which no launch of planned packs has."""
    found = unfinished_packs(store, runs, left)
    return {name: pack for name, pack in found.items() if not store.decisions(name)}


def waiting(store: Store, runs: Mapping[str, RunConfig], left: Mapping[str, RunConfig]) -> set[str]:
    """Runs that are left and come from runs of interrupted packs, which are to end first.

    Packs hold whole trees; but a study may have gained networks of a tree that is in an
    interrupted pack, and such a pack may have been split. Parts that come from other parts lose
    their checkpoints, and begin again at the level that they were in.
    """
    packs = [
        [name for name in pack["run_ids"] if name in left]
        for pack in resumed_packs(store, runs, left).values()
    ]
    taken = {name for names in packs for name in names}
    held: set[str] = set()
    for names in packs:
        if descendants({name: left[name] for name in names}, taken - {*names}):
            held.update(names)
    first = taken - held
    return held | descendants({n: run for n, run in left.items() if n not in first}, first)


def without_orphans(
    store: Store, runs: Mapping[str, RunConfig], left: Mapping[str, RunConfig]
) -> dict[str, RunConfig]:
    """The runs that are left without those that come from ones that failed in this launch, which
    would be trained again for them, to fail again: they fail, too."""
    statuses = store.statuses()
    failed = {name for name in runs if statuses.get(name) == "failed" and name not in left}
    orphans = descendants(left, failed)
    if orphans:
        store.fail_runs([name for name in left if name in orphans], ORPHANED)
    return {name: run for name, run in left.items() if name not in orphans}
