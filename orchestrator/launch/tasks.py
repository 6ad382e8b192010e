"""What is left of a study as trials: packs, and what each takes of the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.launch.check import LaunchError
from orchestrator.launch.extend import (
    NOTHING,
    Extension,
    continues,
    runs_folder,
)
from orchestrator.launch.in_order import resumed_packs
from orchestrator.launch.leftovers import ancestors_of
from orchestrator.plan import cpus_a_pack, make_packs
from orchestrator.spec.study import Minutes, Study
from orchestrator.store import Store
from trainables.configs.run import RunConfig
from trainables.ray_pack import PackTask

_KEPT = ("strategy", "compile", "ways", "threads", "device", "continues")
"""What of a pack's settings decides its bits, and stays when it is resumed."""


def make_tasks(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    slots: int,
    asked: Mapping[str, float],
    nodes: Sequence[float],
    extension: Extension = NOTHING,
) -> list[PackTask]:
    """Packs that were interrupted, as they were, and new ones for the other runs.

    Args:
        asked: what a pack takes of the cluster at least.
        nodes: CPUs of each of its machines.
        extension: which of the other runs go on from shorter ones.
    """
    resumed = resumed_packs(store, runs, left)
    taken = {run_id for pack in resumed.values() for run_id in pack["run_ids"]}
    rest = {name: run for name, run in left.items() if name not in taken}
    packs = [
        (pack_id, pack["run_ids"], pack_settings(pack["settings"]))
        for pack_id, pack in resumed.items()
    ]
    lanes, starts = study.execution.lanes, extension.starts
    fresh = make_packs(rest, slots=slots, most_lanes=lanes, starts=starts) if rest else []
    at_once = min(slots, len(packs) + len(fresh))
    settings = fresh_settings(study, offered(study, asked, nodes, at_once))
    packs += [
        (
            pack.pack_id,
            pack.run_ids,
            settings | {"continues": continues(extension, pack.run_ids, store)},
        )
        for pack in fresh
    ]
    store.plan_packs(packs)
    store.inherit(
        (run_id, origin["run"], origin["inherited"])
        for _, _, settings in packs
        for run_id, origin in settings.get("continues", {}).items()
    )

    def resources(threads: int) -> dict[str, float]:
        """A pack that was interrupted keeps its threads, even where a machine has fewer CPUs."""
        free = _are_cpus_free(study, asked)
        return {**asked, "CPU": min(threads, max(nodes))} if free else dict(asked)

    return [
        make_task(
            study,
            store,
            pack_id,
            {name: runs[name] for name in run_ids},
            settings,
            resources(settings["threads"]),
            at_once,
        )
        for pack_id, run_ids, settings in packs
    ]


def offered(
    study: Study, asked: Mapping[str, float], nodes: Sequence[float], packs: int
) -> dict[str, float]:
    """What each of so many packs is given: all CPUs are shared out where the study leaves it
    open and packs train on them."""
    if not _are_cpus_free(study, asked):
        return dict(asked)
    return {**asked, "CPU": float(cpus_a_pack(nodes, packs))}


def _are_cpus_free(study: Study, asked: Mapping[str, float]) -> bool:
    return study.resources.cpus is None and not asked["GPU"]


def fresh_settings(study: Study, asked: Mapping[str, float]) -> dict[str, Any]:
    """What decides the bits of a pack that has not begun."""
    return {
        "strategy": study.execution.strategy,
        "compile": study.execution.compile,
        "ways": None,
        "threads": max(1, int(asked["CPU"])),
        "device": "cuda" if asked["GPU"] else "cpu",
    }


def pack_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a pack that has, as its last report left it."""
    return {key: stored[key] for key in _KEPT if key in stored}


def make_task(
    study: Study,
    store: Store,
    pack_id: str,
    runs: Mapping[str, RunConfig],
    settings: Mapping[str, Any],
    asked: Mapping[str, float],
    at_once: int,
) -> PackTask:
    """The task of a pack with these runs, in the order of its lanes.

    Args:
        asked: what it takes of the cluster.
        at_once: packs that train at the same time.
    """
    every = study.execution.checkpoint_every
    by_clock: dict[str, Any] = (
        {"checkpoint_seconds": 60 * every.minutes} if isinstance(every, Minutes) else {}
    )
    folder = store.folder / "packs"
    return PackTask(
        pack_id=pack_id,
        runs=tuple(runs.items()),
        settings=settings,
        folder=folder / pack_id,
        ancestors=ancestors_of(pack_id, store.parents(), folder),
        runs_folder=runs_folder(store.folder),
        checkpoint_every=None if isinstance(every, Minutes) else every,
        **by_clock,
        keep=study.execution.keep,
        save=study.lottery or study.execution.save != "none",
        import_from=str(study.path.resolve().parent),
        asked=asked,
        at_once=at_once,
    )


def asked_resources(study: Study, resources: Mapping[str, float]) -> dict[str, float]:
    """What one pack takes of the cluster: a GPU, unless the study says, where there is one, and
    a CPU, which may become more where there are fewer packs than CPUs."""
    gpus = study.resources.gpus
    if gpus is None:
        gpus = 1.0 if resources.get("GPU") else 0.0
    return {"CPU": study.resources.cpus or 1.0, "GPU": gpus}


def count_slots(study: Study, asked: Mapping[str, float], resources: Mapping[str, float]) -> int:
    """How many packs train at the same time.

    Raises:
        LaunchError: a pack asks for more than there is.
    """
    slots = []
    for kind, amount in asked.items():
        present = resources.get(kind, 0.0)
        if amount > present:
            raise LaunchError(
                f"resources.{kind.lower()}s: a pack asks for {amount:g}, there are {present:g}"
            )
        if amount:
            slots.append(int(present / amount))
    return min([*slots, study.resources.max_concurrent or slots[0]])
