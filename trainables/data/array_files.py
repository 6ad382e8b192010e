"""NumPy arrays from an .npz file, or from a folder of .npy files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from trainables.configs.data import ArrayFiles
from trainables.data.dataset import DataError, DataSet, divide

_DAMAGES = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises where a file is damaged, encrypted, or claims to be larger than memory."""
_SUFFIXES = {"train": "", "valid": "_valid", "test": "_test"}


def load_arrays(config: ArrayFiles) -> DataSet:
    """x and y of ``config.path``, and its own validation and test pairs where it has them.

    Raises:
        DataError: the file is missing, damaged, or holds Python objects.
    """
    path = Path(config.path).expanduser().resolve()
    name = f"arrays: {path}"
    found = _read(name, path)
    pairs = {}
    for part, suffix in _SUFFIXES.items():
        x, y = f"x{suffix}", f"y{suffix}"
        if (x in found) != (y in found):
            raise DataError(f"{name}: has {x if x in found else y} without its pair; add it")
        if x in found:
            pairs[part] = found[x], found[y]
    if "train" not in pairs:
        raise DataError(
            f"{name}: expected an .npz file with x and y, or a folder with x.npy and y.npy"
        )
    return divide(name, pairs, config)


def _read(name: str, path: Path) -> dict[str, Any]:
    wanted = [f"{letter}{suffix}" for suffix in _SUFFIXES.values() for letter in "xy"]
    try:
        if path.is_dir():
            files = {key: path / f"{key}.npy" for key in wanted}
            return {k: np.load(f, allow_pickle=False) for k, f in files.items() if f.is_file()}
        if not path.is_file():
            raise DataError(f"{name} is missing; put an .npz file with x and y there")
        if not zipfile.is_zipfile(path):
            raise DataError(f"{name} is no .npz file, or its end is missing; write it again")
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in wanted if key in archive}
    except _DAMAGES as error:
        raise DataError(f"{name}: {' '.join(str(error).split())}") from error
