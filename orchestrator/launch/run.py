"""Runs a study on Ray: what is missing in the store is planned, packed and trained."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.launch.check import LaunchError, check, load_data
from orchestrator.launch.facts import git_state, machine, versions
from orchestrator.launch.local_ray import prepare_environment, ray_cluster
from orchestrator.plan import make_packs, unique_runs
from orchestrator.plan.packs import work
from orchestrator.progress import Tally, display
from orchestrator.spec.study import Study
from orchestrator.store import Store
from trainables.configs.base import to_plain
from trainables.configs.run import RunConfig
from trainables.data import DataSet

DONE = ("completed", "stopped", "diverged")
_WORKER_DEATHS = 3
"""How often a pack whose worker died is started again before its runs count as failed."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How a launch ended."""

    folder: Path
    statuses: Mapping[str, int]
    interrupted: bool
    seconds: float


@contextlib.contextmanager
def open_study(study: Study, results: Path, *, command: str) -> Iterator[Store]:
    """The store of ``results/<study>``, with the study's runs planned in it, for one driver.

    What the store holds already stays: the same call after any end goes on, and a study that
    gained runs adds only those.

    Args:
        command: how to run the study again, for the report.

    Raises:
        LaunchError: the folder is in use or cannot be written.
        StoreError: the store there is damaged or of another version.
    """
    folder = (results / study.name).resolve()
    with _lock(folder), Store.create(folder) as store:
        _describe(store, study, command)
        runs = unique_runs(study.runs())
        store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
        yield store


def train(study: Study, store: Store) -> Finish:
    """Trains every run of the study that the store does not hold yet; failed ones again.

    Raises:
        LaunchError: the study does not fit its data or the cluster's resources.
    """
    runs = unique_runs(study.runs())
    left = {name: runs[name] for name, s in store.statuses().items() if s not in DONE}
    lengths = {name: work(run) for name, run in runs.items()}
    tally = Tally(study.objective, lengths, store.outcomes())
    interrupted = bool(left) and _train(study, store, runs, left, tally)
    store.set_meta(
        finished=None if interrupted else _now(),
        wall_seconds=store.meta().get("wall_seconds", 0.0) + tally.seconds,
        strategies=_strategies(store),
    )
    statuses = Counter(store.statuses().values())
    return Finish(store.folder, dict(statuses), interrupted, tally.seconds)


def _train(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    tally: Tally,
) -> bool:
    """Trains the runs that are left; True where the user interrupted it."""
    sys.path.insert(0, str(study.path.resolve().parent))
    prepare_environment()
    try:
        with ThreadPoolExecutor(1) as thread:
            # Starting Ray is mostly waiting for processes: the data load meanwhile.
            loading = thread.submit(_checked_data, left)
            with ray_cluster() as resources:
                _tune(study, store, runs, left, loading.result(), resources, tally)
    except KeyboardInterrupt:
        return True
    return False


def _checked_data(left: Mapping[str, RunConfig]) -> dict[str, DataSet]:
    data = load_data(left.values())
    check(left.values(), data)
    return data


def _tune(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    data: Mapping[str, DataSet],
    resources: dict[str, float],
    tally: Tally,
) -> None:
    from ray import tune

    from orchestrator.launch.recorder import Recorder
    from trainables.ray_pack import RayPack

    slots = _slots(study, resources)
    tasks = _tasks(study, store, runs, left, slots)
    store.set_meta(machine=machine(resources), slots=slots)
    asked = {"CPU": study.resources.cpus, "GPU": study.resources.gpus}
    scratch = store.folder / ".tune"
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(RayPack, tasks=tasks, data=dict(data)), asked),
        param_space={"pack": tune.grid_search(list(range(len(tasks))))},
        tune_config=tune.TuneConfig(
            reuse_actors=True, max_concurrent_trials=study.resources.max_concurrent or 0
        ),
        run_config=tune.RunConfig(
            name="packs",
            storage_path=str(scratch),
            verbose=0,
            # Packs keep checkpoints of their own; Tune is not to ask for any.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=_WORKER_DEATHS),
            callbacks=[Recorder(store, tasks, tally.observe)],
        ),
    )
    try:
        with display(tally, study.name):
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _tasks(
    study: Study,
    store: Store,
    runs: Mapping[str, RunConfig],
    left: Mapping[str, RunConfig],
    slots: int,
) -> list[Any]:
    """Packs that were interrupted, as they were, and new ones for the other runs."""
    from trainables.ray_pack import PackTask

    threads = max(1, int(study.resources.cpus))
    device = "cuda" if study.resources.gpus else "cpu"
    fresh_settings = {
        "strategy": study.execution.strategy,
        "widths": None,
        "threads": threads,
        "device": device,
    }
    resumed = {
        pack["pack_id"]: pack
        for pack in store.packs()
        if pack["status"] == "running"
        and any(run_id in left for run_id in pack["run_ids"])
        and all(run_id in runs for run_id in pack["run_ids"])
    }
    taken = {run_id for pack in resumed.values() for run_id in pack["run_ids"]}
    rest = {name: run for name, run in left.items() if name not in taken}
    packs = [
        (pack_id, pack["run_ids"], {key: pack["settings"][key] for key in fresh_settings})
        for pack_id, pack in resumed.items()
    ]
    if rest:
        packs += [
            (pack.pack_id, pack.run_ids, fresh_settings)
            for pack in make_packs(rest, slots=slots, most_lanes=study.execution.lanes)
        ]
    return [
        PackTask(
            pack_id=pack_id,
            runs=tuple((run_id, runs[run_id]) for run_id in run_ids),
            settings=settings,
            folder=store.folder / "packs" / pack_id,
            checkpoint_every=study.execution.checkpoint_every,
            import_from=str(study.path.resolve().parent),
        )
        for pack_id, run_ids, settings in packs
    ]


def _slots(study: Study, resources: Mapping[str, float]) -> int:
    """How many packs train at the same time."""
    asked = {"CPU": study.resources.cpus, "GPU": study.resources.gpus}
    slots = []
    for kind, amount in asked.items():
        present = resources.get(kind, 0.0)
        if amount > present:
            raise LaunchError(
                f"resources.{kind.lower()}s: a pack asks for {amount:g}, there are {present:g}"
            )
        if amount:
            slots.append(int(present / amount))
    return min([*slots, study.resources.max_concurrent or slots[0]])


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Only one driver at a time writes a study; the system drops the lock when it dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise LaunchError(f"{folder}: cannot write there ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LaunchError(f"{folder}: another `regatta run` is at work there") from error
        yield


def _describe(store: Store, study: Study, command: str) -> None:
    store.set_meta(
        study=study.name,
        spec=study.text,
        spec_path=str(study.path),
        overrides=study.overrides,
        axes=to_plain(study.axes),
        seeds=study.seeds,
        objective=to_plain(study.objective),
        report=to_plain(study.report),
        command=command,
        started=store.meta().get("started") or _now(),
        finished=None,
        versions=versions(),
        git=git_state(study.path.resolve().parent),
    )


def _strategies(store: Store) -> list[dict[str, Any]]:
    """How each pack was trained, and how fast, for the report."""
    return [
        {
            "pack_id": pack["pack_id"],
            "lanes": choice["lanes"],
            "strategy": choice["strategy"],
            "width": choice["width"],
            "reason": choice["reason"],
            "steps_per_second": 1 / seconds if (seconds := choice["seconds_per_step"]) else None,
        }
        for pack in store.packs()
        for choice in pack["settings"].get("choices", [])
    ]


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
