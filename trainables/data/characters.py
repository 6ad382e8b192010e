"""A text file as windows of characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.configs.data import Characters, held_out
from trainables.data.dataset import DataError, DataSet, unchanged

Tokens = npt.NDArray[np.int64]


def load_characters(config: Characters) -> DataSet:
    """Inputs x (n, context) and the characters after them y (n, context), as whole numbers.

    A character is its place in the sorted vocabulary of the whole file. What is left of a split
    behind its last whole window is not used.

    Raises:
        DataError: no such file, not UTF-8, one distinct character only, or a split too short for
            a window.
    """
    path = Path(config.path).expanduser().resolve()
    name = f"{config.name}: {path}"
    text = _text(name, path)
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    vocabulary, tokens = np.unique(points, return_inverse=True)
    if len(vocabulary) < 2:
        raise DataError(
            f"{name}: {len(text)} characters, {len(vocabulary)} of them distinct; a text needs 2"
        )
    parts = {
        part: _windows(tokens, config.context) for part, tokens in _split(tokens, config).items()
    }
    for part, (x, _) in parts.items():
        if not len(x):
            written = f"valid {config.valid:g} and test {config.test:g}"
            raise DataError(
                f"{name}: {len(text)} characters with {written} leave {part} fewer than the"
                f" {config.context + 1} of one window (context + 1)"
            )
    return unchanged(parts, len(vocabulary))


def _split(tokens: Tokens, config: Characters) -> dict[str, Tokens]:
    """Three parts one after the other, so that no window looks into another part."""
    test, valid = (held_out(share, len(tokens)) for share in (config.test, config.valid))
    train = max(0, len(tokens) - test - valid)
    edges = [train, train + valid]
    return dict(zip(("train", "valid", "test"), np.split(tokens, edges), strict=True))


def _windows(tokens: Tokens, context: int) -> tuple[Tokens, Tokens]:
    """Windows (n, context + 1) as inputs (n, context) and what follows each of them."""
    count = len(tokens) // (context + 1)
    windows = tokens[: count * (context + 1)].astype(np.int64).reshape(count, context + 1)
    return np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:])


def _text(name: str, path: Path) -> str:
    if path.is_dir():
        raise DataError(f"{name} is a folder; expected a UTF-8 text file")
    if not path.is_file():
        raise DataError(f"{name} is missing; put a UTF-8 text file there")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: not UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8 text"
        ) from error
    except OSError as error:
        raise DataError(f"{name}: {error.strerror}") from error
