"""Packs of lottery studies: what is trained where, and what waits for what; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.launch.bisect import without_orphans as parts_without_orphans
from orchestrator.launch.extend import Origin, extension_of, runs_folder
from orchestrator.launch.in_order import ORPHANED, waiting, without_orphans
from orchestrator.launch.planned import is_on_demand
from orchestrator.launch.recorder import Recorder
from orchestrator.launch.tasks import make_tasks
from orchestrator.plan import by_kind, unique_runs
from orchestrator.plan.trees import descendants, parents
from orchestrator.progress import Tally
from orchestrator.spec import Objective, Study, load_study
from orchestrator.store import Decision, Store
from tests.launch.test_bisect import GONE
from tests.store.big import outcome
from trainables.configs import RunConfig
from trainables.configs.base import to_plain
from trainables.ray_pack import PackTask

STUDY = """\
study: small
data: {name: digits}
model: {name: mlp, hidden: [3]}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 10, batch_size: 32}
seeds: 2
procedure: {name: lottery, levels: 3, controls: [shuffled], children: 1, children_at: [2]}
"""
A_TREE = 1 + 3 * 2 + 1
CPU = {"CPU": 1.0, "GPU": 0.0}
PER_EPOCH = 36


@pytest.fixture(name="spec")
def _spec(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "results" / "small")


def runs_of(study: Study) -> dict[str, RunConfig]:
    return by_kind(unique_runs(study.runs()))[0]


def plan(study: Study, store: Store) -> dict[str, RunConfig]:
    """Plans the study's runs as a launch does; returns those that are left."""
    runs = runs_of(study)
    store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
    statuses = store.statuses()
    return {name: run for name, run in runs.items() if statuses[name] in ("pending", "running")}


def tasks_of(
    study: Study, store: Store, left: dict[str, RunConfig], slots: int = 1
) -> list[PackTask]:
    return make_tasks(study, store, runs_of(study), left, slots, CPU, [slots])


def end(store: Store, names: Any, pack: str = "p", **values: Any) -> None:
    store.record(pack, [], [outcome(name, **values) for name in names])


def level(run: RunConfig) -> int:
    return run.lottery.level if run.lottery else 0


def test_trees_are_packed_whole_and_every_final_state_is_kept(spec: Path, store: Store) -> None:
    study = load_study(spec)
    tasks = tasks_of(study, store, plan(study, store), slots=2)
    assert [len(task.runs) for task in tasks] == [A_TREE, A_TREE]
    assert all(task.save for task in tasks)
    for task in tasks:
        assert len({run.seed for _, run in task.runs}) == 1
    plain = load_study(spec, ["procedure={name: train}"])
    assert not any(task.save for task in tasks_of(plain, store, plan(plain, store)))


def test_what_a_study_gains_is_all_that_is_packed(spec: Path, store: Store) -> None:
    study = load_study(spec)
    end(store, plan(study, store))
    changes = ["seeds=3", "procedure.levels=4", "procedure.controls=[shuffled, signs]"]
    wider = load_study(spec, changes)
    left = plan(wider, store)
    # Of an old tree a level of three kinds, and signs at the three that there were.
    assert len(left) == 2 * (3 + 3) + (1 + 4 * 3 + 1)
    assert waiting(store, runs_of(wider), left) == set()
    tasks = tasks_of(wider, store, left, slots=2)
    assert sorted(name for task in tasks for name, _ in task.runs) == sorted(left)


