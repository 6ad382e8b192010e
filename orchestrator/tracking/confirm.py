"""What the server says it has: only that is marked as mirrored."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pandas as pd

from orchestrator.tracking import client, limits
from orchestrator.tracking.session import Sent, Session
from orchestrator.tracking.state import MirrorError

_PAUSES = (0.0, 0.5, 2.0, 4.0)
"""Seconds before each time the server is asked: it may need a moment to count."""


def recall(one: Session, runs: pd.DataFrame) -> pd.DataFrame:
    """Those of the runs that the server lacks; the others are marked.

    A mirror that was killed, or whose answer was lost, had no time to note what was taken. So
    the server is asked once a session of all runs, and later of those left unconfirmed.

    Args:
        runs: with the columns ``run_id``, ``rows`` (in the store) and ``mark``.
    """
    if one.mode == "offline":
        return runs
    wanted = runs[runs["run_id"].isin(list(one.sent))] if one.asked else runs
    columns = (wanted[name] for name in ("run_id", "rows", "mark"))
    confirm(one, {run_id: sent(rows, mark) for run_id, rows, mark in zip(*columns, strict=True)})
    one.asked = True
    one.sent.clear()
    return runs[runs["run_id"].map(one.marks) != runs["mark"]]


def sent(rows: int, mark: str) -> Sent:
    """How W&B has a run of so many rows in the store."""
    return Sent(rows=len(limits.kept(range(rows))), mark=mark)


def settle(one: Session) -> None:
    """Asks for all that was sent, and marks what is there.

    Raises:
        MirrorError: some of it is not there. The next pass sends what is missing.
    """
    left = dict(one.sent)
    for pause in _PAUSES:
        if not left:
            break
        time.sleep(pause)
        left = confirm(one, left)
    one.sent = left
    if left:
        first = next(iter(left))
        raise MirrorError(f"W&B does not have all of {len(left)} runs, the first of them {first}")


def confirm(one: Session, wanted: Mapping[str, Sent]) -> dict[str, Sent]:
    """Marks the runs that the server has whole; the others.

    Raises:
        MirrorError: the server did not answer.
    """
    if not wanted:
        return {}
    try:
        held = client.held(one.tracking, list(wanted))
    except Exception as error:
        raise MirrorError(f"W&B did not say what it has: {error}") from error
    left = {}
    for run_id, run in wanted.items():
        rows, mark = held.get(run_id, (0, ""))
        if rows >= run.rows and mark == run.mark:
            one.mark(run_id, run.mark)
        else:
            left[run_id] = run
    one.alive()
    one.save()
    return left
