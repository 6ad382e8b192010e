"""Checkpoints of a pack: tensors and plain data, written whole or not at all."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch

_log = logging.getLogger(__name__)


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes beside ``path``, flushes to disk, then renames; the checkpoint before stays
    as ``path`` + ``.previous``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(path.suffix + ".part")
    with fresh.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(_previous(path))
    fresh.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None; no pickled code is ever run."""
    for candidate in (path, _previous(path)):
        if candidate.exists():
            try:
                content: dict[str, Any] = torch.load(
                    candidate, weights_only=True, map_location="cpu"
                )
            except Exception as error:  # truncated or damaged, in any of a zip reader's ways
                _log.warning("%s cannot be read (%s): trying the one before", candidate, error)
                continue
            return content
    return None


def _previous(path: Path) -> Path:
    return path.with_suffix(path.suffix + ".previous")
