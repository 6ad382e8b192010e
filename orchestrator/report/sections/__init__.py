"""The sections of a report, in order. A new study adds a function and a line here."""

from collections.abc import Callable

from orchestrator.report.results import Results
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.curves import curves_section
from orchestrator.report.sections.failures import failures_section
from orchestrator.report.sections.front import front_section
from orchestrator.report.sections.headline import headline_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.population import population_section
from orchestrator.report.sections.schedules import schedules_section
from orchestrator.report.sections.setup import setup_section

SECTIONS: list[Callable[[Results], Section | None]] = [
    setup_section,
    headline_section,
    front_section,
    basin_section,
    heat_map_section,
    curves_section,
    schedules_section,
    failures_section,
]
"""A section that has nothing to do with a study gives None."""
OF_POPULATIONS: list[Callable[[Results], Section | None]] = [
    setup_section,
    population_section,
    failures_section,
]
"""Those of a study whose hyperparameters move: its axes are only what members began with."""


def sections_of(results: Results) -> list[Section]:
    """The sections that have something to do with the study."""
    builders = OF_POPULATIONS if results.populations else SECTIONS
    return [made for build in builders if (made := build(results)) is not None]
