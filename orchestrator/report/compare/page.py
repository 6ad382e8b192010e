"""The comparison as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.report.compare.best import best_section
from orchestrator.report.compare.over_tasks import aggregates_section
from orchestrator.report.compare.overview import overview_section, shared_section
from orchestrator.report.compare.studies import Studies, load_studies
from orchestrator.report.compare.training import curves_section, tuning_section
from orchestrator.report.compare.until import target_section
from orchestrator.report.page import Heading, write_page
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.setup import status_counts
from orchestrator.report.text import listed

SECTIONS: tuple[Callable[[Studies], Section | None], ...] = (
    overview_section,
    best_section,
    shared_section,
    curves_section,
    tuning_section,
    target_section,
    aggregates_section,
)
"""A section that has nothing to do with these studies gives None."""


def write_comparison(
    folders: Sequence[Path], output: Path = Path("comparison.html"), *, figures: bool = True
) -> Path:
    """Writes one report on the studies in these folders, finished or not.

    Args:
        output: the HTML file.
        figures: also write each figure as SVG, PNG and CSV into ``figures/`` beside it.

    Raises:
        CompareError: they cannot be compared.
        StoreError: there is no store in one of them, or it is damaged.
    """
    studies = load_studies(folders)
    sections = compared(studies)
    runs = studies.runs().drop_duplicates("run_id")
    heading = Heading(
        title=listed(studies.names, 4),
        study="comparison",
        statuses=status_counts(runs),
        total=len(runs),
    )
    write_page(heading, sections, output, figures=figures)
    return output


def compared(studies: Studies) -> list[Section]:
    """The sections that have something to say."""
    built = [build(studies) for build in SECTIONS]
    return [section for section in built if section is not None]
