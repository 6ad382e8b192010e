"""Everything that is said to wandb: opening, writing and closing one W&B run."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import wandb

from orchestrator.spec.study import Tracking
from orchestrator.tracking.charts import Chart
from orchestrator.tracking.state import Mode

_INIT_SECONDS = 30.0
_UPLOAD_SECONDS = 120.0
"""How long a server may take to open a run, and to take the rest of one that ends."""


MARK = "regatta/mark"
"""In a run's summary: how it stood when its last row was sent. W&B's own word that it has all."""
_ASK_SECONDS = 10
_ASK_AT_ONCE = 100

_one_opens = threading.Lock()
"""wandb.init logs in by writing settings that all runs share: two at a time, and one may go to
the default server instead of the configured one."""


@dataclass(kw_only=True, slots=True)
class OpenRun:
    """A W&B run that is being written."""

    run: Any
    rows: int
    """How many history rows W&B holds."""


def open_run(folder: Path, tracking: Tracking, mode: Mode, **described: Any) -> OpenRun:
    """Opens a run, or goes on with the one that the server has under this id.

    The server says how many rows it holds, so nothing is written twice even where this
    process's memory of it was lost. An offline folder is written whole and without
    ``resume``: uploading it then replaces what the server has, where ``resume`` would append
    the same rows again.

    Raises:
        wandb.Error: the server refused or did not answer in time.
    """
    with _one_opens:
        run = wandb.init(
            project=tracking.project,
            entity=tracking.entity,
            dir=str(folder),
            mode=mode,
            reinit="create_new",
            resume="allow" if mode == "online" else None,
            settings=_settings(mode),
            **described,
        )
    run.define_metric("*", step_metric="step")
    return OpenRun(run=run, rows=run.starting_step)


def _settings(mode: Mode) -> wandb.Settings:
    """Without what describes this process: the mirror trains nothing.

    Listing the installed packages alone costs three times what is left.
    """
    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        finish_timeout=_UPLOAD_SECONDS,
        finish_timeout_raises=True,
        init_timeout=_INIT_SECONDS,
        save_code=False,
        silent=True,
        # The stop button in W&B would interrupt the mirror, not the training.
        stop_fn=_ignore_stop,
        symlink=False,
        use_dot_wandb=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_log_level=logging.ERROR,
        x_save_requirements=False,
        # The store can write it all again, so online needs no second copy on disk.
        x_skip_transaction_log=mode == "online",
    )


def _ignore_stop() -> None:
    """Does nothing."""


def write_rows(opened: OpenRun, rows: Sequence[Mapping[str, Any]]) -> None:
    """Logs the rows that W&B does not hold yet: one W&B step a row, values missing left out."""
    for row in rows[opened.rows :]:
        opened.run.log({key: value for key, value in row.items() if not pd.isna(value)})
    opened.rows = max(opened.rows, len(rows))


def close_run(opened: OpenRun, summary: Mapping[str, Any], *, failed: bool = False) -> None:
    """Writes the last values and waits for the upload.

    Raises:
        TimeoutError: the server did not take everything in time.
    """
    opened.run.summary.update(dict(summary))
    opened.run.finish(exit_code=int(failed))


def interrupt_run(opened: OpenRun, summary: Mapping[str, Any]) -> None:
    """Closes a run that will go on later; W&B shows it as preempted."""
    opened.run.mark_preempting()
    close_run(opened, summary, failed=True)


def table(frame: pd.DataFrame) -> wandb.Table:
    """The frame as a W&B table, missing values empty."""
    cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
    return wandb.Table(columns=list(frame.columns), data=cells, allow_mixed_types=True)


def page(path: Path) -> wandb.Html:
    """An HTML file, carried inside the run."""
    return wandb.Html(path.read_text(encoding="utf-8"), inject=False)


def remove_offline(folder: Path, run_ids: Iterable[str]) -> None:
    """Removes offline copies of runs that are about to be written again, half ones included."""
    wanted = set(run_ids)
    for path in (folder / "wandb").glob("offline-run-*"):
        # offline-run-YYYYMMDD_HHMMSS-RUN_ID
        if path.name.split("-", 3)[3] in wanted:
            shutil.rmtree(path)


def held(tracking: Tracking, run_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
    """run_id → history rows and mark that the server has; runs it does not know are left out.

    A client that was turned away for good says nothing when a run ends, so only the server can
    tell what it has.

    Raises:
        wandb.Error: the server did not answer.
    """
    where = f"{tracking.entity}/{tracking.project}" if tracking.entity else tracking.project
    api = wandb.Api(timeout=_ASK_SECONDS)
    found: dict[str, tuple[int, str]] = {}
    for start in range(0, len(run_ids), _ASK_AT_ONCE):
        wanted = list(run_ids[start : start + _ASK_AT_ONCE])
        named = {"name": {"$in": wanted}}
        # Without a project there is no run, and the client says so by a ValueError.
        with contextlib.suppress(ValueError):
            for run in api.runs(where, filters=named, per_page=_ASK_AT_ONCE, lazy=False):
                rows = run.historyLineCount or 0
                found[run.id] = (rows, str(run.summary_metrics.get(MARK, "")))
    return found


def chart(one: Chart) -> Any:
    """A chart that W&B draws with one of its Vega presets, and the table under it."""
    if one.kind == "lines":
        lines = list(one.table.groupby(one.line, sort=False))
        return wandb.plot.line_series(
            xs=[rows[one.x].tolist() for _, rows in lines],
            ys=[rows[one.y].tolist() for _, rows in lines],
            keys=[str(name) for name, _ in lines],
            title=one.title,
            xname=one.x,
        )
    draw = wandb.plot.scatter if one.kind == "scatter" else wandb.plot.bar
    return draw(table(one.table), one.x, one.y, title=one.title)


def log_files(opened: OpenRun, name: str, files: Mapping[str, Path]) -> None:
    """Files by their names, as one version of an artifact; the same files are the same version."""
    artifact = wandb.Artifact(name, type="study")
    for path, file in files.items():
        artifact.add_file(str(file), name=path)
    opened.run.log_artifact(artifact)


def shut_down() -> None:
    """Ends wandb's service process, which may have died before."""
    with contextlib.suppress(OSError):
        wandb.teardown()
