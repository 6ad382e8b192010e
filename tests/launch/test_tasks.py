"""Which packs a launch trains: those planned before as they were, and new ones for the rest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from orchestrator.launch.on_demand import packs_at_once
from orchestrator.launch.tasks import fresh_settings, make_tasks, offered
from orchestrator.plan import by_kind, cpus_a_pack, unique_runs
from orchestrator.spec import Study, load_study
from orchestrator.store import Store
from tests.launch.conftest import STUDY
from trainables.configs.base import to_plain
from trainables.ray_pack import PackTask
from trainables.session import Settings


def _tasks(study: Study, store: Store, done: set[str], slots: int = 2) -> list[PackTask]:
    runs = unique_runs(study.runs())
    store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
    left = {name: run for name, run in runs.items() if name not in done}
    return make_tasks(study, store, runs, left, slots, {"CPU": 1.0, "GPU": 0.0}, [slots])


def _packs(tasks: list[PackTask]) -> dict[str, list[str]]:
    return {task.pack_id: [run_id for run_id, _ in task.runs] for task in tasks}


def test_packs_survive_a_death_before_they_start(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    study = load_study(tmp_path / "study.yaml")
    wider = load_study(tmp_path / "study.yaml", ["seeds=3"])
    with Store.create(tmp_path / "small") as store:
        first = _packs(_tasks(study, store, set()))
        assert [len(names) for names in first.values()] == [6, 6]
        one = next(iter(first.values()))
        assert _packs(_tasks(study, store, set(one[:3]), slots=5)) == first, "whole packs again"
        others = {name: pack for name, pack in first.items() if pack != one}
        assert _packs(_tasks(study, store, set(one))) == others
        more = _packs(_tasks(wider, store, set(one)))
        assert others.items() <= more.items()
        assert sorted(len(names) for names in more.values()) == [3, 3, 6]
        assert _tasks(study, store, {name for pack in first.values() for name in pack}) == []


@pytest.mark.parametrize(
    ("nodes", "packs", "cpus"),
    [
        ([2.0], 1, 2),
        ([2.0], 2, 1),
        ([7.0], 3, 2),
        ([7.0], 9, 1),
        ([8.0, 4.0], 3, 4),
        ([8.0, 4.0], 4, 2),
        ([0.5], 1, 1),
    ],
)
def test_packs_have_all_cpus_but_none_twice(nodes: list[float], packs: int, cpus: int) -> None:
    assert cpus_a_pack(nodes, packs) == cpus
    if packs <= sum(map(int, nodes)):
        assert sum(int(node / cpus) for node in nodes) >= packs


def _asked(tasks: list[PackTask]) -> list[tuple[int, float]]:
    return [(task.settings["threads"], task.asked["CPU"]) for task in tasks]


def test_few_packs_have_more_threads_and_keep_them(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("lanes: 6", "lanes: 12"))
    load = partial(load_study, tmp_path / "study.yaml")
    alone = load(["seeds=1", "sweep={}", "optimizer.lr=0.1"])
    with Store.create(tmp_path / "alone") as store:
        first = _tasks(alone, store, set(), slots=5)
        assert _asked(first) == [(5, 5.0)]
        assert first[0].at_once == 1
        settings = {**first[0].settings, "threads": 2, "ways": [[1, False]]}
        store.set_pack(first[0].pack_id, status="running", settings=settings)
        again = _tasks(load(["seeds=4", "sweep={}", "optimizer.lr=0.1"]), store, set(), slots=5)
        kept = next(task for task in again if task.pack_id == first[0].pack_id)
        assert (kept.settings["threads"], kept.settings["ways"]) == (2, [[1, False]])
        assert _asked(again) == [(2, 2.0), (1, 1.0), (1, 1.0), (1, 1.0)]
        smaller = _tasks(alone, store, set(), slots=1)
        assert _asked(smaller) == [(2, 1.0)], "or it would wait for ever"
    with Store.create(tmp_path / "asked") as store:
        asked = load(["seeds=1", "sweep={}", "optimizer.lr=0.1", "resources.cpus=1"])
        assert _asked(_tasks(asked, store, set(), slots=5)) == [(1, 1.0)]
    with Store.create(tmp_path / "many") as store:
        many = _tasks(load(), store, set(), slots=5)
        assert _asked(many) == [(1, 1.0)] * 5
        assert sum(threads for threads, _ in _asked(many)) <= 5


def test_a_pack_that_has_begun_keeps_how_it_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    load = partial(load_study, tmp_path / "study.yaml")
    changed = load(["execution.compile=off"])
    with Store.create(tmp_path / "store") as store:
        tasks = _tasks(load(["execution.compile=on"]), store, set())
        assert {task.settings["compile"] for task in tasks} == {"on"}
        store.set_pack(tasks[0].pack_id, status="running", settings=tasks[0].settings)
        assert _compiling(_tasks(changed, store, set()))[tasks[0].pack_id] == "on"
        older = {key: value for key, value in tasks[0].settings.items() if key != "compile"}
        store.set_pack(tasks[0].pack_id, status="running", settings=older)
        assert _compiling(_tasks(changed, store, set()))[tasks[0].pack_id] is None
        assert Settings().compile == "auto"


def _compiling(tasks: list[PackTask]) -> dict[str, str | None]:
    return {task.pack_id: task.settings.get("compile") for task in tasks}


def test_packs_made_on_the_way_share_all_cpus(tmp_path: Path) -> None:
    """One of two threads each: on five CPUs, where there is work for two packs at most."""
    (tmp_path / "study.yaml").write_text(STUDY)
    study = load_study(tmp_path / "study.yaml")
    runs = by_kind(unique_runs(study.runs()))[0]
    first = dict(list(runs.items())[:7])
    with Store.create(tmp_path / "store") as store:
        store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
        assert len(runs) == 12
        assert packs_at_once(study, store, runs, runs, 3, 5) == 4
        assert packs_at_once(study, store, runs, runs, 3, 2) == 2
        assert packs_at_once(study, store, runs, first, 7, 5) == 1
        store.plan_packs([("p", list(first)[:3], {}), ("q", list(first)[3:], {})])
        assert packs_at_once(study, store, runs, first, 7, 5) == 2, "those that go on"
    least = {"CPU": 1.0, "GPU": 0.0}
    assert offered(study, least, [5.0], 2) == {"CPU": 2.0, "GPU": 0.0}
    assert fresh_settings(study, offered(study, least, [5.0], 2))["threads"] == 2
    on_gpu = {"CPU": 1.0, "GPU": 0.5}
    assert offered(study, on_gpu, [5.0], 2) == on_gpu
    halves = load_study(tmp_path / "study.yaml", ["resources.cpus=0.5"])
    assert offered(halves, {"CPU": 0.5, "GPU": 0.0}, [5.0], 2) == {"CPU": 0.5, "GPU": 0.0}
