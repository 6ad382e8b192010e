"""Checkpoints: tensors and plain data, written whole or not at all, and verified when read.

A file is what ``torch.save`` writes, with its SHA-256 as the comment of that zip archive, so that
plain ``torch.load(path, weights_only=True)`` reads it, too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

_TAG = b"sha256:"
_COMMENT = len(_TAG) + 64
_BLOCK = 1 << 20
_NEWEST = "newest"
_LENGTH = _COMMENT.to_bytes(2, "little")


class CheckpointError(Exception):
    """A file that is not what was written. The message says why."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint."""

    def write(file: BinaryIO) -> None:
        torch.save(content, file)
        size = file.seek(0, os.SEEK_END)
        digest = _digest(file, size - 2)
        # A zip archive ends with the length of its comment, and the comment.
        file.seek(size - 2)
        file.write(_LENGTH + _TAG + digest.encode())

    write_whole(path, write)


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes beside ``path``, flushes to disk, then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _flush_folder(path.parent)


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote, on the CPU; no pickled code is ever run.

    Raises:
        CheckpointError: the file is missing, or not whole.
    """
    try:
        with path.open("rb") as file:
            _verify(file)
            file.seek(0)
            content: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(error.strerror or str(error)) from error
    except Exception as error:  # whole, but from elsewhere: in any of a reader's ways
        raise CheckpointError(str(error).splitlines()[0]) from error
    return content


def is_damaged(error: Exception) -> bool:
    """Whether what ``load`` raised will be so at every other try: not where storage is away."""
    return isinstance(error, CheckpointError) and not isinstance(error.__cause__, OSError)


def _verify(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    end = size - _COMMENT - 2
    if end <= 0:
        raise CheckpointError(f"it has only {size} bytes")
    file.seek(end)
    tail = file.read()
    if not tail.startswith(_LENGTH + _TAG):
        raise CheckpointError("its end is missing")
    if tail[2 + len(_TAG) :] != _digest(file, end).encode():
        raise CheckpointError("its checksum is another")


def _digest(file: BinaryIO, size: int) -> str:
    """SHA-256 of the first ``size`` bytes."""
    found = hashlib.sha256()
    file.seek(0)
    while size > 0:
        block = file.read(min(_BLOCK, size))
        if not block:
            break
        found.update(block)
        size -= len(block)
    return found.hexdigest()


def save_next(folder: Path, content: dict[str, Any], *, keep: int) -> None:
    """A checkpoint newer than those in ``folder``, of which the newest ``keep`` in all stay."""
    number = max((number_of(path) or 0 for path in numbered(folder)), default=0) + 1
    path = folder / f"state-{number:09d}.pt"
    save(path, content)
    newest = folder / _NEWEST
    part = newest.with_suffix(".part")
    part.write_text(path.name)
    part.replace(newest)
    for old in numbered(folder)[keep:]:
        old.unlink(missing_ok=True)


def numbered(folder: Path) -> list[Path]:
    """The checkpoints that there should be, the newest first.

    The newest that was written is named even where its file is gone: ``load`` then says so.
    """
    found = {path for path in folder.glob("state-*.pt") if number_of(path) is not None}
    try:
        newest = folder / (folder / _NEWEST).read_text()
    except (OSError, ValueError):
        newest = folder
    if number_of(newest) is not None:
        found.add(newest)
    return sorted(found, reverse=True)


def number_of(path: Path) -> int | None:
    """The number in a checkpoint's name; None where it is no such name."""
    match = re.fullmatch(r"state-(\d{9})\.pt", path.name)
    return int(match[1]) if match else None


def _flush_folder(folder: Path) -> None:
    """Makes a rename last through a loss of power, where the system has that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
