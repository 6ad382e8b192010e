"""Parts of a pack: what is left of one that kept killing its worker, a part after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trainables.stack_state import take

Task = TypeVar("Task")


def tasks_in(whole: Task, config: Mapping[str, Any]) -> list[Task]:
    """The tasks of a trial, in their order: its pack, or the parts that it was split into.

    Args:
        whole: the ``ray_pack.PackTask`` that the trial was made for.
        config: the trial's; ``parts``, where there, is a list of
            ``{"pack_id": …, "runs": [run_id, …], "ancestors": [pack_id, …]}``.
    """
    parts = config.get("parts")
    return [whole] if parts is None else [_part(whole, **part) for part in parts]


def _part(whole: Any, pack_id: str, runs: Sequence[str], ancestors: Sequence[str]) -> Any:
    packs = whole.folder.parent
    configs = dict((*whole.runs, *whole.joined))
    return dataclasses.replace(
        whole,
        pack_id=pack_id,
        runs=tuple((run_id, configs[run_id]) for run_id in runs),
        folder=packs / pack_id,
        ancestors=tuple(packs / name for name in ancestors),
    )


def checkpoint_of(saved: Mapping[str, Any], run_ids: Sequence[str]) -> dict[str, Any]:
    """A pack's checkpoint with only these of its runs, as ``PackSession.state_dict`` gives it.

    Lanes are numbered anew, in the order of ``run_ids``. What it does not know yet is left out.
    """
    known = [run_id for run_id in run_ids if run_id in saved["progress"]]
    progress = {run_id: {**saved["progress"][run_id], "lane": n} for n, run_id in enumerate(known)}
    stacks, waiting = [], []
    for names, state in saved["stacks"]:
        lanes = [lane for lane, name in enumerate(names) if name in progress]
        if lanes:
            # Without the stack: building it may be just what kills.
            stacks.append(([names[lane] for lane in lanes], take(state, lanes)))
    plan = saved["plan"]
    for names, *how in plan["waiting"]:
        if going := [name for name in names if name in progress]:
            waiting.append((going, *how))
    starts = {name: start for name, start in plan["starts"].items() if name in progress}
    left = {**plan, "waiting": waiting, "starts": starts}
    return {**saved, "stacks": stacks, "plan": left, "progress": progress}
