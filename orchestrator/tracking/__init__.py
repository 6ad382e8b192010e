"""Weights & Biases as a mirror of the store: written by a process of its own.

Importing this package imports neither wandb nor pandas; only the mirror's process does.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.spec.study import Tracking
from orchestrator.tracking.launcher import Mirror, start_mirror
from orchestrator.tracking.state import MirrorError

__all__ = ["Mirror", "MirrorError", "mirror_once", "start_mirror"]


def mirror_once(folder: Path, tracking: Tracking) -> int:
    """Brings W&B up to the store in ``folder``: every run and row exactly once.

    Returns:
        How many runs were written; 0 where W&B was up to date.

    Raises:
        MirrorError: W&B did not take all of it, or another process mirrors this study now.
        StoreError: there is no readable store in ``folder``.
    """
    from orchestrator.tracking.mirror import once  # wandb and pandas are slow to import

    return once(folder, tracking)
