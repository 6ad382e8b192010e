"""The sections of a report, in order. A new study adds a function and a line here."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.report.results import Results, candidates, dense_only, each_network
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.curves import curves_section
from orchestrator.report.sections.failures import failures_section
from orchestrator.report.sections.flags import flags_section
from orchestrator.report.sections.front import front_section
from orchestrator.report.sections.headline import headline_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.report.sections.importance import importance_section
from orchestrator.report.sections.large_batch.compare import compare_section
from orchestrator.report.sections.large_batch.gap import gap_section
from orchestrator.report.sections.large_batch.noise import noise_section
from orchestrator.report.sections.large_batch.plan import plan_section
from orchestrator.report.sections.large_batch.rates import rates_section
from orchestrator.report.sections.large_batch.sensitivity import rate_sensitivity_section
from orchestrator.report.sections.large_batch.steps import steps_section
from orchestrator.report.sections.large_batch.study import LargeBatch, at_best, find_large_batch
from orchestrator.report.sections.large_batch.trade_off import trade_off_section
from orchestrator.report.sections.lottery.connectivity import connectivity_section
from orchestrator.report.sections.lottery.cost import cost_section
from orchestrator.report.sections.lottery.layers import layers_section
from orchestrator.report.sections.lottery.masks import masks_section
from orchestrator.report.sections.lottery.rewinding import rewinding_section
from orchestrator.report.sections.lottery.stopping import stopping_section
from orchestrator.report.sections.lottery.tickets import tickets_section
from orchestrator.report.sections.lottery.variants import variants_section
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.population import population_section
from orchestrator.report.sections.rules.horizon import horizon_section
from orchestrator.report.sections.rules.interaction import interaction_section
from orchestrator.report.sections.rules.range_test import range_test_section
from orchestrator.report.sections.rules.ranking import ranking_section
from orchestrator.report.sections.rules.sensitivity import sensitivity_section
from orchestrator.report.sections.rules.trials import by_rule
from orchestrator.report.sections.schedules import schedules_section
from orchestrator.report.sections.second_order.batches import batches_section
from orchestrator.report.sections.second_order.cost import cost_section as step_cost_section
from orchestrator.report.sections.second_order.curves import way_section
from orchestrator.report.sections.second_order.diverged import diverged_section
from orchestrator.report.sections.second_order.profile import profile_section
from orchestrator.report.sections.second_order.sensitivity import (
    sensitivity_section as damping_section,
)
from orchestrator.report.sections.second_order.spectrum import spectrum_section
from orchestrator.report.sections.second_order.study import SecondOrder, find_second_order
from orchestrator.report.sections.second_order.targets import targets_section
from orchestrator.report.sections.second_order.tuning import tuning_section
from orchestrator.report.sections.setup import setup_section
from orchestrator.report.sections.tuning_curve import tuning_curve_section

_OF_SEVERAL: tuple[Callable[[Results], Section | None], ...] = (
    headline_section,
    flags_section,
    front_section,
    ranking_section,
    basin_section,
    sensitivity_section,
    heat_map_section,
    interaction_section,
    horizon_section,
    range_test_section,
    importance_section,
    tuning_curve_section,
)
"""Sections that compare configurations."""
SECTIONS: list[Callable[[Results], Section | None]] = [
    setup_section,
    *_OF_SEVERAL,
    curves_section,
    spectrum_section,
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
OF_TICKETS: list[Callable[[Results], Section | None]] = [
    tickets_section,
    stopping_section,
    variants_section,
    rewinding_section,
    layers_section,
    connectivity_section,
    masks_section,
    cost_section,
]
"""Those that a lottery study has besides; see ``Results.networks``."""
OF_LARGE_BATCH: list[Callable[[LargeBatch], Section | None]] = [
    steps_section,
    trade_off_section,
    noise_section,
    rates_section,
    rate_sensitivity_section,
    compare_section,
    gap_section,
    plan_section,
]
"""Those of a study that varies the batch size and trains to a target."""
OF_SECOND_ORDER: list[Callable[[SecondOrder], Section | None]] = [
    targets_section,
    way_section,
    profile_section,
    tuning_section,
    damping_section,
    batches_section,
    step_cost_section,
    diverged_section,
]
"""Those of a study that compares optimizers by what they take to a target."""
_OF_ALL = (setup_section, range_test_section, schedules_section, failures_section)
"""Sections that see range tests, too; to others they would look like bad configurations."""
_BY_RULE = (basin_section, heat_map_section)
"""Sections that draw a line or a row for each schedule, and do so for ``sps`` and its like."""


def sections_of(results: Results) -> list[Section]:
    """The sections that have something to do with the study."""
    if results.networks is not None:
        return _of_lottery(results)
    if (compared := find_second_order(results)) is not None:
        return _of_second_order(results, compared)
    if (study := find_large_batch(results)) is not None:
        return _of_large_batch(results, study)
    builders = OF_POPULATIONS if results.populations else SECTIONS
    competing = candidates(results)
    ruled = by_rule(competing)
    built = [
        build(results if build in _OF_ALL else ruled if build in _BY_RULE else competing)
        for build in builders
    ]
    return [section for section in built if section is not None]


def headline_of(results: Results) -> Section | None:
    """The one section that says what came out, of each kind of study."""
    if results.networks is not None:
        return tickets_section(results)
    if (compared := find_second_order(results)) is not None:
        return targets_section(compared)
    if (study := find_large_batch(results)) is not None:
        return steps_section(study)
    if results.populations:
        return population_section(results)
    return headline_section(candidates(results))


def _of_lottery(results: Results) -> list[Section]:
    """What tickets come to; then the dense networks, as any study's runs; then what was lost.

    Sections that rank would mix networks of all levels: they see the dense ones alone, and only
    where there are several configurations of these.
    """
    dense = dense_only(results)
    several = dense.runs["configuration"].nunique() > 1
    made = [setup_section(results), *(build(results) for build in OF_TICKETS)]
    for build in SECTIONS:
        if build in (setup_section, failures_section) or (build in _OF_SEVERAL and not several):
            continue
        if (section := build(dense)) is not None:
            made.append(replace(section, lead=f"{section.lead} Dense networks alone."))
    made.append(failures_section(each_network(results)))
    return [section for section in made if section is not None]


def _of_second_order(results: Results, study: SecondOrder) -> list[Section]:
    """What each optimizer took to the targets, and what was lost.

    Sections that rank final values would rank tasks, and runs that end where they reach a target.
    """
    made = [setup_section(results), *(build(study) for build in OF_SECOND_ORDER)]
    made += [spectrum_section(results), failures_section(results)]
    return [section for section in made if section is not None]


def _of_large_batch(results: Results, study: LargeBatch) -> list[Section]:
    """What training to the target took; then curves of the best, and what was lost.

    Sections that rank final values have nothing to say of runs that end where they reach one.
    """
    made = [setup_section(results), *(build(study) for build in OF_LARGE_BATCH)]
    made += [curves_section(at_best(study)), spectrum_section(results)]
    made += [schedules_section(results), failures_section(results)]
    return [section for section in made if section is not None]
