"""The W&B run that stands for the study: its table, its best configuration, its report.

Of the store's facts (``Store.meta``) it reads ``study`` (the name), ``spec`` (the YAML),
``objective`` (``metric`` and ``mode``) and ``report`` (``top``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from orchestrator.spec.study import Objective, Report
from orchestrator.tracking import client, naming
from orchestrator.tracking.session import Session

_REPORT = "report.html"


def write_study(one: Session, meta: Mapping[str, Any], runs: pd.DataFrame) -> None:
    """Writes the study's own run, unless W&B has it as it stands.

    Raises:
        wandb.Error: the server refused or did not answer in time.
    """
    study, spec = str(meta.get("study", "")), str(meta.get("spec", ""))
    study_id = _study_id(study, spec)
    report = one.folder / _REPORT
    mark = _digest(runs, report)
    if one.marks.get(study_id) == mark:
        return
    if one.mode == "offline":
        client.remove_offline(one.folder, [study_id])
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
    results = {"results": client.table(runs)}
    opened.run.log(results | ({"report": client.page(report)} if report.is_file() else {}))
    client.close_run(opened, _headline(meta, runs))
    one.mark(study_id, mark)


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
