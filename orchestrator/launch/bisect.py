"""A pack that keeps killing its worker is halved until the run at fault is alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.launch.deaths import Death
from orchestrator.launch.decider import pack_lanes
from orchestrator.launch.in_order import ORPHANED
from orchestrator.launch.leftovers import sweep
from orchestrator.plan.packs import pack_id_of
from orchestrator.plan.trees import descendants
from orchestrator.spec.stored import stored_run
from orchestrator.store import FINISHED, Outcome, Store
from orchestrator.store.faults import GIVEN_UP, Deaths
from trainables.configs.run import RunConfig
from trainables.ray_pack import PackTask

MOST_DEATHS_IN_A_ROW = 3
"""Of a worker, with nothing new reported between them, before the pack is at fault."""
MOST_DEATHS = 100
"""In all, whatever was reported between them."""


def is_at_fault(store: Store, task: PackTask, deaths: Deaths) -> bool:
    """Whether it has died often enough.

    Part of a pack that was split is suspected from the first death: splitting it once more
    costs less than another start. A run that is alone has the full number of tries.
    """
    suspected = bool(task.ancestors) and len(unfinished(store, task)) > 1
    most = 1 if suspected else MOST_DEATHS_IN_A_ROW
    return deaths.in_a_row >= most or deaths.total >= MOST_DEATHS


def unfinished(store: Store, task: PackTask) -> list[str]:
    """The pack's runs that are still to be trained, in the order of its lanes."""
    statuses = store.statuses()
    lanes = pack_lanes(task, store)
    return [r for r in lanes if statuses.get(r, "completed") not in FINISHED]


def give_up(
    store: Store, task: PackTask, deaths: Deaths, death: Death
) -> tuple[list[PackTask], list[Outcome]]:
    """What comes in place of a pack at fault.

    Returns:
        Its halves, already planned in the store; or none, and how its runs have failed.
    """
    left = unfinished(store, task)
    # Members of a population do not train without the others.
    together = any(run.population is not None for _, run in task.runs)
    if len(left) > 1 and not death.raised and not together:
        return _halves(store, task, left), []
    died = "the worker raised" if death.raised else "killed its worker"
    count = f"{deaths.in_a_row} times in a row"
    if deaths.in_a_row < MOST_DEATHS_IN_A_ROW:
        count = f"{deaths.total} times"
    outcomes = store.fail_runs(left, f"{death.error}\n{died} {count}: {death.detail}")
    store.set_pack(task.pack_id, status="failed", settings=task.settings)
    store.note(GIVEN_UP, task.pack_id, f"{len(left)} runs failed: {died} {count}")
    sweep(store, task.folder, task.ancestors)
    return [], outcomes


def _halves(store: Store, task: PackTask, left: Sequence[str]) -> list[PackTask]:
    own = dict(task.runs)
    joined = store.configurations([name for name in left if name not in own])
    configs = own | {name: stored_run(config) for name, config in joined.items()}
    half = (len(left) + 1) // 2
    return _split(store, task, [left[:half], left[half:]], configs)


def _split(
    store: Store,
    task: PackTask,
    lists: Sequence[Sequence[str]],
    configs: Mapping[str, RunConfig],
) -> list[PackTask]:
    """Plans packs of these runs in the place of one."""
    parts = [(pack_id_of(names), names) for names in lists]
    store.split_pack(task.pack_id, parts, task.settings)
    return [
        dataclasses.replace(
            task,
            pack_id=name,
            runs=tuple((run_id, configs[run_id]) for run_id in names),
            folder=task.folder.parent / name,
            ancestors=(task.folder, *task.ancestors),
        )
        for name, names in parts
    ]


def without_orphans(
    store: Store, parts: Sequence[PackTask], failed: Collection[str]
) -> tuple[list[PackTask], list[Outcome]]:
    """Parts that are still to come without the networks that come from failed runs.

    These would be trained again for them, and kill their workers again.

    Returns:
        The parts that are left, planned in the store; and how the others have failed.
    """
    left: list[PackTask] = []
    outcomes: list[Outcome] = []
    for task in parts:
        runs = dict(task.runs)
        orphans = descendants(runs, failed) if failed else set()
        if not orphans:
            left.append(task)
            continue
        outcomes += store.fail_runs([name for name in runs if name in orphans], ORPHANED)
        if rest := unfinished(store, task):
            left += _split(store, task, [rest], runs)
        else:
            store.set_pack(task.pack_id, status="failed", settings=task.settings)
            sweep(store, task.folder, task.ancestors)
    return left, outcomes


def as_parts(tasks: Sequence[PackTask]) -> list[dict[str, Any]]:
    """Parts of a pack as its trial's configuration has them: see ``parts.tasks_in``."""
    return [
        {
            "pack_id": task.pack_id,
            "runs": [run_id for run_id, _ in task.runs],
            "ancestors": [folder.name for folder in task.ancestors],
        }
        for task in tasks
    ]
