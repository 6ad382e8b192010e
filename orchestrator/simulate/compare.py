"""Searches × rules × repeats: each played on the same curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.search.advisor import SearchError
from orchestrator.simulate.curve import Curve, Curves, SimulateError
from orchestrator.simulate.figures import Case, Figures, figures_of, finding, full_best
from orchestrator.simulate.machine import Machine
from orchestrator.simulate.pace import Measured, Pace, Paces
from orchestrator.simulate.player import Played, Player, VirtualClock
from orchestrator.simulate.recorded import Recorded
from orchestrator.simulate.sources import drawn, rules_of
from orchestrator.simulate.synthetic import Synthetic
from orchestrator.simulate.variants import NamedRules, NamedSearch, seeded
from orchestrator.spec.searches import Pbt
from orchestrator.spec.stopping_rules import Budget
from orchestrator.spec.study import OwnObjective, Study


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulation:
    """What was compared, and what came of it."""

    study: str
    objective: OwnObjective
    machine: Machine
    repeats: int
    cases: tuple[Case, ...]
    notes: tuple[str, ...]
    """What to know of the curves."""
    optimum: float | None
    """Best value in the whole space without noise, of the first repeat's synthetic curves."""
    finding: str


def compare(
    study: Study,
    searches: Sequence[NamedSearch],
    rules: Sequence[NamedRules],
    machine: Machine,
    *,
    curves: Path | None,
    pace: Pace | None,
    repeats: int,
    seed: int,
    noise: float,
) -> Simulation:
    """Plays every search with every rule, ``repeats`` times each.

    Args:
        curves: the folder of a study that was trained; None: synthetic ones.
        pace: of all packs; None: as measured or modelled.
        seed: of the first repeat; with 0, that one is the study as it is.
        noise: of synthetic curves.

    Raises:
        SimulateError, StoreError: it cannot be simulated.
    """
    if any(isinstance(search.study.search, Pbt) for search in searches):
        raise SimulateError(
            "search: pbt cannot be simulated: no curve says how a member goes on after a copy"
        )
    if study.lottery:
        raise SimulateError(
            "procedure: lottery cannot be simulated: its networks come from each other, and no"
            " rule stops them"
        )
    metrics = _metrics(study, rules)
    recorded = None if curves is None else Recorded(study, curves, metrics)
    figures: dict[tuple[str, str], list[Figures]] = {}
    known: Curves
    optimum = None
    for repeat in range(seed, seed + repeats):
        known = recorded or Synthetic(study, metrics, repeat, noise)
        if optimum is None and isinstance(known, Synthetic):
            optimum = known.best(study.objective)
        measured = {} if recorded is None else recorded.measured
        for name, one in _repeat(study, searches, rules, machine, known, measured, pace, repeat):
            figures.setdefault(name, []).append(one)
    cases = tuple(
        Case(search=search, rule=rule, figures=tuple(some))
        for (search, rule), some in figures.items()
    )
    return Simulation(
        study=study.name,
        objective=study.objective,
        machine=machine,
        repeats=repeats,
        cases=cases,
        notes=tuple(known.notes()),
        optimum=optimum,
        finding=finding(cases, study.objective.metric),
    )


def _repeat(
    study: Study,
    searches: Sequence[NamedSearch],
    rules: Sequence[NamedRules],
    machine: Machine,
    curves: Curves,
    measured: Measured,
    pace: Pace | None,
    repeat: int,
) -> list[tuple[tuple[str, str], Figures]]:
    played: dict[tuple[str, str], tuple[Played, list[Curve]]] = {}
    for search in searches:
        one = seeded(search, repeat)
        for rule in rules:
            ruled = dataclasses.replace(one, early_stopping=rule.rules)
            try:
                found = play(ruled, machine, curves, Paces(measured, pace), repeat)
            except SearchError as error:
                raise SimulateError(str(error)) from error
            played[search.name, rule.name] = found
    everything = [curve for _, full in played.values() for curve in full]
    best = full_best(everything, study.objective)
    return [
        (name, figures_of(one, full, best, study.objective, machine))
        for name, (one, full) in played.items()
    ]


def play(
    study: Study, machine: Machine, curves: Curves, paces: Paces, repeat: int = 0
) -> tuple[Played, list[Curve]]:
    """One study on virtual time, and the whole curves of all its runs.

    Raises:
        SimulateError: nothing is known of how long its steps take, or its search gives nothing.
        SearchError: its searcher cannot be made, or raises.
    """
    clock = VirtualClock(machine.start_seconds)
    found = drawn(study, repeat, machine, curves)
    rules = rules_of(study.early_stopping, repeat, found, machine, lambda: clock.now)
    player = Player(
        found.source, rules, curves, paces, clock, slots=machine.slots, lanes=found.lanes
    )
    played = player.play()
    return played, [curves.of(name, run) for name, run in found.runs.items()]


def _metrics(study: Study, rules: Sequence[NamedRules]) -> list[OwnObjective]:
    """What runs must report, each once."""
    found = {one.metric: one for one in study.objectives or (study.objective,)}
    for named in rules:
        for rule in named.rules:
            if isinstance(rule, Budget):
                continue
            if rule.metric is None or rule.mode is None:
                raise SimulateError(f"{rule.name}: has no metric")
            found.setdefault(rule.metric, OwnObjective(metric=rule.metric, mode=rule.mode))
    return list(found.values())
