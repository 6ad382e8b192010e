"""What the driver does about workers that die, with trials of plain data in the place of Tune's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.cloudpickle as pickle
from ray.exceptions import ActorDiedError, RayTaskError

from orchestrator.launch.deaths import death_of
from orchestrator.launch.leftovers import tidy
from orchestrator.launch.recorder import Recorder
from orchestrator.launch.tasks import make_tasks
from orchestrator.spec import load_study
from orchestrator.store import Decision, Store
from orchestrator.store.faults import NODE_LOST, WORKER_DIED
from tests.store.big import outcome as outcome_of
from trainables.configs.base import Epochs, to_plain
from trainables.configs.population import Mutable, Population
from trainables.configs.run import RunConfig
from trainables.ray_pack import PackTask

LANES = 7
GONE = "The actor is dead.\nWorker exit detail: Connection error. End of file. Some common causes…"
NODE = "The actor died because its node has died. Node Id: 77"


class Driver:
    """A recorder with the trial of one pack of LANES runs; it stands in for Tune."""

    def __init__(self, folder: Path, make_run: Callable[..., RunConfig]) -> None:
        (folder / "study.yaml").write_text(
            "study: s\ndata: {name: digits}\nmodel: {name: linear}\n"
            "optimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 1, batch_size: 32}\n"
        )
        self.study = load_study(folder / "study.yaml")
        self.folder = folder
        self.runs = {f"r{lane}": make_run(seed=lane) for lane in range(LANES)}
        self.store = Store.create(folder / "s")
        self.store.plan_runs((name, run.seed, to_plain(run)) for name, run in self.runs.items())
        self.launch()

    def launch(self) -> None:
        statuses = self.store.statuses()
        left = {
            name: run for name, run in self.runs.items() if statuses[name] in ("pending", "running")
        }
        self.tasks = make_tasks(
            self.study, self.store, self.runs, left, 1, {"CPU": 1.0, "GPU": 0.0}, [1]
        )
        self.recorder = Recorder(
            self.store, dict(enumerate(self.tasks)), lambda rows, outcomes: None
        )
        self.trials = [
            SimpleNamespace(config={"pack": index}, pickled_error_file=None, error_file=None)
            for index in range(len(self.tasks))
        ]
        for trial in self.trials:
            trial.set_config = lambda config, trial=trial: setattr(trial, "config", config)

    def parts(self, trial: int = 0) -> list[PackTask]:
        return self.recorder._parts(self.trials[trial])

    def lanes(self, trial: int = 0) -> list[list[str]]:
        return [[name for name, _ in part.runs] for part in self.parts(trial)]

    def start(self, trial: int = 0) -> None:
        self.recorder.on_trial_start(0, [], self.trials[trial])

    def die(self, text: str = GONE, trial: int = 0, *, raised: bool = False) -> None:
        error: Exception = RuntimeError(text)
        if raised:
            error = RayTaskError("step", text, ValueError("x"))
        (self.folder / "error.pkl").write_bytes(pickle.dumps(error))
        self.trials[trial].pickled_error_file = str(self.folder / "error.pkl")
        self.recorder.on_trial_recover(0, [], self.trials[trial])
        self.start(trial)

    def report(
        self,
        steps: int,
        trial: int = 0,
        *,
        finished: bool = False,
        probes: Sequence[dict[str, Any]] = (),
    ) -> None:
        status = "completed" if finished else "running"
        numbers = {"epochs": 1.0, "examples": 1, "wall_seconds": 0.1, "reason": ""}
        progress = [
            {"run_id": name, "lane": lane, "status": status, "steps": steps, **numbers}
            | {"error": "", "final": {}, "best": {}}
            for lane, (name, _) in enumerate(self.parts(trial)[0].runs)
        ]
        result = {
            "progress": progress,
            "rows": [],
            "choices": [],
            "notes": {},
            "threads": 1,
            "events": [],
            "probes": probes,
        }
        self.recorder.on_trial_result(0, [], self.trials[trial], result | {"finished": finished})


@pytest.fixture(name="driver")
def _driver(tmp_path: Path, make_run: Callable[..., RunConfig]) -> Driver:
    driver = Driver(tmp_path, make_run)
    driver.start()
    return driver


NAMES = [f"r{lane}" for lane in range(LANES)]


def test_a_pack_is_halved_at_the_third_death_in_a_row_and_its_parts_at_the_first(
    driver: Driver,
) -> None:
    driver.die()
    driver.die()
    assert driver.lanes() == [NAMES]
    driver.die()
    assert driver.lanes() == [NAMES[:4], NAMES[4:]]
    driver.die()
    assert driver.lanes() == [NAMES[:2], NAMES[2:4], NAMES[4:]]
    assert [len(part.ancestors) for part in driver.parts()] == [2, 2, 1]
    driver.report(5, finished=True)
    assert driver.lanes() == [NAMES[2:4], NAMES[4:]]
    driver.die()
    driver.die()
    driver.die()
    assert driver.lanes() == [NAMES[2:3], NAMES[3:4], NAMES[4:]]
    driver.die()
    assert driver.lanes() == [NAMES[3:4], NAMES[4:]]
    statuses = driver.store.statuses()
    assert [name for name in NAMES if statuses[name] == "failed"] == ["r2"]
    (failed,) = [o for o in driver.store.outcomes() if o.status == "failed"]
    assert failed.reason == (
        "killed its worker 3 times in a row: the process was gone (Connection error. End of file)"
    )
    driver.report(5, finished=True)
    driver.report(5, finished=True)
    assert driver.lanes() == []
    assert sorted(set(driver.store.statuses().values())) == ["completed", "failed"]
    counts = driver.store.fault_counts()
    assert counts == {WORKER_DIED: 8, "pack split": 3, "pack given up": 1}


def test_progress_between_deaths_forgives_them_up_to_a_hundred(driver: Driver) -> None:
    for steps in range(1, 50):
        driver.die()
        driver.die()
        driver.report(steps)
    assert driver.lanes() == [NAMES]
    driver.die()
    driver.report(50)
    driver.die()
    assert driver.lanes() == [NAMES[:4], NAMES[4:]]


def test_replayed_reports_are_no_progress(driver: Driver) -> None:
    driver.report(1)
    driver.report(2)
    for _ in range(3):
        driver.die()
        driver.report(1)
        driver.report(2)
    assert driver.lanes() == [NAMES[:4], NAMES[4:]]


def test_lost_nodes_are_counted_but_are_not_the_packs_fault(driver: Driver) -> None:
    for _ in range(5):
        driver.die(NODE)
    assert driver.lanes() == [NAMES]
    assert driver.store.fault_counts() == {NODE_LOST: 5}


def test_a_population_is_not_split_and_fails_for_how_its_worker_died(driver: Driver) -> None:
    members = Population(
        size=LANES,
        interval=Epochs(epochs=1),
        quantile=0.3,
        resample=0.25,
        factors=(0.8, 1.2),
        seed=0,
        metric="valid/loss",
        mode="min",
        space=(Mutable(name="lr", low=0.1, high=1.0, log=True),),
        members="",
    )
    whole = driver.tasks[0]
    runs = tuple((name, dataclasses.replace(run, population=members)) for name, run in whole.runs)
    driver.recorder._tasks = {0: dataclasses.replace(whole, runs=runs)}
    for _ in range(3):
        driver.die()
    assert driver.lanes() == []
    assert driver.store.fault_counts() == {WORKER_DIED: 3, "pack given up": 1}
    reasons = {outcome.reason for outcome in driver.store.outcomes()}
    assert reasons == {
        "killed its worker 3 times in a row: the process was gone (Connection error. End of file)"
    }


def test_what_a_worker_raises_fails_the_pack_with_its_traceback(driver: Driver) -> None:
    trace = "Traceback (most recent call last):\nImportError: no such library"
    for _ in range(3):
        driver.die(trace, raised=True)
    assert driver.lanes() == []
    assert set(driver.store.statuses().values()) == {"failed"}
    outcome = driver.store.outcomes()[0]
    assert "ImportError: no such library\n" in outcome.error
    assert outcome.reason.startswith("the worker raised 3 times in a row: ")


def test_a_study_that_stops_in_the_middle_goes_on_with_the_halves(driver: Driver) -> None:
    for _ in range(4):
        driver.die()
    planned, folders = driver.lanes(), [part.folder for part in driver.parts()]
    driver.report(5, finished=True)
    driver.store.close()
    driver.store = Store.create(driver.folder / "s")
    driver.launch()
    tasks = {task.folder: task for task in driver.tasks}
    assert sorted(tasks) == sorted(folders[1:])
    for folder, names in zip(folders[1:], planned[1:], strict=True):
        assert [name for name, _ in tasks[folder].runs] == names
        assert tasks[folder].ancestors
    # What was counted before counts on: a part is halved at its first death.
    index = driver.tasks.index(tasks[folders[1]])
    driver.start(index)
    driver.die(trial=index)
    assert driver.lanes(index) == [NAMES[2:3], NAMES[3:4]]


def test_a_failed_run_has_all_its_tries_again_in_the_next_launch(driver: Driver) -> None:
    for _ in range(9):
        driver.die()
    failed = [name for name, status in driver.store.statuses().items() if status == "failed"]
    assert failed
    driver.store.plan_packs([(driver.store.packs()[0]["pack_id"], failed, {})])
    pack_id = next(p["pack_id"] for p in driver.store.packs() if p["run_ids"] == failed[:1])
    assert driver.store.note_death(pack_id, WORKER_DIED, "", 0).in_a_row == 1


def test_checkpoints_stay_until_no_part_needs_them(driver: Driver) -> None:
    whole = driver.parts()[0].folder
    whole.mkdir(parents=True)
    for _ in range(3):
        driver.die()
    first, second = driver.parts()
    for part in (first, second):
        part.folder.mkdir()
    driver.report(5, finished=True)
    assert whole.exists()
    assert not first.folder.exists()
    driver.report(5, finished=True)
    assert not whole.exists()


def test_what_a_driver_killed_at_the_end_of_a_pack_leaves_is_removed(driver: Driver) -> None:
    for _ in range(3):
        driver.die()
    parts = driver.parts()
    for folder in (parts[0].folder, parts[1].folder, parts[0].ancestors[0]):
        folder.mkdir(parents=True)
    done = [outcome_of(name) for name, _ in parts[0].runs]
    driver.store.record(parts[0].pack_id, [], done)
    tidy(driver.store)
    assert not parts[0].folder.exists()
    assert parts[1].folder.exists()
    assert parts[1].ancestors[0].exists()


def test_checkpoints_stay_while_only_runs_that_joined_train(driver: Driver) -> None:
    for _ in range(3):
        driver.die()
    first, second = driver.parts()
    for folder in (second.folder, second.ancestors[0]):
        folder.mkdir(parents=True)
    own = [outcome_of(name) for name, _ in second.runs]
    joins = Decision(pack_id=second.pack_id, report=3, join=("j",))
    driver.store.add_runs([("j", 0, to_plain(driver.runs["r0"]))])
    driver.store.record(second.pack_id, [], own, report=3, decision=joins)
    done = [outcome_of(name) for name, _ in first.runs]
    driver.store.record(first.pack_id, [], done)
    tidy(driver.store)
    assert second.folder.exists()
    assert second.ancestors[0].exists()


def test_rays_words_for_the_ends_of_workers() -> None:
    memory = "1 worker(s) were killed due to the node running low on memory. 7 GB used"
    assert "ran low on memory" in death_of(memory, raised=False).detail
    assert death_of(NODE, raised=False).kind == NODE_LOST
    assert death_of(str(ActorDiedError()), raised=False).kind == WORKER_DIED
