"""Masks of saved pruned networks: which weights they have left, and how much masks agree.

They stand beside the final states of runs (``trainables.saved_run.save_masks``).
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Packed(NamedTuple):
    """The mask of one weight."""

    bits: npt.NDArray[np.uint8]
    """The flattened mask, eight weights a byte (``np.packbits``); 1 is a weight that is left."""
    shape: tuple[int, ...]


Masks = Mapping[str, Packed]
"""By the names of the weights, in the order of the network."""


_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises at a file that is not what it wrote."""


class MasksError(Exception):
    """A file of masks that cannot be read; the message says which and why."""


def load_masks(folder: Path, run_id: str) -> dict[str, Packed]:
    """The masks of a run, ``folder`` being that of the study.

    Raises:
        MasksError: there is no such file, or it is not what was written.
    """
    path = folder / "runs" / f"{run_id}.masks.npz"
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            names = [name for name in file.files if not name.endswith(":shape")]
            found = {
                name: Packed(file[name], tuple(map(int, file[f"{name}:shape"]))) for name in names
            }
    except FileNotFoundError as error:
        raise MasksError(f"{path}: is missing") from error
    except _DAMAGE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise MasksError(f"{path}: damaged ({why})") from error
    for name, packed in found.items():
        size = -(-math.prod(packed.shape) // 8)
        if packed.bits.dtype != np.uint8 or packed.bits.shape != (size,):
            raise MasksError(f"{path}: damaged ({name} is no mask)")
    return found


def load_all(
    folder: Path, run_ids: Iterable[str]
) -> tuple[dict[str, dict[str, Packed]], list[str]]:
    """Masks of those of the runs that have any, and a line on each file that is damaged."""
    found, damaged = {}, []
    for run_id in run_ids:
        if not (folder / "runs" / f"{run_id}.masks.npz").exists():
            continue
        try:
            found[run_id] = load_masks(folder, run_id)
        except MasksError as error:
            damaged.append(str(error))
    return found, damaged


def overlap(masks: Masks, others: Masks) -> float:
    """|A ∩ B| / |A ∪ B| of the weights left in all layers (Jaccard); 1 where none is left in both.

    Raises:
        ValueError: they are of different networks.
    """
    counts = _counts(masks, others)
    return _share(sum(both for both, _ in counts.values()), sum(one for _, one in counts.values()))


def layer_overlaps(masks: Masks, others: Masks) -> dict[str, float]:
    """``overlap`` in each layer, by the names of the weights.

    Raises:
        ValueError: they are of different networks.
    """
    return {name: _share(*counts) for name, counts in _counts(masks, others).items()}


def _counts(masks: Masks, others: Masks) -> dict[str, tuple[int, int]]:
    """Weights left in both, and in either, of each layer. Bits that fill the last byte are 0."""
    shapes = [{name: packed.shape for name, packed in one.items()} for one in (masks, others)]
    if shapes[0] != shapes[1]:
        raise ValueError("masks of different networks have no overlap")
    return {
        name: (_ones(packed.bits & others[name].bits), _ones(packed.bits | others[name].bits))
        for name, packed in masks.items()
    }


def _ones(bits: npt.NDArray[np.uint8]) -> int:
    return int(np.bitwise_count(bits).sum(dtype=np.int64))


def _share(both: int, either: int) -> float:
    return both / either if either else 1.0
