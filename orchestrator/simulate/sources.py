"""Where a simulated study takes its runs from: as a launch would, from the first run on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.early_stopping import Clock, Rules, make_rules
from orchestrator.plan import by_kind, make_packs, unique_runs
from orchestrator.plan.packs import first_lanes
from orchestrator.plan.searched import sample_runs, search_lanes, suggestions_a_pack
from orchestrator.search import DesignSource, Source
from orchestrator.simulate.curve import Curves, SimulateError
from orchestrator.simulate.machine import Machine
from orchestrator.spec.searches import Optuna
from orchestrator.spec.stopping_rules import Asha, StoppingRule
from orchestrator.spec.study import Study
from orchestrator.store import Outcome
from trainables.configs.function_run import Run
from trainables.configs.run import run_id

_SAMPLE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """One search of one repeat: where its runs come from."""

    source: Source
    lanes: int
    """Runs in a new pack, at most."""
    runs: dict[str, Run]
    """Those of the design; of an adaptive search, those that it has suggested so far."""
    clocks: dict[str, Clock]


class PlannedPacks:
    """The packs of a fixed design that nothing stops: made beforehand, never filled up."""

    def __init__(self, packs: Sequence[Mapping[str, Any]]) -> None:
        self._left = list(reversed(packs))

    def take(self, lanes: int, key: str | None) -> dict[str, Any]:
        """See ``Source.take``."""
        return dict(self._left.pop()) if key is None and self._left else {}

    def tell(self, outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> None:
        """A fixed design learns nothing."""


def drawn(study: Study, repeat: int, machine: Machine, curves: Curves) -> Drawn:
    """The source of a study's runs.

    Args:
        repeat: 0: as the study is; other numbers draw other orders, and other suggestions.

    Raises:
        SearchError, SimulateError: the search cannot be made.
    """
    return _adaptive(study, repeat, machine, curves) if study.adaptive else _design(
        study, repeat, machine, curves
    )  # fmt: skip


def _design(study: Study, repeat: int, machine: Machine, curves: Curves) -> Drawn:
    runs = unique_runs(study.runs())
    slots, most = machine.slots, study.execution.lanes
    trained, own = by_kind(runs)
    source: Source
    if study.early_stopping and trained:
        source, lanes = DesignSource(trained, _order(repeat)), first_lanes(
            trained, slots=slots, most_lanes=most
        )  # fmt: skip
    else:
        packs = make_packs(runs, slots=slots, most_lanes=most)
        ids = [pack.run_ids for pack in packs]
        if own and repeat:
            ids.sort(key=lambda names: _shuffled(repeat, names[0]))
        source, lanes = PlannedPacks([{name: runs[name] for name in some} for some in ids]), 1
    clocks = {name: curves.clock(run) for name, run in runs.items()}
    return Drawn(source=source, lanes=lanes, runs=dict(runs), clocks=clocks)


def _order(repeat: int) -> Callable[[str], str] | None:
    return None if repeat == 0 else lambda name: _shuffled(repeat, name)


def _shuffled(repeat: int, name: str) -> str:
    return hashlib.sha256(f"{repeat}:{name}".encode()).hexdigest()


def _adaptive(study: Study, repeat: int, machine: Machine, curves: Curves) -> Drawn:
    # These need the searcher's package, and take a second.
    from orchestrator.search.adaptive import AdaptiveSource, Asked
    from orchestrator.search.known import check_space, first_suggestions
    from orchestrator.search.searchers import Warm, make_advisor

    if isinstance(study.search, Optuna) and repeat:
        seeded = dataclasses.replace(study.search, seed=study.search.seed + repeat)
        study = dataclasses.replace(study, search=seeded)
    runs: dict[str, Run] = {}
    clocks = {run_id(run): curves.clock(run) for run in sample_runs(study, _SAMPLE)}

    def keep(one: Asked) -> None:
        runs.update(one.runs)
        clocks.update((name, curves.clock(run)) for name, run in one.runs.items())

    assert study.space is not None
    if (why := check_space(study.space)) is not None:
        raise SimulateError(why)
    advisor = make_advisor(study, Warm(first=first_suggestions(study)))
    at_once = suggestions_a_pack(study, machine.slots) * machine.slots
    source = AdaptiveSource(study, advisor, keep=keep, outstanding=at_once)
    return Drawn(source=source, lanes=search_lanes(study, machine.slots), runs=runs, clocks=clocks)


def rules_of(
    rules: Sequence[StoppingRule],
    repeat: int,
    found: Drawn,
    machine: Machine,
    elapsed: Callable[[], float],
) -> Rules:
    """The rules on virtual time."""
    seeded = [
        dataclasses.replace(rule, seed=rule.seed + repeat) if isinstance(rule, Asha) else rule
        for rule in rules
    ]
    return make_rules(
        seeded, found.clocks, elapsed=elapsed, gpus=machine.gpus_a_pack, cpus=machine.cpus_a_pack
    )