def test_networks_of_an_interrupted_tree_wait_for_its_pack(spec: Path, store: Store) -> None:
    study = load_study(spec)
    left = plan(study, store)
    (before,) = tasks_of(study, store, left)
    names = [name for name, run in left.items() if level(run) == 0]
    end(store, names)
    wider = load_study(spec, ["procedure.levels=4", "procedure.controls=[shuffled, signs]"])
    left, runs = plan(wider, store), runs_of(wider)
    later = waiting(store, runs, left)
    # Signs at level 1 need the dense network alone, which has ended.
    assert {(level(runs[name]), runs[name].lottery.control) for name in later} == {  # type: ignore[union-attr]
        *((4, None), (4, "shuffled"), (4, "signs"), (2, "signs"), (3, "signs"))
    }
    now = {name: run for name, run in left.items() if name not in later}
    tasks = tasks_of(wider, store, now)
    assert {name for name, _ in tasks[0].runs} == {name for name, _ in before.runs}
    assert {level(run) for _, run in tasks[1].runs} == {1}
    end(store, now)
    for task in tasks:
        store.set_pack(task.pack_id, status="completed", settings={})
    assert waiting(store, runs, plan(wider, store)) == set()


def test_parts_of_a_split_pack_are_resumed_in_their_order(spec: Path, store: Store) -> None:
    study = load_study(spec, ["seeds=1"])
    left = plan(study, store)
    (task,) = tasks_of(study, store, left)
    names = [name for name, _ in task.runs]
    store.split_pack(task.pack_id, [("one", names[:4]), ("two", names[4:])], task.settings)
    assert waiting(store, left, left) == {*names[4:]}
    end(store, names[:4])
    rest = plan(study, store)
    assert waiting(store, left, rest) == set()
    assert [task.pack_id for task in tasks_of(study, store, rest)] == ["two"]


def test_orphans_of_a_launch_fail_with_their_parents(spec: Path, store: Store) -> None:
    study = load_study(spec, ["seeds=1"])
    runs = plan(study, store)
    ticket = next(name for name, run in runs.items() if level(run) == 2)
    store.fail_runs([ticket], "it was at fault")
    others = {name: run for name, run in runs.items() if name != ticket}
    left = without_orphans(store, runs, others)
    # The two of level 3, and the child at level 2; its control has the mask alone from level 1.
    gone = {*others} - {*left}
    assert gone == descendants(runs, [ticket])
    assert len(gone) == 3
    assert {o.reason for o in store.outcomes() if o.run_id in gone} == {ORPHANED}
    assert without_orphans(store, runs, runs) == runs, "the next launch trains all of them"


class Trial(SimpleNamespace):
    config: dict[str, Any]
    pickled_error_file: str | None = None
    error_file = None

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


def test_what_comes_from_a_network_that_kills_its_worker_fails_with_it(
    spec: Path, store: Store, tmp_path: Path
) -> None:
    """Halves begin with what the others come from; a ticket of level 1 is at fault."""
    import ray.cloudpickle as pickle

    study = load_study(spec)
    runs = plan(study, store)
    tasks = tasks_of(study, store, runs)
    recorder = Recorder(store, dict(enumerate(tasks)), lambda rows, outcomes: None)
    trial = Trial(config={"pack": 0})
    (tmp_path / "error.pkl").write_bytes(pickle.dumps(RuntimeError(GONE)))
    trial.pickled_error_file = str(tmp_path / "error.pkl")
    guilty = next(name for name, run in runs.items() if level(run) == 1 and run.seed == 0)
    seen: list[str] = []
    for _ in range(99):
        parts = recorder._parts(trial)
        if not parts:
            break
        recorder.on_trial_start(0, [], trial)
        names = [name for name, _ in parts[0].runs]
        if guilty in names:
            recorder.on_trial_recover(0, [], trial)
            continue
        for name in names:
            assert {*parents(runs[name])} <= {*seen}
            seen.append(name)
        end(store, names, parts[0].pack_id)
        recorder._complete(trial, parts[0], {"choices": [], "threads": 1})
    statuses = store.statuses()
    failed = {name for name, status in statuses.items() if status == "failed"}
    assert failed == {guilty} | descendants(runs, [guilty])
    assert {*seen} == {*runs} - failed
    reasons = {o.run_id: o.reason for o in store.outcomes() if o.status == "failed"}
    assert "killed its worker 3 times in a row" in reasons.pop(guilty)
    assert set(reasons.values()) == {ORPHANED}
    unfinished = [p for p in store.packs() if p["status"] in ("pending", "running")]
    assert unfinished == []


