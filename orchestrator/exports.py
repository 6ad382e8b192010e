"""A study's results as files for others to read: tables, figures, LaTeX, pruned networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.store import Store, StoreError
from orchestrator.store.frames import Form, export

if TYPE_CHECKING:
    from trainables.ticket_files import Written


def export_results(folder: str | Path, output: str | Path, form: Form = "parquet") -> list[Path]:
    """``runs`` and ``history`` as Parquet, and as CSV or JSON where asked; returns the files.

    Of a study with populations also ``population``: who went on as whom, with what. Where
    something was measured at several places of runs also ``probes``. See ``docs/export.md``.

    Raises:
        StoreError: there is no readable store in ``folder``.
    """
    with Store.open(Path(folder)) as store:
        tables = {"runs": store.runs(), "history": store.history()}
        others = {"population": store.population(), "probes": store.probes()}
    tables |= {name: table for name, table in others.items() if len(table)}
    return export(tables, Path(output), form)


def export_figures(folder: str | Path, output: str | Path) -> list[Path]:
    """The report's figures as SVG, PDF and PNG, their data as CSV and Parquet, in ``figures/``.

    Raises:
        StoreError: there is no readable store in ``folder``.
    """
    from orchestrator.report.export import EVERY_FORM, write_figures
    from orchestrator.report.results import load_results
    from orchestrator.report.sections import sections_of

    sections = sections_of(load_results(Path(folder)))
    drawn = [figure for section in sections for figure in section.figures]
    return write_figures(drawn, Path(output) / "figures", EVERY_FORM)


def export_latex(folder: str | Path, output: str | Path) -> Path:
    """``headline.tex``: the report's table of what came out, for ``\\input``.

    Raises:
        StoreError: there is no readable store in ``folder``, or nothing in it to tabulate yet.
    """
    from orchestrator.report.export import write_atomically
    from orchestrator.report.latex import latex_table
    from orchestrator.report.results import load_results
    from orchestrator.report.sections import headline_of

    results = load_results(Path(folder))
    section = headline_of(results)
    table = next((t for t in section.tables if not t.folded), None) if section else None
    if section is None or table is None:
        raise StoreError(f"{folder}: no table for LaTeX yet: no configuration has its results")
    study = re.sub(r"[^a-z0-9]+", "-", str(results.meta.get("study") or "study").lower())
    path = Path(output) / "headline.tex"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = latex_table(table, caption=section.lead, label=f"tab:{study.strip('-')}")
    write_atomically(path, text.encode())
    return path


def export_tickets(folder: str | Path, output: str | Path) -> Written:
    """``tickets/<run_id>.pt`` and ``….prune.pt`` of each pruned network whose final state is kept.

    See ``docs/export.md``. Imports PyTorch.

    Raises:
        StoreError: there is no readable store in ``folder``.
    """
    with Store.open(Path(folder)) as store:
        configs = store.configurations([outcome.run_id for outcome in store.outcomes()])
    pruned = {
        run_id: config
        for run_id, config in configs.items()
        if (config.get("lottery") or {}).get("level")
    }
    from trainables.ticket_files import write_tickets

    return write_tickets(Path(folder) / "runs", pruned, Path(output) / "tickets")
