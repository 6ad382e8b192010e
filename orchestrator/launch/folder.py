"""A study's folder: opened by one driver at a time, described for the report."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
from collections.abc import Iterator
from pathlib import Path

from orchestrator.launch.check import LaunchError
from orchestrator.launch.facts import git_state, versions
from orchestrator.launch.planned import plan_runs
from orchestrator.spec.study import Study
from orchestrator.store import Store
from orchestrator.store.backup import backups
from trainables.configs.base import to_plain


@contextlib.contextmanager
def open_study(study: Study, results: Path, *, command: str) -> Iterator[Store]:
    """The store of ``results/<study>``, with the study's runs planned in it, for one driver.

    What the store holds already stays: the same call after any end goes on, and a study that
    gained runs adds only those.

    Args:
        command: how to run the study again, for the report.

    Raises:
        LaunchError: the folder is in use or cannot be written.
        StoreError: the store there is of another version, or damaged beyond repair.
        StorageError: the store could not be written for some minutes.
    """
    folder = (results / study.name).resolve()
    with _lock(folder), Store.create(folder) as store, backups(folder):
        _describe(store, study, command)
        plan_runs(study, store)
        yield store


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Only one driver at a time writes a study; the system drops the lock when it dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise LaunchError(f"{folder}: cannot write there ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LaunchError(f"{folder}: another `regatta run` is at work there") from error
        yield


def _describe(store: Store, study: Study, command: str) -> None:
    store.set_meta(
        study=study.name,
        spec=study.text,
        spec_path=str(study.path),
        overrides=study.overrides,
        # Named as in the exported tables: there, what stands under config has no other name.
        axes=to_plain({path.removeprefix("config."): v for path, v in study.axes.items()}),
        trainable=study.trainable,
        seeds=study.seeds,
        objective=to_plain(study.objective),
        objectives=to_plain(list(study.objectives)),
        search=to_plain(study.search),
        conditional=_conditional(study),
        design=study.design,
        report=to_plain(study.report),
        tracking=to_plain(study.tracking),
        command=command,
        started=store.meta().get("started") or now(),
        finished=None,
        versions=versions(),
        git=git_state(study.path.resolve().parent),
    )


def _conditional(study: Study) -> list[str]:
    """Axes that are there in some configurations only, named as ``axes`` are."""
    parts = study.space.order if study.space is not None else ()
    return [part.path.removeprefix("config.") for part in parts if part.when]


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