def test_parts_without_orphans_stay_as_they_are(spec: Path, store: Store) -> None:
    study = load_study(spec)
    tasks = tasks_of(study, store, plan(study, store), slots=2)
    assert parts_without_orphans(store, tasks, []) == (tasks, [])
    assert parts_without_orphans(store, tasks[1:], [tasks[0].runs[0][0]]) == (tasks[1:], [])


def ended_and_saved(store: Store, runs: dict[str, RunConfig]) -> None:
    numbers = {"steps": 10 * PER_EPOCH, "epochs": 10.0, "examples": 10 * PER_EPOCH * 32}
    row = {"level": 0, "step": 360, "epoch": 10.0, "examples": 360 * 32, "seconds": 1.0}
    store.record("p", [{"run_id": name, "valid/loss": 0.5, **row} for name in runs], [])
    end(store, runs, reason="trained to the end", **numbers)
    runs_folder(store.folder).mkdir(exist_ok=True)
    for name in runs:
        (runs_folder(store.folder) / f"{name}.pt").write_bytes(b"state")


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("0", "0", "2 runs continue from step 360; 14 runs start anew: what is pruned, or a"),
        # Other networks than before: they have no shorter ones.
        ("0", "{epochs: 11}", "2 runs continue from step 360"),
        (
            "{steps: 40}",
            "{steps: 40}",
            "2 runs start anew: networks are rewound to a step that the shorter run has passed;",
        ),
        ("0", "0.5", "2 runs start anew: networks are rewound to a step that the shorter run has"),
        ("0", "{steps: 361}", "2 runs continue from step 360"),
        ("0", "{steps: 40} procedure.after=learning_rate", "2 runs continue from step 360"),
    ],
)
def test_dense_networks_alone_go_on_from_shorter_ones(
    spec: Path, store: Store, before: str, after: str, line: str
) -> None:
    study = load_study(spec, [f"procedure.rewind_to={before}"])
    ended_and_saved(store, plan(study, store))
    rewind, *more = after.split(" procedure.")
    changes = [f"procedure.rewind_to={rewind}", *(f"procedure.{change}" for change in more)]
    longer = load_study(spec, [*changes, "train.epochs=20"])
    left = plan(longer, store)
    extension = extension_of(store, runs_of(longer), left)
    assert extension.line.startswith(line)
    assert all(isinstance(origin, Origin) for origin in extension.origins.values())
    assert all(runs_of(longer)[name].lottery is None for name in extension.origins)
    tasks = make_tasks(longer, store, runs_of(longer), left, 1, CPU, [1], extension)
    assert sorted(name for task in tasks for name, _ in task.runs) == sorted(left)
    found = [name for task in tasks for name in task.settings["continues"]]
    assert sorted(found) == sorted(extension.origins)


def test_packs_made_on_the_way_do_not_go_on_in_a_lottery(spec: Path, store: Store) -> None:
    plain = load_study(spec, ["procedure={name: train}"])
    left = plan(plain, store)
    (task,) = tasks_of(plain, store, left)
    decision = Decision(pack_id=task.pack_id, report=1, stop={}, join=())
    store.record(task.pack_id, [], [], report=1, decision=decision)
    assert is_on_demand(plain, store)
    study = load_study(spec)
    assert not is_on_demand(study, store)
    tasks = tasks_of(study, store, plan(study, store))
    assert [len(task.runs) for task in tasks] == [2 * A_TREE]


def test_progress_counts_a_networks_own_steps() -> None:
    pending = [outcome(name, status="pending", steps=0) for name in "ab"]
    tally = Tally(Objective(), {"a": 100, "b": 60}, pending, starts={"b": 40})
    assert tally.share_done == 0
    tally.observe([], [outcome("a", status="completed", steps=100)])
    tally.observe([], [outcome("b", status="running", steps=55)])
    assert tally.share_done == pytest.approx((100 + 15) / 160)
    assert tally.steps_per_second * tally.seconds == pytest.approx(115, rel=0.05)
