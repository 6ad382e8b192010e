"""What the mirror remembers, and the lock that keeps two mirrors off one study."""

from __future__ import annotations

import contextlib
import fcntl
import json
import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from orchestrator.spec.study import Tracking

Mode = Literal["offline", "online"]
_FILE = "wandb-mirror.json"
_LOCK = "wandb-mirror.lock"
_DEFAULT_HOSTS = {"api.wandb.ai", "api.forge.coreweave.com"}
"""The public service goes by two names; wandb takes a key for either."""


class MirrorError(Exception):
    """W&B could not be brought up to the store. The message says why; the store is whole."""


def resolve_mode(tracking: Tracking) -> Mode | None:
    """What ``tracking.wandb`` comes to; None for ``off``.

    ``auto`` means online where a key is configured: asks files, never the network.
    """
    if tracking.wandb == "off":
        return None
    if tracking.wandb != "auto":
        return tracking.wandb
    if os.environ.get("WANDB_MODE") == "offline":
        return "offline"
    return "online" if os.environ.get("WANDB_API_KEY") or _netrc_has_key() else "offline"


def _netrc_has_key() -> bool:
    """Whether netrc has an entry for the W&B host; found where wandb looks for it."""
    address = os.environ.get("WANDB_BASE_URL")
    hosts = {urlsplit(address).netloc} if address else _DEFAULT_HOSTS
    paths = [Path(os.environ.get("NETRC", "~/.netrc")), Path("~/_netrc")]
    with contextlib.suppress(OSError, netrc.NetrcParseError, RuntimeError):
        path = next((p for p in map(Path.expanduser, paths) if p.is_file()), None)
        return path is not None and not hosts.isdisjoint(netrc.netrc(path).hosts)
    return False


def target(tracking: Tracking, mode: Mode) -> str:
    """Where a mirror writes: what one target holds, another still needs."""
    return f"{mode} {tracking.entity or ''}/{tracking.project}"


def read_marks(folder: Path, where: str) -> dict[str, str]:
    """W&B run id → how it stood when it was mirrored to ``where``."""
    return _read(folder).get(where, {})


def write_marks(folder: Path, where: str, marks: dict[str, str]) -> None:
    """Replaces the marks of ``where``, all or nothing: a crash leaves the old file."""
    text = json.dumps(_read(folder) | {where: marks}, indent=0)
    draft = folder / f"{_FILE}.new"
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / _FILE)


def _read(folder: Path) -> dict[str, dict[str, str]]:
    try:
        marks: dict[str, dict[str, str]] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return marks


def beat(folder: Path) -> None:
    """A mirror at work touches its lock whenever W&B took something."""
    with contextlib.suppress(OSError):
        os.utime(folder / _LOCK)


def last_beat(folder: Path) -> int:
    """The time of the last sign of life, in nanoseconds; 0 before the first."""
    try:
        return (folder / _LOCK).stat().st_mtime_ns
    except OSError:
        return 0


@contextlib.contextmanager
def exclusive(folder: Path, *, wait: bool) -> Iterator[None]:
    """Holds the study's mirror lock; it falls open when its process dies.

    Raises:
        MirrorError: another process holds it, and ``wait`` is false.
    """
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise MirrorError(f"{folder}: another process is mirroring this study") from error
        yield
