"""Parts of a pack: what is left of one that kept killing its worker, a part after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from typing import Any, TypeVar

from trainables.stack_state import take
from trainables.stack_width import Way

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
    stacks = []
    for names, state in saved["stacks"]:
        lanes = [lane for lane, name in enumerate(names) if name in progress]
        if lanes:
            # Without the stack: building it may be just what kills.
            part = {**take(state, lanes), "compiled": False}
            stacks.append(([names[lane] for lane in lanes], part))
    waiting = [name for name in saved["ladder"]["waiting"] if name in progress]
    return {
        **saved,
        "stacks": stacks,
        "progress": progress,
        "plan": _plan_of(saved["plan"], progress),
        # Whatever else they wait for is trained again, unless the archive has it.
        "ladder": {**saved["ladder"], "waiting": waiting, "silent": []},
    }


def uncompiled(ways: Sequence[Way] | None) -> dict[str, Any]:
    """Settings of a part that has no checkpoint: see ``_plan_of``."""
    left = None if ways is None else tuple(way._replace(compiled=False) for way in ways)
    return {"compile": "off", "ways": left}


def _plan_of(plan: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """How these runs are stacked: as before, but nothing is compiled, which may be what kills."""

    def left(names: Sequence[str]) -> list[str]:
        return [name for name in names if name in known]

    return {
        "groups": [(left(names), *how) for names, *how in plan["groups"]],
        "choices": [{**choice, "compiled": False} for choice in plan["choices"]],
        "waiting": [(left(names), *how) for names, *how in plan["waiting"] if left(names)],
        "starts": {name: start for name, start in plan["starts"].items() if name in known},
    }
