"""The mirror's process: ``python -m orchestrator.tracking FOLDER MODE TRACKING`` (JSON).

Mirrors until stdin is closed, then brings W&B up to the store once more and ends: exit
code 0 where W&B took everything, 1 where it did not.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
from pathlib import Path

from orchestrator.spec.study import Tracking

_NICENESS = 10
_LAST_PASS_SECONDS = 3600
"""A mirror whose launcher died must not wait for a silent server for ever."""


def _ended(seconds: float) -> bool:
    """Waits ``seconds`` for stdin to be closed."""
    ended = bool(select.select([sys.stdin], [], [], seconds)[0])
    if ended:
        signal.alarm(_LAST_PASS_SECONDS)
    return ended


def main() -> int:
    os.nice(_NICENESS)
    logging.basicConfig(format="%(asctime)s %(message)s")
    from orchestrator.tracking.mirror import follow  # imports wandb: at lowered priority

    folder, mode, tracking = sys.argv[1:]
    return follow(
        Path(folder),
        Tracking(**json.loads(tracking)),
        "online" if mode == "online" else "offline",
        _ended,
    )


if __name__ == "__main__":
    sys.exit(main())
