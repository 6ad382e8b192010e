"""The verbs of the command line as functions, for notebooks and scripts."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.exports import export_figures as export_figures
from orchestrator.exports import export_latex as export_latex
from orchestrator.exports import export_results as export_results
from orchestrator.exports import export_tickets as export_tickets
from orchestrator.launch import Finish, checked_data, open_study, train
from orchestrator.launch.extend import NOTHING, Extension, extension_of
from orchestrator.launch.planned import is_on_demand
from orchestrator.plan import (
    Estimate,
    Memory,
    Networks,
    Pack,
    by_kind,
    cpus_a_pack,
    estimate,
    estimate_own,
    expected_memory,
    first_lanes,
    limit_a_pack,
    make_packs,
    networks_planned,
    unique_runs,
)
from orchestrator.plan.searched import sample_runs, search_lanes
from orchestrator.search.known import kept_suggestions
from orchestrator.spec import Study, Tracking, load_study
from orchestrator.store import SETTLED, Store
from orchestrator.tracking import Mirror, mirror_once, start_mirror
from trainables.configs.run import RunConfig, fusion_key

if TYPE_CHECKING:
    from orchestrator.simulate import Simulation

_SAMPLE = 64
"""Configurations of a space from which the time of a search is reckoned."""
_MIRROR_SECONDS = 180.0
"""How long the end of a study waits for W&B; what is missing then is `regatta sync`'s."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What running a study would do on this machine."""

    study: Study
    runs: int
    finished: int
    """Runs that the store in the results folder holds already."""
    slots: int
    packs: list[Pack]
    estimate: Estimate
    cpus: float
    """What a pack takes, and its threads."""
    extension: str = ""
    """Which runs go on from shorter ones, and why others do not; empty where none has one."""
    networks: Networks | None = None
    """Of a study of lottery tickets."""
    memory: Memory | None = None
    """What the largest pack takes; None where no run is left, or a model or data is not known."""


@dataclass(frozen=True, slots=True)
class Result:
    """How running a study ended."""

    finish: Finish
    report: Path | None
    tracking: str
    """One sentence on W&B; empty where it is off."""


def plan_study(study: Study | str | Path, results: str | Path = "results") -> Plan:
    """Runs, packs and expected time; starts nothing.

    Raises:
        SpecError: the study is malformed.
        StoreError: the results folder holds a damaged store.
    """
    study = _loaded(study)
    folder = Path(results) / study.name
    cores = os.cpu_count() or 1
    cpus = study.resources.cpus or 1.0
    slots = max(1, int(cores / cpus))
    slots = min(slots, study.resources.max_concurrent or slots)
    if study.adaptive:
        return _plan_search(study, folder, slots)
    runs = unique_runs(study.runs())
    trained, own = by_kind(runs)
    known = _known(study, folder, trained, own)
    measured, extension = known.measured, known.extension
    done = {name for name, status in known.statuses.items() if status in SETTLED}
    left = {name: run for name, run in runs.items() if name not in done}
    lanes, starts = study.execution.lanes, extension.starts
    if study.early_stopping and study.trainable is None:
        lanes = first_lanes(by_kind(left)[0], slots=slots, most_lanes=lanes)
    packs = make_packs(left, slots=slots, most_lanes=lanes, starts=starts) if left else []
    expected = (
        estimate(by_kind(left)[0], slots=slots, measured=measured, starts=starts)
        if study.trainable is None
        else estimate_own(len(left), slots=slots, measured=known.took)
    )
    if study.resources.cpus is None and packs and study.trainable is None:
        cpus = cpus_a_pack([cores], min(slots, len(packs)))
    finished = len(runs) - len(left)
    networks = networks_planned(trained, study.procedures, slots=slots, measured=measured)
    trained = by_kind(left)[0]
    sizes = (  # the first of a pack is the longest
        (trained[pack.run_ids[0]], pack.lanes) for pack in packs if trained
    )
    held = expected_memory(sizes, limit_a_pack(study.resources.gpus, min(slots, len(packs))))
    return Plan(
        study,
        len(runs),
        finished,
        slots,
        packs,
        expected,
        cpus,
        extension.line,
        networks=networks,
        memory=held,
    )


