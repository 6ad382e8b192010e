"""Tiny files in the standard formats."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np

PARTS = {"train": 11, "t10k": 7}
"""Examples of each part."""


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, *, zipped: bool = False) -> dict[str, np.ndarray]:
    """Random images and labels; what was written, by the files' names."""
    rng = np.random.default_rng(0)
    written = {}
    for part, n in PARTS.items():
        written[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28))
        written[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, n)
    folder.mkdir(exist_ok=True)
    for name, array in written.items():
        content = idx(array)
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return written


def write_cifar(root: Path, version: str, *, packed: bool) -> dict[str, np.ndarray]:
    """One of ``10-python 10-binary 100-python 100-binary``; pixels and labels by part."""
    classes, form = version.split("-")
    rng = np.random.default_rng(1)
    batches = 5 if classes == "10" else 1
    written: dict[str, np.ndarray] = {}
    files = {}
    for part, count in (("train", batches), ("test", 1)):
        pixels = rng.integers(0, 256, (count, 3, 3072)).astype(np.uint8)
        labels = rng.integers(0, int(classes), (count, 3))
        written |= {f"{part}_x": pixels.reshape(-1, 3, 32, 32), f"{part}_y": labels.ravel()}
        for index in range(count):
            name = part if classes == "100" else "test_batch"
            if classes == "10" and part == "train":
                name = f"data_batch_{index + 1}"
            if form == "binary":
                name += ".bin"
            files[name] = _batch(pixels[index], labels[index], classes, form)
    folder = f"cifar-{classes}-{form}"
    if classes == "10":
        folder = "cifar-10-batches-py" if form == "python" else "cifar-10-batches-bin"
    if packed:
        with tarfile.open(root / f"cifar-{classes}-{form}.tar.gz", "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        (root / folder).mkdir()
        for name, content in files.items():
            (root / folder / name).write_bytes(content)
    return written


def _batch(pixels: np.ndarray, labels: np.ndarray, classes: str, form: str) -> bytes:
    if form == "binary":
        coarse = [np.full((len(labels), 1), 9)] if classes == "100" else []
        rows = np.concatenate([*coarse, labels[:, None], pixels], axis=1)
        return rows.astype(np.uint8).tobytes()
    key = b"labels" if classes == "10" else b"fine_labels"
    return pickle.dumps({b"data": pixels, key: labels.tolist(), b"batch_label": b"x"}, protocol=2)
