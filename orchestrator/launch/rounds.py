"""A study outlives its Ray: where Tune or the cluster raises, what is left begins again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from orchestrator.launch.check import LaunchError
from orchestrator.store import FINISHED, StorageError, Store, StoreError
from orchestrator.store.faults import TUNE_RESTARTED
from trainables.user_code import in_a_line

_MOST_ROUNDS_IN_A_ROW = 3
"""That end in an error with nothing new in the store."""

Run = TypeVar("Run")


def in_rounds(
    store: Store,
    left: Mapping[str, Run],
    train: Callable[[Mapping[str, Run]], None],
    unfinished: Callable[[], Mapping[str, Run]],
) -> None:
    """Calls ``train`` with the runs that are left until it returns.

    Args:
        unfinished: what is left after a round that ended in an error.

    What Tune does with a worker that dies while it waits for its next pack, or with a cluster
    that is gone, is to raise; the store knows what is left then.

    Raises:
        StorageError: the store cannot be written.
        LaunchError: the study cannot be run as it stands.
        Exception: what ``train`` raised, if it did so a few times without progress.
    """
    in_a_row = 0
    while True:
        before = _reached(store)
        try:
            train(left)
            return
        except (LaunchError, StoreError, StorageError):
            raise
        except Exception as error:  # whatever Ray may raise
            if store.broken is not None:
                raise store.broken from error
            in_a_row = 1 if _reached(store) != before else in_a_row + 1
            if in_a_row >= _MOST_ROUNDS_IN_A_ROW:
                raise
            store.note(TUNE_RESTARTED, "", _last_line(error))
        left = unfinished()


def _reached(store: Store) -> tuple[int, int]:
    """Grows with every report."""
    outcomes = store.outcomes()
    return sum(o.status in FINISHED for o in outcomes), sum(o.steps for o in outcomes)


def _last_line(error: Exception) -> str:
    """Tune wraps what was raised into the text of its traceback."""
    lines = str(error).strip().splitlines()
    return lines[-1][:500] if lines else in_a_line(error)