class _Known(NamedTuple):
    """What the store has of a study's runs."""

    statuses: Mapping[str, str] = MappingProxyType({})
    measured: Mapping[str, float] = MappingProxyType({})
    """See ``_seconds_per_step``."""
    took: Sequence[float] = ()
    """Seconds of each run of a user's own training that has completed."""
    extension: Extension = NOTHING


def _known(
    study: Study, folder: Path, trained: Mapping[str, RunConfig], own: Container[str]
) -> _Known:
    """Nothing where the study has not begun."""
    if not (folder / "store.sqlite").is_file():
        return _Known()
    with Store.open(folder) as store:
        statuses = store.statuses()
        ended = [one for one in store.outcomes() if one.run_id in own]
        settled = [name for name, status in statuses.items() if status in SETTLED]
        missing = {name: run for name, run in trained.items() if name not in settled}
        return _Known(
            statuses,
            _seconds_per_step(store, trained),
            [one.wall_seconds for one in ended if one.status == "completed"],
            extension_of(store, trained, missing, on_demand=is_on_demand(study, store)),
        )


def _plan_search(study: Study, folder: Path, slots: int) -> Plan:
    """Of a search that suggests its configurations: no packs are known, and time is reckoned
    from a sample of its space."""
    runs, left = study.size * len(study.seeds), study.size
    measured: dict[str, float] = {}
    finished = 0
    if (folder / "store.sqlite").is_file():
        with Store.open(folder) as store:
            statuses = store.statuses()
            kept = kept_suggestions(study, store)
            done = [one for one in kept if all(statuses.get(name) in SETTLED for name in one.runs)]
            finished, left = len(done) * len(study.seeds), max(0, left - len(done))
            known = by_kind({name: run for one in kept for name, run in one.runs.items()})[0]
            measured = _seconds_per_step(store, known)
    sample = by_kind(unique_runs(sample_runs(study, _SAMPLE)))[0] if left else {}
    expected = estimate(sample, slots=slots, measured=measured)
    if study.trainable is not None:
        expected = estimate_own(left, slots=slots, measured=[])
    elif sample:
        expected = expected.times(left * len(study.seeds) / len(sample))
    cpus = study.resources.cpus or 1.0
    lanes = search_lanes(study, slots)
    packs = math.ceil(left * len(study.seeds) / lanes)
    if study.resources.cpus is None and study.trainable is None and left:
        cpus = cpus_a_pack([os.cpu_count() or 1], min(slots, packs))
    limit = limit_a_pack(study.resources.gpus, min(slots, packs))
    held = expected_memory(((config, lanes) for config in sample.values()), limit)
    return Plan(study, runs, finished, slots, [], expected, cpus, memory=held)


def _seconds_per_step(store: Store, runs: Mapping[str, RunConfig]) -> dict[str, float]:
    """Fusion key → seconds for one step of one lane, as measured."""
    measured: dict[str, float] = {}
    for pack in store.packs():
        known = next((r for r in pack["run_ids"] if r in runs), None)
        for choice in pack["settings"].get("choices", []):
            if known is not None and choice["seconds_per_step"]:
                measured[fusion_key(runs[known])] = choice["seconds_per_step"]
    return measured


def run_study(
    study: Study | str | Path,
    results: str | Path = "results",
    *,
    overrides: Sequence[str] = (),
    command: str = "",
    report: bool = True,
) -> Result:
    """Runs a study, or goes on where it stopped; then writes its report.

    Args:
        overrides: ``path=value``, as ``--set`` takes them.
        command: how to run it again, for the report.

    Raises:
        SpecError, LaunchError, StoreError: the study cannot be run as it stands.
    """
    study = _loaded(study, overrides)
    with open_study(study, Path(results), command=command) as store:
        data = checked_data(study, store)
        mirror = start_mirror(store.folder, study.tracking)
        page: Path | None = None
        try:
            finish = train(study, store, data)
            page = _report(store.folder) if report else None
        finally:
            sentence = _finish(mirror)
    return Result(finish, page, sentence)


