"""MNIST and its kin: four IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.configs.data import FashionMnist, Kmnist, Mnist
from trainables.data.dataset import DataError, DataSet, divide

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
Bytes = npt.NDArray[np.uint8]


def load_idx(config: Mnist | FashionMnist | Kmnist) -> DataSet:
    """The images (n, 1, 28, 28) of ``config.root``.

    Raises:
        DataError: a file is missing or damaged, or its numbers cannot be.
    """
    name, folder = config.name, Path(config.root).expanduser().resolve()
    _, height, width = config.image
    pairs = {}
    for part, (images, labels) in FILES.items():
        x = _read(name, folder, images, 3)
        if x.shape[1:] != (height, width):
            raise DataError(
                f"{name}: {folder / images}: images of {x.shape[1]}×{x.shape[2]} pixels,"
                f" expected {height}×{width}"
            )
        y = _read(name, folder, labels, 1)
        if len(x) != len(y):
            raise DataError(
                f"{name}: {folder / labels}: {len(y)} labels for the {len(x)} images of {images}"
            )
        pairs[part] = x[:, None], y
    return divide(name, pairs, config, config.classes)


def _read(name: str, folder: Path, file: str, dimensions: int) -> Bytes:
    """An IDX file of unsigned bytes: magic 00 00 08 d, d big-endian sizes, the bytes."""
    path, content = _content(name, folder, file)
    magic = 0x0800 + dimensions
    header = 4 * (1 + dimensions)
    if len(content) < header:
        raise DataError(f"{name}: {path}: {len(content)} bytes are too few for an IDX header")
    found, *shape = struct.unpack(f">{1 + dimensions}I", content[:header])
    if found != magic:
        raise DataError(f"{name}: {path}: magic number {found:#010x}, expected {magic:#010x}")
    if len(content) - header != prod(shape):
        raise DataError(
            f"{name}: {path}: {len(content) - header} bytes of data, its header says"
            f" {' × '.join(map(str, shape))} = {prod(shape)}; the file is damaged, fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(name: str, folder: Path, file: str) -> tuple[Path, bytes]:
    for path in (folder / file, folder / f"{file}.gz"):
        if not path.is_file():
            continue
        try:
            content = path.read_bytes()
            return path, gzip.decompress(content) if path.suffix == ".gz" else content
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{name}: {path}: {error}") from error
    wanted = ", ".join(file for files in FILES.values() for file in files)
    raise DataError(
        f"{name}: {folder / file} is missing; put {wanted} (or these .gz) into {folder}"
    )
