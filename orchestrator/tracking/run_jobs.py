"""Which runs W&B lacks, and the writing of one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from orchestrator.store import FINISHED
from orchestrator.tracking import client, confirm, limits, naming, study_run
from orchestrator.tracking.session import Session

Job = Callable[[], None]
Row = Mapping[str, Any]

_OPEN_RUNS = 64
"""Training runs that are shown live; more than these appear when they finish."""
_SUMMARY = ("status", "reason", "lane", "steps", "epochs", "examples", "wall_seconds", "error")


def run_jobs(
    one: Session, meta: Row, runs: pd.DataFrame, history: pd.DataFrame, *, last: bool
) -> list[Job]:
    """One job a run that W&B lacks, or lacks a part of.

    Offline, a run is written when it has finished, in one go; online, training runs are
    written row by row, and left open unless this pass is the ``last``.
    """
    lengths = runs["run_id"].map(history["run_id"].value_counts()).fillna(0).astype(int)
    marks = runs["status"] + " " + lengths.astype(str)
    runs = _chosen(one, meta, runs.assign(name=_names(runs), rows=lengths, mark=marks))
    runs = runs[runs["run_id"].map(one.marks) != runs["mark"]]
    begun = runs["status"].isin(FINISHED) | (runs["rows"] > 0)
    runs = confirm.recall(one, runs[begun])
    over = runs["status"].isin(FINISHED)
    finished, training = runs[over], runs[~over]
    if one.mode == "offline":
        training = training.head(0)
        client.remove_offline(one.folder, finished["run_id"])
    training = _with_a_slot(one, training, set(finished["run_id"]))
    rows = _rows(history, {*finished["run_id"], *training["run_id"]})
    return [
        functools.partial(_write_run, one, run, rows.get(run["run_id"], []), close=close)
        for part, close in ((finished, True), (training, last))
        for run in naming.records(part)
    ]


def _names(runs: pd.DataFrame) -> list[str]:
    labels = naming.axes(runs)
    return [naming.run_name(run, labels) for run in naming.records(runs)]


def _chosen(one: Session, meta: Row, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that ``tracking.detail`` asks for."""
    detail = limits.detail_of(one.tracking, len(runs))
    if detail == "study":
        return runs.head(0)
    if detail == "best":
        best = naming.best_configurations(runs, *study_run.ranking(meta))
        return runs[runs["run_id"].isin([run_id for _, ids in best for run_id in ids])]
    return runs


def _with_a_slot(one: Session, training: pd.DataFrame, ending: set[str]) -> pd.DataFrame:
    """Runs that are open, and as many more as may be; the others wait."""
    is_open = training["run_id"].isin(list(one.opened))
    free = max(0, _OPEN_RUNS - len(one.opened.keys() - ending))
    return pd.concat([training[is_open], training[~is_open].head(free)])


def _rows(history: pd.DataFrame, run_ids: set[str]) -> dict[str, list[dict[str, Any]]]:
    wanted = history[history["run_id"].isin(run_ids)]
    return {
        str(run_id): limits.kept(naming.records(rows.drop(columns="run_id")))
        for run_id, rows in wanted.groupby("run_id", sort=False)
    }


def _write_run(one: Session, run: Row, rows: Sequence[Row], *, close: bool) -> None:
    """Writes a run's missing rows; closes it where it has finished or no more comes."""
    run_id = run["run_id"]
    opened = one.opened.pop(run_id, None) or _open(one, run)
    client.write_rows(opened, rows)
    one.alive()
    if not close:
        one.opened[run_id] = opened
        return
    columns = [c for c in run if c in _SUMMARY or c.startswith(("final/", "best/"))]
    summary = naming.without_missing(run, columns) | {client.MARK: run["mark"]}
    if run["status"] in FINISHED:
        client.close_run(opened, summary, failed=run["status"] == "failed")
    else:
        client.interrupt_run(opened, summary)
    one.close(run_id, confirm.sent(run["rows"], run["mark"]))


def _open(one: Session, run: Row) -> client.OpenRun:
    return client.open_run(
        one.folder,
        one.tracking,
        one.mode,
        id=run["run_id"],
        name=run["name"],
        group=run["study"],
        job_type="run",
        tags=naming.tags(run),
        config=naming.nested_config(run),
    )
