"""Runs that have ended, as files: to go on from, or to load with plain PyTorch."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from trainables import checkpoint
from trainables.configs.base import to_plain
from trainables.engine import Stack
from trainables.progress import Progress
from trainables.session import Start
from trainables.stack_state import StackState

_FORMAT = 1


def path_of(folder: Path, run_id: str) -> Path:
    """Where a run's final state is, ``folder`` being that of all of them."""
    return folder / f"{run_id}.pt"


def save(folder: Path, stack: Stack, ended: Mapping[int, Progress]) -> None:
    """Writes a file for each of these lanes, and beside it one of its masks, where it has any."""
    save_masks(folder, {progress.run_id: lane for lane, progress in ended.items()}, stack.masks)
    for lane, content in zip(ended, _contents(stack, ended), strict=True):
        checkpoint.save(path_of(folder, ended[lane].run_id), content)


def save_masks(folder: Path, lanes: Mapping[str, int], masks: Mapping[str, Tensor]) -> None:
    """Writes ``<run_id>.masks.npz`` of each of these lanes (run_id → lane); none without masks.

    A weight's name → its mask, flattened, eight weights a byte (``np.packbits``), and
    ``<name>:shape``. So that masks can be compared without PyTorch
    (``orchestrator.store.masks``).
    """
    if not masks:
        return
    whole = {name: mask.cpu().numpy() for name, mask in masks.items()}
    for run_id, lane in lanes.items():
        arrays: dict[str, Any] = {name: np.packbits(mask[lane]) for name, mask in whole.items()}
        arrays |= {f"{name}:shape": np.array(mask.shape[1:]) for name, mask in whole.items()}
        write = functools.partial(np.savez, **arrays)
        checkpoint.write_whole(folder / f"{run_id}.masks.npz", write)


def load_start(folder: Path, run_id: str, best: Mapping[str, float], seconds: float) -> Start:
    """Where a longer run begins that goes on from ``run_id``.

    Raises:
        CheckpointError: its file is missing, damaged or of another version.
    """
    return Start(load(folder, run_id)["lane"], best, seconds)


def load(folder: Path, run_id: str) -> dict[str, Any]:
    """What ``save`` wrote of a run.

    Raises:
        CheckpointError: its file is missing, damaged or of another version.
    """
    return _read(path_of(folder, run_id))


def _read(path: Path) -> dict[str, Any]:
    saved = checkpoint.load(path)
    if saved.get("format") != _FORMAT:
        raise checkpoint.CheckpointError("it is of another version")
    return saved


def save_lane(folder: Path, run_id: str, at: int, lane: Mapping[str, Any]) -> None:
    """Writes a run's lane at a step (batches) that pruned networks begin from."""
    content = {"format": _FORMAT, "run_id": run_id, "at": at, "lane": dict(lane)}
    checkpoint.save(_lane_path(folder, run_id, at), content)


def load_lane(folder: Path, run_id: str, at: int | None) -> StackState | None:
    """What ``save_lane`` wrote or, without a step, the lane at the run's end.

    None where the file is missing, damaged or of another version.
    """
    path = path_of(folder, run_id) if at is None else _lane_path(folder, run_id, at)
    try:
        lane: StackState = _read(path)["lane"]
    except checkpoint.CheckpointError:
        return None
    return lane


def _lane_path(folder: Path, run_id: str, at: int) -> Path:
    return folder / f"{run_id}.at-{at}.pt"


def _contents(stack: Stack, ended: Mapping[int, Progress]) -> Iterator[dict[str, Any]]:
    params, buffers = stack.evaluated()
    for lane, progress in ended.items():
        tensors = {name: tensor[lane] for name, tensor in (params | buffers).items()}
        yield {
            "format": _FORMAT,
            "run_id": progress.run_id,
            "config": to_plain(stack.runs[lane]),
            "steps": progress.steps,
            "epochs": progress.epochs,
            "examples": progress.examples,
            "final": dict(progress.final),
            "model": model_state(stack.network.module, tensors),
            "shared": shared_names(stack.network.module),
            "lane": stack.lane_states([lane]),
        }


def model_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What ``module.load_state_dict`` takes, with these values of its parameters and buffers.

    Shared tensors stand under each of their names; buffers that are not kept are left out.
    """
    names = _names_in(module)
    state = module.state_dict()
    return {
        key: tensors[names[key]].clone() if key in names else value for key, value in state.items()
    }


def shared_names(module: nn.Module) -> dict[str, str]:
    """Key of the ``state_dict`` → the tensor's own name, where a tensor stands under several."""
    return {key: name for key, name in _names_in(module).items() if key != name}


def _names_in(module: nn.Module) -> dict[str, str]:
    """Key of the ``state_dict`` → name among the parameters and buffers, of each tensor."""
    named = itertools.chain(
        module.named_parameters(remove_duplicate=True), module.named_buffers(remove_duplicate=True)
    )
    name_of = {id(tensor): name for name, tensor in named}
    state = module.state_dict(keep_vars=True)
    return {key: name_of[id(t)] for key, t in state.items() if isinstance(t, Tensor)}
