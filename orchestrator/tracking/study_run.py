"""The W&B run that stands for the study: its table, its best configuration, its report.

Of the store's facts (``Store.meta``) it reads ``study`` (the name), ``spec`` (the YAML),
``objective`` (``metric`` and ``mode``) and ``report`` (``top``).
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from orchestrator.spec.study import Objective, Report
from orchestrator.store.frames import export
from orchestrator.tracking import client, confirm, naming
from orchestrator.tracking.charts import charts
from orchestrator.tracking.session import Session

_REPORT = "report.html"


class Frames(NamedTuple):
    """What the store says of a study."""

    meta: Mapping[str, Any]
    runs: pd.DataFrame
    history: pd.DataFrame
    population: pd.DataFrame
    probes: pd.DataFrame


def write_study(one: Session, frames: Frames) -> None:
    """Writes the study's own run, unless W&B has it as it stands.

    Raises:
        wandb.Error: the server refused or did not answer in time.
        MirrorError: it did not say what it has.
    """
    meta, runs = frames.meta, frames.runs
    study, spec = str(meta.get("study", "")), str(meta.get("spec", ""))
    study_id = _study_id(study, spec)
    report = one.folder / _REPORT
    mark = _digest(runs, report)
    if one.marks.get(study_id) == mark:
        return
    if one.mode == "offline":
        client.remove_offline(one.folder, [study_id])
    elif not confirm.confirm(one, {study_id: confirm.sent(1, mark)}):
        return
    opened = client.open_run(
        one.folder,
        one.tracking,
        one.mode,
        id=study_id,
        name=study,
        group=study,
        job_type="study",
        tags=["study"],
        config=dict(meta),
    )
    _log_files(one, frames, opened, f"study-{study_id}")
    opened.run.log(_shown(frames, report) | {client.MARK: mark})
    client.close_run(opened, _headline(meta, runs))
    one.close(study_id, confirm.sent(1, mark))


def _shown(frames: Frames, report: Path) -> dict[str, Any]:
    """The table of results, the charts, and the report to look at."""
    drawn = charts(frames.runs, frames.history, *ranking(frames.meta))
    shown = {"results": client.table(frames.runs)} | {one.key: client.chart(one) for one in drawn}
    return shown | ({"report": client.page(report)} if report.is_file() else {})


def _log_files(one: Session, frames: Frames, opened: client.OpenRun, name: str) -> None:
    """The report, its figures and the exported tables as one artifact; wandb copies them."""
    files = {_REPORT: one.folder / _REPORT} if (one.folder / _REPORT).is_file() else {}
    files |= {f"figures/{path.name}": path for path in sorted(one.folder.glob("figures/*.*"))}
    tables = {"runs": frames.runs, "history": frames.history}
    others = {"population": frames.population, "probes": frames.probes}
    tables |= {key: table for key, table in others.items() if len(table)}
    with tempfile.TemporaryDirectory(dir=one.folder / "wandb") as place:
        written = export(tables, Path(place), "parquet")
        files |= {f"exports/{path.name}": path for path in written}
        client.log_files(opened, name, files)


def ranking(meta: Mapping[str, Any]) -> tuple[dict[str, str], int]:
    """The objective (``metric``, ``mode``) and how many of the best the report shows."""
    objective, report = Objective(), Report()
    known = meta.get("objective") or {"metric": objective.metric, "mode": objective.mode}
    return known, int((meta.get("report") or {}).get("top", report.top))


def _study_id(study: str, spec: str) -> str:
    """The same study with the same spec is the same W&B run."""
    digest = hashlib.sha256(f"{study}\n{spec}".encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', study)[:100]}-{digest}"


def _digest(runs: pd.DataFrame, report: Path) -> str:
    """Tells a study's results and report from other ones."""
    found = hashlib.sha256(runs.to_csv().encode())
    if report.is_file():
        found.update(report.read_bytes())
    return found.hexdigest()


def _headline(meta: Mapping[str, Any], runs: pd.DataFrame) -> dict[str, Any]:
    """Runs by status, and the best configuration with its mean over seeds."""
    counts = runs["status"].value_counts().to_dict()
    headline: dict[str, Any] = {f"runs/{status}": count for status, count in counts.items()}
    objective, _ = ranking(meta)
    for mean, run_ids in naming.best_configurations(runs, objective, 1):
        run = naming.records(runs[runs["run_id"] == run_ids[0]])[0]
        headline |= {
            f"best/{objective['metric']}": mean,
            "best/configuration": naming.configuration_name(run, naming.axes(runs)),
            "best/seeds": len(run_ids),
        }
    return headline
