"""A report that is written anew while its study trains."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.report.page import write_report
from orchestrator.store import Store, StoreError

TRIES = 10
"""So often in a row a report may fail to be written before that is an error."""
REST = 2.0
"""After each report at least so many times as long as it took: the sweep needs the machine."""


def watch_report(
    folder: Path,
    output: Path | None = None,
    *,
    every: float = 30.0,
    say: Callable[[str], None] = print,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Writes the report now and whenever there is more in the store, until the study has finished.

    While the study trains, figures are not exported, and the page reloads itself; the last report
    is as ``write_report`` leaves it. A study that was interrupted has not finished: its report
    waits for it to go on.

    Args:
        every: seconds between two reports; more where a report takes long.
        say: is told of each report, and why one could not be written.
        sleep, clock: for tests.

    Returns:
        The path of the HTML file.

    Raises:
        StoreError, OSError, sqlite3.DatabaseError: the first report cannot be written, or ten in
            a row.
    """
    written: Path | None = None
    seen: object = None
    failed = 0
    while True:
        begun = clock()
        try:
            finished, found = _look(folder)
            if finished:
                return write_report(folder, output)
            if found != seen:
                written = write_report(folder, output, figures=False, reload=every)
                say(f"Report: {written}")
            seen, failed = found, 0
        except (StoreError, OSError, sqlite3.DatabaseError) as error:
            failed += 1
            if written is None or failed == TRIES:
                raise
            say(f"Not written, trying again: {error}")
        sleep(max(every, REST * (clock() - begun)))


def _look(folder: Path) -> tuple[bool, object]:
    """Whether the study has finished, and how far its runs are: what a report would show anew."""
    with Store.open(folder) as store:
        meta, outcomes = store.meta(), store.outcomes()
    # Not the files' times of change: reading touches them as well.
    return bool(meta.get("finished")), (meta, [(o.run_id, o.status, o.steps) for o in outcomes])
