"""Parts of a pack: what is left of one that kept killing its worker, a part after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch

from trainables.lanes import select

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
    configs = dict(whole.runs)
    return dataclasses.replace(
        whole,
        pack_id=pack_id,
        runs=tuple((run_id, configs[run_id]) for run_id in runs),
        folder=packs / pack_id,
        ancestors=tuple(packs / name for name in ancestors),
    )


def checkpoint_of(saved: Mapping[str, Any], run_ids: Sequence[str]) -> dict[str, Any]:
    """A pack's checkpoint with only these of its runs, as ``PackSession.state_dict`` gives it.

    Lanes are numbered anew, in the order of ``run_ids``.
    """
    progress = {
        run_id: {**saved["progress"][run_id], "lane": lane} for lane, run_id in enumerate(run_ids)
    }
    stacks = []
    for names, state in saved["stacks"]:
        lanes = [lane for lane, name in enumerate(names) if name in progress]
        if lanes:
            stacks.append(([names[lane] for lane in lanes], _stack_of(state, lanes)))
    return {**saved, "stacks": stacks, "progress": progress}


def _stack_of(state: Mapping[str, Any], lanes: Sequence[int]) -> dict[str, Any]:
    """What ``Stack.keep(lanes).state_dict()`` would give, without the stack: building it may
    be just what kills."""
    index = torch.tensor(lanes)
    trees = {name: select(state[name], index) for name in ("params", "buffers", "scale", "average")}
    return {
        **state,
        **trees,
        "state": {name: select(tree, index) for name, tree in state["state"].items()},
        "losses": [losses.index_select(0, index) for losses in state["losses"]],
        "scores": [scores.index_select(0, index) for scores in state["scores"]],
        "grad_norm": state["grad_norm"].index_select(0, index),
        "plateaus": [state["plateaus"][lane] for lane in lanes],
    }
