"""Brings W&B up to the store, once or again and again while a study runs."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from orchestrator.spec.study import Tracking
from orchestrator.store import FINISHED, Store
from orchestrator.tracking.confirm import settle
from orchestrator.tracking.limits import detail_of
from orchestrator.tracking.run_jobs import Job, run_jobs
from orchestrator.tracking.session import Session, session
from orchestrator.tracking.state import MirrorError, Mode, resolve_mode
from orchestrator.tracking.study_run import Frames, write_study

_POLL_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 120.0
_PAUSE_FACTOR = 20
"""A pause lasts this many times the work before it: at most 5 % of a core is taken."""
_WRITERS = 8
_GIVE_UP_AFTER = 3
"""Failures in one pass, after which the rest is left for the next."""

_log = logging.getLogger(__name__)


def once(folder: Path, tracking: Tracking) -> int:
    """See ``orchestrator.tracking.mirror_once``."""
    mode = resolve_mode(tracking)
    if mode is None:
        return 0
    with session(folder, tracking, mode, wait=False) as one:
        bring_up(one, last=True)
        return one.written


def follow(folder: Path, tracking: Tracking, mode: Mode, ended: Callable[[float], bool]) -> int:
    """Mirrors until ``ended(seconds)``, which waits that long, says that no more comes.

    Returns:
        The process's exit code: 0 where W&B holds all of the store.
    """
    with session(folder, tracking, mode, wait=True) as one:
        pause = 0.0
        while not ended(pause):
            started = time.monotonic()
            taken = _attempt(one, last=False)
            # After a failure W&B is left in peace, longer each time.
            wanted = _PAUSE_FACTOR * (time.monotonic() - started) if taken else 2 * pause
            pause = min(max(_POLL_SECONDS, wanted), _LONGEST_PAUSE_SECONDS)
        return 0 if _attempt(one, last=True) else 1


def _attempt(one: Session, *, last: bool) -> bool:
    """One pass; what goes wrong is logged, and tried again in the next."""
    try:
        bring_up(one, last=last)
    except Exception as error:
        _log.warning("%s: %s", type(error).__name__, error)
        return False
    return True


def bring_up(one: Session, *, last: bool) -> None:
    """Writes what the store has and W&B has not.

    The last pass also closes the runs that are still open and writes the study's own run.

    Raises:
        MirrorError: W&B did not take all of it.
    """
    with Store.open(one.folder) as store:
        if not last and _nothing_to_do(one, store):
            return
        frames = _read(store, last=last)
    if frames.runs.empty:
        return
    try:
        _in_parallel(run_jobs(one, frames.meta, frames.runs, frames.history, last=last))
        settle(one)
        if last:
            _in_parallel([functools.partial(write_study, one, frames)])
            settle(one)
    finally:
        one.save()


def _read(store: Store, *, last: bool) -> Frames:
    empty = pd.DataFrame()
    return Frames(
        meta=store.meta(),
        runs=store.runs(),
        history=store.history(),
        population=store.population() if last else empty,
        probes=store.probes() if last else empty,
    )


def _nothing_to_do(one: Session, store: Store) -> bool:
    """Whether a pass can be skipped: statuses are cheap to read, history is not.

    Offline, runs are written when they have finished. Which runs are the best is known last.
    """
    statuses = store.statuses()
    if detail_of(one.tracking, len(statuses)) != "all":
        return True
    return one.mode == "offline" and all(
        status not in FINISHED or one.marks.get(run_id, "").startswith(f"{status} ")
        for run_id, status in statuses.items()
    )


def _in_parallel(jobs: Sequence[Job]) -> None:
    """Does the jobs on a few threads, which wait for the network most of the time.

    Raises:
        MirrorError: some failed; after a few failures the rest is not tried.
    """
    failures: list[Exception] = []

    def attempt(job: Job) -> None:
        if len(failures) >= _GIVE_UP_AFTER:
            return
        try:
            job()
        except Exception as error:
            failures.append(error)

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(attempt, jobs))
    if failures:
        first = failures[0]
        raise MirrorError(
            f"W&B did not take {len(failures)} or more of {len(jobs)} runs:"
            f" {type(first).__name__}: {first}"
        ) from first
