"""CIFAR-10 and CIFAR-100: the python and the binary version, unpacked or as .tar.gz."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from trainables.configs.data import Cifar10, Cifar100
from trainables.data.dataset import DataError, DataSet, divide

Bytes = npt.NDArray[np.uint8]
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True)
class Version:
    """One of the forms in which a data set is distributed."""

    archive: str
    folder: str
    train: Sequence[str]
    test: str
    labels: str | int
    """Key of the labels in the python version; bytes before the pixels in the binary one."""


VERSIONS = {
    "cifar10": (
        Version(
            "cifar-10-python.tar.gz",
            "cifar-10-batches-py",
            [f"data_batch_{i}" for i in range(1, 6)],
            "test_batch",
            "labels",
        ),
        Version(
            "cifar-10-binary.tar.gz",
            "cifar-10-batches-bin",
            [f"data_batch_{i}.bin" for i in range(1, 6)],
            "test_batch.bin",
            1,
        ),
    ),
    "cifar100": (
        Version("cifar-100-python.tar.gz", "cifar-100-python", ["train"], "test", "fine_labels"),
        Version("cifar-100-binary.tar.gz", "cifar-100-binary", ["train.bin"], "test.bin", 2),
    ),
}


def load_cifar(config: Cifar10 | Cifar100) -> DataSet:
    """The images (n, 3, 32, 32) of ``config.root``.

    Raises:
        DataError: a file is missing or damaged, or its numbers cannot be.
    """
    name, root = config.name, Path(config.root).expanduser().resolve()
    version, read = _find(name, root)

    def pair(files: Sequence[str]) -> tuple[Bytes, npt.NDArray[np.int64]]:
        batches = [_batch(f"{name}: {root}: {file}", read(file), version.labels) for file in files]
        x = np.concatenate([x for x, _ in batches])
        return x.reshape(-1, *config.image), np.concatenate([y for _, y in batches])

    try:
        pairs = {"train": pair(version.train), "test": pair([version.test])}
    except (OSError, EOFError, KeyError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{name}: {root}: {' '.join(map(str, error.args))}") from error
    return divide(name, pairs, config, config.classes)


def _find(name: str, root: Path) -> tuple[Version, Callable[[str], bytes]]:
    """The version that lies in ``root``, and a reader of its files."""
    for version in VERSIONS[name]:
        for folder in (root, root / version.folder):
            if (folder / version.test).is_file():
                return version, lambda file, folder=folder: (folder / file).read_bytes()
        if (root / version.archive).is_file():
            return version, _archive(root / version.archive, version.folder)
    wanted = " or ".join(f"{v.folder}/ or {v.archive}" for v in VERSIONS[name])
    raise DataError(f"{name}: {root} holds no such data; put {wanted} there")


def _archive(path: Path, folder: str) -> Callable[[str], bytes]:
    def read(file: str) -> bytes:
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"{folder}/{file}")
            if member is None:
                raise EOFError(f"{file} in {path.name} is no file")
            return member.read()

    return read


def _batch(title: str, content: bytes, labels: str | int) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Pixels (n, 3072) and labels (n,) of one file."""
    x, y = (
        _binary(title, content, labels)
        if isinstance(labels, int)
        else _python(title, content, labels)
    )
    if x.dtype != np.uint8 or not y.ndim or x.shape != (len(y), _PIXELS):
        raise DataError(
            f"{title}: pixels are {x.dtype} {x.shape}, expected uint8 ({y.size}, {_PIXELS})"
        )
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{title}: labels are {y.dtype} {y.shape}, expected whole numbers (n,)")
    return x, y.astype(np.int64)


def _binary(title: str, content: bytes, label_bytes: int) -> tuple[Any, Any]:
    row = label_bytes + _PIXELS
    if not content or len(content) % row:
        raise DataError(
            f"{title}: {len(content)} bytes are not a multiple of {row}; fetch it again"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, row)
    return rows[:, label_bytes:], rows[:, label_bytes - 1]


def _python(title: str, content: bytes, key: str) -> tuple[Any, Any]:
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        return np.asarray(batch[b"data"]), np.asarray(batch[key.encode()])
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{title}: {type(error).__name__}: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Reads dicts, lists, numbers, text and NumPy arrays, and runs nothing else."""

    _ALLOWED: ClassVar[dict[str, Any]] = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name.split(".")[0] == "numpy" and global_name in self._ALLOWED:
            return self._ALLOWED[global_name]
        if (module_name, global_name) == ("_codecs", "encode"):  # bytes, in old protocols
            return _encode
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed in data")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)
