"""What was decided about lanes, for the workers: one small actor beside the driver."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.launch.leftovers import ancestors_of
from orchestrator.launch.tasks import pack_settings
from orchestrator.spec.stored import stored_run
from orchestrator.store import Store
from trainables.configs.run import RunConfig
from trainables.ray_pack import Orders, PackTask


class Mailbox:
    """Answers workers from the store, which the driver writes: it has nothing of its own to lose.

    A decision is there once the report that caused it is committed, and Tune asks a pack for its
    next step only after that.
    """

    def __init__(self, template: PackTask, folder: Path) -> None:
        """
        Args:
            template: a task with what all packs of the study share.
            folder: the store's.
        """
        self._template = template
        self._store = Store.open(folder)

    def task(self, pack_id: str) -> PackTask:
        """The pack as it was planned, with the runs that have joined it so far."""
        pack = next(pack for pack in self._store.packs() if pack["pack_id"] == pack_id)
        folder = self._store.folder / "packs"
        joined = [run_id for d in self._store.decisions(pack_id) for run_id in d.join]
        return dataclasses.replace(
            self._template,
            pack_id=pack_id,
            runs=self._named(pack["run_ids"]),
            joined=self._named(joined),
            settings=pack_settings(pack["settings"]),
            folder=folder / pack_id,
            ancestors=ancestors_of(pack_id, self._store.parents(), folder),
        )

    def ask(self, pack_id: str, report: int) -> Orders | None:
        """What a pack must do right after a report, in every attempt at it."""
        for decision in self._store.decisions(pack_id):
            if decision.report == report:
                return Orders(stop=dict(decision.stop), join=self._named(list(decision.join)))
        return None

    def _named(self, run_ids: list[str]) -> tuple[tuple[str, RunConfig], ...]:
        plain = self._store.configurations(run_ids)
        return tuple((run_id, stored_run(config)) for run_id, config in plain.items())


def start_mailbox(template: PackTask, folder: Path) -> Any:
    """The mailbox as an actor on this machine, where the store is; it takes no slot of a pack."""
    here = ray.get_runtime_context().get_node_id()
    actor: Any = ray.remote(
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=here, soft=False),
    )(Mailbox)
    return actor.remote(template, folder)
