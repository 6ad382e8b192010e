"""The verbs of the command line as functions, for notebooks and scripts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.launch import Finish, checked_data, open_study, train
from orchestrator.launch.extend import NOTHING, extension_of
from orchestrator.plan import (
    Estimate,
    Pack,
    by_kind,
    cpus_a_pack,
    estimate,
    estimate_own,
    first_lanes,
    make_packs,
    unique_runs,
)
from orchestrator.spec import Study, Tracking, load_study
from orchestrator.store import SETTLED, Store
from orchestrator.tracking import Mirror, mirror_once, start_mirror
from trainables.configs.run import RunConfig, fusion_key

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
    runs = unique_runs(study.runs())
    folder = Path(results) / study.name
    trained, own = by_kind(runs)
    statuses: dict[str, str] = {}
    measured: dict[str, float] = {}
    took: list[float] = []
    extension = NOTHING
    if (folder / "store.sqlite").is_file():
        with Store.open(folder) as store:
            statuses = store.statuses()
            measured = _seconds_per_step(store, trained)
            took = [
                outcome.wall_seconds
                for outcome in store.outcomes()
                if outcome.run_id in own and outcome.status == "completed"
            ]
            settled = [name for name, status in statuses.items() if status in SETTLED]
            missing = {name: run for name, run in trained.items() if name not in settled}
            extension = extension_of(store, trained, missing)
    done = {name for name, status in statuses.items() if status in SETTLED}
    left = {name: run for name, run in runs.items() if name not in done}
    cores = os.cpu_count() or 1
    cpus = study.resources.cpus or 1.0
    slots = max(1, int(cores / cpus))
    slots = min(slots, study.resources.max_concurrent or slots)
    if study.adaptive:
        unknown = Estimate(None, None, "a search suggests its runs on the way")
        return Plan(study, study.size * len(study.seeds), len(done), slots, [], unknown, cpus)
    lanes, starts = study.execution.lanes, extension.starts
    if study.early_stopping and study.trainable is None:
        lanes = first_lanes(by_kind(left)[0], slots=slots, most_lanes=lanes)
    packs = make_packs(left, slots=slots, most_lanes=lanes, starts=starts) if left else []
    expected = (
        estimate(by_kind(left)[0], slots=slots, measured=measured, starts=starts)
        if study.trainable is None
        else estimate_own(len(left), slots=slots, measured=took)
    )
    if study.resources.cpus is None and packs and study.trainable is None:
        cpus = cpus_a_pack([cores], min(slots, len(packs)))
    finished = len(runs) - len(left)
    return Plan(study, len(runs), finished, slots, packs, expected, cpus, extension.line)


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


def export_results(
    folder: str | Path, output: str | Path, form: Literal["parquet", "csv"] = "parquet"
) -> list[Path]:
    """``runs`` and ``history`` as Parquet, and as CSV where asked; returns the files written.

    Of a study with populations also ``population``: who went on as whom, with what.

    Raises:
        StoreError: there is no readable store in ``folder``.
    """
    from orchestrator.store.frames import export

    with Store.open(Path(folder)) as store:
        tables = {"runs": store.runs(), "history": store.history()}
        population = store.population()
    if len(population):
        tables["population"] = population
    return export(tables, Path(output), form)


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

    Returns:
        How many W&B runs were written; 0 where it was up to date, or is off.

    Raises:
        StoreError: there is no readable store in ``folder``.
        MirrorError: W&B did not take all of it, or the study is being mirrored now.
    """
    folder = Path(folder).resolve()
    with Store.open(folder) as store:
        tracking = Tracking(**store.meta().get("tracking", {}))
    return mirror_once(folder, tracking)


def _loaded(study: Study | str | Path, overrides: Sequence[str] = ()) -> Study:
    return study if isinstance(study, Study) else load_study(study, overrides)


def _report(folder: Path) -> Path:
    from orchestrator.report import write_report  # Altair takes a second to import

    return write_report(folder)


def _finish(mirror: Mirror | None) -> str:
    return mirror.finish(_MIRROR_SECONDS) if mirror is not None else ""
