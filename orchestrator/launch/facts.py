"""What a report must say of the place where a study ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = ("regatta-sweeps", "torch", "ray", "numpy", "wandb")


def versions() -> dict[str, str]:
    """Installed versions, without importing anything."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine(resources: dict[str, float]) -> dict[str, Any]:
    """The driver's system, and the resources of the Ray cluster."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": resources.get("CPU", os.cpu_count() or 1),
        "gpus": resources.get("GPU", 0),
        "memory_gib": round(resources.get("memory", 0) / 2**30, 1),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the repository that ``folder`` is in; None outside one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
