"""Processes that a test has started, and those below them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def descendants(pid: int) -> dict[int, str]:
    """pid → command line of everything below a process, the workers of Ray included."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                commands[int(entry.name)] = (entry / "cmdline").read_bytes().decode()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found: dict[int, str] = {}
    level = {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found |= {child: commands[child] for child in level}
    return found
