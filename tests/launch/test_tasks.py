"""Which packs a launch trains: those planned before as they were, and new ones for the rest."""

from __future__ import annotations

from pathlib import Path

from orchestrator.launch.tasks import make_tasks
from orchestrator.plan import unique_runs
from orchestrator.spec import Study, load_study
from orchestrator.store import Store
from tests.launch.conftest import STUDY
from trainables.configs.base import to_plain
from trainables.ray_pack import PackTask


def _tasks(study: Study, store: Store, done: set[str], slots: int = 2) -> list[PackTask]:
    runs = unique_runs(study.runs())
    store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
    left = {name: run for name, run in runs.items() if name not in done}
    return make_tasks(study, store, runs, left, slots, "cpu")


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
