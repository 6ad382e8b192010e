"""The sections of a report, in order. A new study adds a function and a line here."""

from collections.abc import Callable

from orchestrator.report.results import Results
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.curves import curves_section
from orchestrator.report.sections.failures import failures_section
from orchestrator.report.sections.headline import headline_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.population import population_section
from orchestrator.report.sections.schedules import schedules_section
from orchestrator.report.sections.setup import setup_section

SECTIONS: list[Callable[[Results], Section | None]] = [
    setup_section,
    headline_section,
    population_section,
    basin_section,
    heat_map_section,
    curves_section,
    schedules_section,
    failures_section,
]
"""A section that has nothing to do with a study gives None."""
