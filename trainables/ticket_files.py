"""Pruned networks as files for others: plain PyTorch, and for ``torch.nn.utils.prune``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from trainables import checkpoint, saved_run
from trainables.checkpoint import CheckpointError
from trainables.pruning.masks import masked
from trainables.saved_run import path_of


class Written(NamedTuple):
    """What an export of pruned networks has come to."""

    files: list[Path]
    unsaved: list[str]
    """Runs whose final state was not kept."""
    damaged: list[str]
    """A line on each run whose final state cannot be read, or has no masks."""


def write_tickets(runs: Path, configs: Mapping[str, Mapping[str, Any]], output: Path) -> Written:
    """Writes ``<run_id>.pt`` and ``<run_id>.prune.pt`` of each network.

    ``torch.load(path, weights_only=True)`` takes both. The first has ``run_id`` and ``config``;
    ``model``, the ``state_dict`` of the weights that were evaluated, 0 where masked; ``masks`` by
    the names of the parameters, True where a weight is left; and, where it was kept, ``start``: the
    ``state_dict`` that it trained from. The second is a ``state_dict`` of the model after
    ``torch.nn.utils.prune.custom_from_mask`` on each masked weight.

    Args:
        runs: the folder of final states.
        configs: run_id → configuration as plain data, of the networks that are wanted.
    """
    written, begun = Written([], [], []), _first_steps(runs)
    for run_id, config in configs.items():
        if not path_of(runs, run_id).exists():
            written.unsaved.append(run_id)
            continue
        try:
            ticket = _ticket(runs, run_id, begun.get(run_id))
        except CheckpointError as error:
            written.damaged.append(f"{path_of(runs, run_id)}: {error}")
            continue
        paths = [output / f"{run_id}{ending}" for ending in (".pt", ".prune.pt")]
        checkpoint.save(paths[0], {"run_id": run_id, "config": dict(config), **ticket})
        checkpoint.save(paths[1], as_pruned(ticket["model"], ticket["masks"]))
        written.files.extend(paths)
    return written


def as_pruned(model: Mapping[str, Any], masks: Mapping[str, Tensor]) -> dict[str, Any]:
    """The ``state_dict`` as ``torch.nn.utils.prune`` has it: ``…_orig`` and ``…_mask``."""
    found = {f"{key}_orig" if key in masks else key: value for key, value in model.items()}
    return found | {f"{name}_mask": mask.to(model[name].dtype) for name, mask in masks.items()}


def _ticket(runs: Path, run_id: str, begun: int | None) -> dict[str, Any]:
    saved = saved_run.load(runs, run_id)
    masks = {name: mask[0] for name, mask in saved["lane"].get("masks", {}).items()}
    if not masks:
        raise CheckpointError("it has no masks")
    ticket = {"model": saved["model"], "masks": masks}
    start = None if begun is None else saved_run.load_lane(runs, run_id, begun)
    if start is not None:
        tensors = {name: tensor[0] for name, tensor in (start["params"] | start["buffers"]).items()}
        ticket["start"] = _like(saved, masked(tensors, masks))
    return ticket


def _first_steps(runs: Path) -> dict[str, int]:
    """run_id → the step at which its lane was kept: a pruned network's is what it trained from."""
    found: dict[str, int] = {}
    for path in runs.glob("*.at-*.pt"):
        match = re.fullmatch(r"(.+)\.at-(\d+)\.pt", path.name)
        if match is not None:
            found[match[1]] = int(match[2])
    return found


def _like(saved: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """These tensors under the keys of the saved ``state_dict``, a shared one under each of them."""
    shared = saved.get("shared", {})
    return {key: tensors.get(shared.get(key, key), value) for key, value in saved["model"].items()}
