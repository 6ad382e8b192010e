"""How much main memory a process may still take: of the machine, and of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SHARE = 0.8
"""Of the free memory; the rest is for what is not counted, and for an allocator's gaps."""
_ROOT = Path("/")


def free_ram(root: Path = _ROOT) -> int:
    """Bytes that can be taken without swapping, as far as the system says.

    The least of what Linux calls available and of what the limits of the process's control
    groups leave, where pages of files that can be dropped count as free. Elsewhere all memory.

    Args:
        root: where ``/proc`` and ``/sys`` are.
    """
    return min([_available(root), *_left_in_groups(root)])


def in_bytes(amount: float) -> str:
    """As text: ``61 MiB``, ``2.1 GiB``."""
    for unit in ("B", "KiB", "MiB"):
        if amount < 1000:
            return f"{amount:.{0 if amount >= 10 else 1}f} {unit}"
        amount /= 1024
    return f"{amount:.{0 if amount >= 100 else 1}f} GiB"


def _available(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields["MemAvailable"].split()[0]) * 1024


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each group that the process is in leaves, from its own up to the topmost one."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = Path(group.lstrip("/"))
        for part in (own, *own.parents):
            left = _left(top / part, *names)
            if left is not None:
                yield left


def _left(folder: Path, limit: str, usage: str, droppable: str) -> int | None:
    """None where the group has no limit, or does not exist in the container's own view."""
    try:
        most = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if most == "max":
        return None
    pages = dict(line.split() for line in stat).get(droppable, "0")
    return max(0, int(most) - used + int(pages))