def simulate_study(
    study: Study | str | Path,
    *,
    curves: str | Path | None = None,
    searches: Sequence[str] = (),
    rules: Sequence[str] = (),
    gpus: float | None = None,
    slots: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    noise: float = 0.01,
    step_seconds: tuple[float, float] | None = None,
    overrides: Sequence[str] = (),
) -> Simulation:
    """Plays searches and rules of early stopping on virtual time; nothing is trained.

    Args:
        curves: the results folder of a study whose curves are replayed; None: synthetic ones.
        searches, rules: names, or what a study writes, such as ``{name: asha, reduction: 4}``;
            by default the study's own. The rule ``none`` stops nothing.
        gpus, slots: size of the virtual machine; by default one GPU.
        seed: of the first repeat; with 0, that one is the study as it is.
        noise: of synthetic curves.
        step_seconds: what a step of a stack takes, and what each of its lanes adds; by default as
            measured in ``curves``, or as ``plan_study`` has it.

    Raises:
        SpecError: the study, a search or a rule is malformed.
        SimulateError, StoreError: it cannot be simulated.
    """
    # Only this function needs it.
    from orchestrator.simulate import (
        Pace,
        SimulateError,
        compare,
        machine_for,
        named_rules,
        named_searches,
    )

    study = _loaded(study, overrides)
    for name, number, least in (("repeats", repeats, 1), ("seed", seed, 0), ("noise", noise, 0)):
        if not least <= number < math.inf:
            raise SimulateError(f"--{name}: must be at least {least}, got {number:g}")
    if step_seconds is not None and not all(0 <= part < math.inf for part in step_seconds):
        raise SimulateError("--step-seconds: must be two numbers of 0 or more")
    if step_seconds is not None and sum(step_seconds) == 0:
        raise SimulateError("--step-seconds: must not both be 0")
    pace = None if step_seconds is None else Pace(step=step_seconds[0], lane=step_seconds[1])
    return compare(
        study,
        named_searches(study, searches),
        named_rules(study, rules),
        machine_for(study, gpus=gpus, slots=slots),
        curves=None if curves is None else Path(curves),
        pace=pace,
        repeats=repeats,
        seed=seed,
        noise=noise,
    )


def compare_studies(
    folders: Sequence[str | Path],
    output: str | Path = "comparison.html",
    *,
    figures: bool = True,
) -> Path:
    """Writes one report on several studies; returns the HTML file. See ``docs/compare.md``.

    Args:
        folders: of two studies or more, finished or not.
        figures: also each figure as SVG, PNG and CSV in ``figures/`` beside it.

    Raises:
        CompareError: nothing is shared that they could be compared by, or one has no results.
        StoreError: there is no readable store in one of the folders.
    """
    from orchestrator.report.compare import write_comparison

    return write_comparison([Path(folder) for folder in folders], Path(output), figures=figures)


def replay_study(folder: str | Path, run: str | None = None) -> str:
    """A study, as YAML, that trains one run alone with all that has changed on its way.

    Args:
        run: by default the one with the best final objective.

    Raises:
        StoreError: there is no readable store in ``folder``, or no such run in it.
    """
    from orchestrator.replay import replay

    with Store.open(Path(folder)) as store:
        return replay(store, run)


def sync_study(folder: str | Path) -> int:
    """Brings W&B up to a study's store, as the study's ``tracking`` says.

    A study without a report has it written first, so that W&B holds it.

    Returns:
        How many W&B runs were written; 0 where it was up to date, or is off.

    Raises:
        StoreError: there is no readable store in ``folder``.
        MirrorError: W&B did not take all of it, or the study is being mirrored now.
    """
    folder = Path(folder).resolve()
    with Store.open(folder) as store:
        tracking = Tracking(**store.meta().get("tracking", {}))
        begun = any(status != "pending" for status in store.statuses().values())
    if tracking.wandb != "off" and begun and not (folder / "report.html").exists():
        _report(folder)
    return mirror_once(folder, tracking)


def _loaded(study: Study | str | Path, overrides: Sequence[str] = ()) -> Study:
    return study if isinstance(study, Study) else load_study(study, overrides)


def _report(folder: Path) -> Path:
    from orchestrator.report import write_report  # Altair takes a second to import

    return write_report(folder)


def _finish(mirror: Mirror | None) -> str:
    return mirror.finish(_MIRROR_SECONDS) if mirror is not None else ""
