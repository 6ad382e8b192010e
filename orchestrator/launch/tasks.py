"""What is left of a study as trials: packs, and what each takes of the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.launch.check import LaunchError
from orchestrator.plan import make_packs
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.configs.run import RunConfig
from trainables.ray_pack import PackTask


def make_tasks(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    slots: int,
    device: str,
) -> list[PackTask]:
    """Packs that were interrupted, as they were, and new ones for the other runs."""
    threads = max(1, int(study.resources.cpus))
    fresh_settings = {
        "strategy": study.execution.strategy,
        "compile": study.execution.compile,
        "ways": None,
        "threads": threads,
        "device": device,
    }
    resumed = {
        pack["pack_id"]: pack
        for pack in store.packs()
        if pack["status"] in ("pending", "running")
        and any(run_id in left for run_id in pack["run_ids"])
        and all(run_id in runs for run_id in pack["run_ids"])
    }
    taken = {run_id for pack in resumed.values() for run_id in pack["run_ids"]}
    rest = {name: run for name, run in left.items() if name not in taken}
    packs = [
        (
            pack_id,
            pack["run_ids"],
            {k: pack["settings"].get(k, fresh) for k, fresh in fresh_settings.items()},
        )
        for pack_id, pack in resumed.items()
    ]
    if rest:
        packs += [
            (pack.pack_id, pack.run_ids, fresh_settings)
            for pack in make_packs(rest, slots=slots, most_lanes=study.execution.lanes)
        ]
    store.plan_packs(packs)
    return [
        PackTask(
            pack_id=pack_id,
            runs=tuple((run_id, runs[run_id]) for run_id in run_ids),
            settings=settings,
            folder=store.folder / "packs" / pack_id,
            checkpoint_every=study.execution.checkpoint_every,
            import_from=str(study.path.resolve().parent),
        )
        for pack_id, run_ids, settings in packs
    ]


def asked_resources(study: Study, resources: Mapping[str, float]) -> dict[str, float]:
    """What one pack takes of the cluster: a GPU, unless the study says, where there is one."""
    gpus = study.resources.gpus
    if gpus is None:
        gpus = 1.0 if resources.get("GPU") else 0.0
    return {"CPU": study.resources.cpus, "GPU": gpus}


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
