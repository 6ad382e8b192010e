"""Which runs of a longer study go on from shorter ones, and whose final states are kept."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import plan_study
from orchestrator.launch.extend import extension_of, runs_folder
from orchestrator.launch.saved_runs import BestRuns
from orchestrator.launch.tasks import make_tasks
from orchestrator.plan import by_kind, make_packs, unique_runs
from orchestrator.spec import Objective, Study, load_study
from orchestrator.store import Outcome, Store
from orchestrator.store.faults import FELL_BACK
from trainables.configs import RunConfig
from trainables.configs.base import to_plain
from trainables.configs.run import run_id

STUDY = """\
study: small
data: {name: digits}
model: {name: mlp, hidden: [3]}
optimizer: {name: sgd}
train: {epochs: 10, batch_size: 32, evaluate_every: {epochs: 3}}
seeds: 2
sweep:
  optimizer.lr: [0.01, 0.1, 300.0]
  schedule: [{name: constant}, {name: cosine}]
execution: {save: all}
"""
PER_EPOCH = 36

CPU = {"CPU": 1.0, "GPU": 0.0}


def _runs(study: Study) -> dict[str, RunConfig]:
    return by_kind(unique_runs(study.runs()))[0]


def _plan(study: Study, store: Store) -> dict[str, RunConfig]:
    """Plans the study's runs as a launch does; returns those that are left."""
    runs = _runs(study)
    store.plan_runs((name, run.seed, to_plain(run)) for name, run in runs.items())
    statuses = store.statuses()
    return {name: run for name, run in runs.items() if statuses[name] == "pending"}


def _outcome(run: RunConfig, **values: Any) -> Outcome:
    epochs = int(run.train.epochs or 0)
    standing: dict[str, Any] = {
        "lane": 0,
        "status": "completed",
        "reason": "trained to the end",
        "steps": PER_EPOCH * epochs,
        "epochs": float(epochs),
        "examples": 32 * PER_EPOCH * epochs,
        "wall_seconds": 7.0,
        "final": {"valid/loss": 0.5},
        "best": {"valid/loss": 0.1},
    }
    return Outcome(run_id=run_id(run), **(standing | values))


def _end(store: Store, run: RunConfig, *, saved: bool = True, **values: Any) -> None:
    """As if the run had been trained: a row every three epochs, and one at the end."""
    rows = [
        {
            "run_id": run_id(run),
            "level": 0,
            "step": PER_EPOCH * epoch,
            "epoch": float(epoch),
            "examples": 32 * PER_EPOCH * epoch,
            "seconds": float(epoch),
            "valid/loss": 1 / epoch if epoch < 10 else 1e-3,
            "valid/accuracy": 0.1 * epoch if epoch != 6 else math.nan,
        }
        for epoch in (3, 6, 9, 10)
    ]
    store.record("p", rows, [_outcome(run, **values)])
    if saved:
        path = runs_folder(store.folder) / f"{run_id(run)}.pt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"state")


@pytest.fixture(name="spec")
def _spec(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "results" / "small")


def _end_all(store: Store, runs: dict[str, RunConfig]) -> None:
    for run in runs.values():
        if run.optimizer.lr > 1:
            _end(store, run, saved=False, status="diverged", reason="batch loss nan", steps=36)
        else:
            _end(store, run)


def test_a_longer_study_goes_on_where_the_tables_agree(spec: Path, store: Store) -> None:
    _end_all(store, _plan(load_study(spec), store))
    longer = load_study(spec, ["train.epochs=20", "seeds=3"])
    left = _plan(longer, store)
    assert len(left) == 18
    extension = extension_of(store, _runs(longer), left)
    assert extension.line == (
        "4 runs continue from step 360; 4 runs start anew: cosine depends on the length of"
        " training; 4 runs start anew: the shorter run diverged"
    )
    going_on = {name: left[name] for name in extension.origins}
    assert {run.schedule.name for run in going_on.values()} == {"constant"}
    assert {run.seed for run in going_on.values()} == {0, 1}
    for name, run in going_on.items():
        origin = extension.origins[name]
        shorter = load_study(spec)
        assert origin.run in _runs(shorter)
        assert _runs(shorter)[origin.run].optimizer == run.optimizer
        # The tenth epoch is off the grid of every third: a longer run is not evaluated there.
        assert (origin.batches, origin.inherited) == (360, 359)


def test_tasks_carry_where_their_runs_begin_and_the_store_the_history(
    spec: Path, store: Store
) -> None:
    _end_all(store, _plan(load_study(spec), store))
    longer = load_study(spec, ["train.epochs=20", "execution.checkpoint_every={minutes: 5}"])
    left, runs = _plan(longer, store), _runs(longer)
    extension = extension_of(store, runs, left)
    tasks = make_tasks(longer, store, runs, left, 2, CPU, [2], extension)
    of_run = {name: task for task in tasks for name, _ in task.runs}
    assert set(of_run) == set(left)
    for task in tasks:
        assert (task.checkpoint_every, task.checkpoint_seconds, task.keep) == (None, 300.0, 2)
        assert task.save
        names = {name for name, _ in task.runs}
        assert names <= set(extension.origins) or not names & set(extension.origins)
    name, origin = next(iter(extension.origins.items()))
    expected = {
        "run": origin.run,
        "inherited": 359,
        "best": {"valid/loss": pytest.approx(1 / 9), "valid/accuracy": pytest.approx(0.9)},
        "seconds": 7.0,
    }
    assert of_run[name].settings["continues"][name] == expected
    history = store.history().set_index("run_id").loc[name]
    assert history["step"].tolist() == [108, 216, 324]
    assert history["seconds"].tolist() == [3.0, 6.0, 9.0]
    standing = next(o for o in store.outcomes() if o.run_id == name)
    assert (standing.status, standing.steps, standing.examples) == ("pending", 360, 11520)
    # A launch that died here goes on with the same packs and says nothing more of it.
    again = extension_of(store, runs, left)
    assert again.line == ""
    assert make_tasks(longer, store, runs, left, 2, CPU, [2], again) == sorted(
        tasks, key=lambda task: task.pack_id
    )
    assert len(store.history().query("run_id == @name")) == 3


def test_the_longest_shorter_run_is_gone_on_from(spec: Path, store: Store) -> None:
    for epochs in (5, 10, 40):
        only = load_study(
            spec,
            [f"train.epochs={epochs}", "seeds=1", "sweep={}", "optimizer.lr=0.1"],
        )
        (run,) = _plan(only, store).values()
        _end(store, run)
    in_steps = "train={steps: 300, batch_size: 32, evaluate_every: {epochs: 3}}"
    for override, step in (("train.epochs=20", 360), (in_steps, 180)):
        study = load_study(spec, [override, "seeds=1", "sweep={}", "optimizer.lr=0.1"])
        extension = extension_of(store, _runs(study), _plan(study, store))
        assert extension.line == f"1 run continues from step {step}"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"saved": False}, "the final state of the shorter run was not kept (execution.save)"),
        ({"reason": "target reached"}, "the shorter run has reached its target"),
    ],
)
def test_why_a_run_starts_anew(
    spec: Path, store: Store, changes: dict[str, Any], line: str
) -> None:
    options = ["seeds=1", "sweep={}", "optimizer.lr=0.1"]
    (run,) = _plan(load_study(spec, options), store).values()
    _end(store, run, **changes)
    longer = load_study(spec, [*options, "train.epochs=20"])
    left = _plan(longer, store)
    assert extension_of(store, left, left).line == f"1 run starts anew: {line}"


def test_what_has_no_shorter_run_is_no_extension(spec: Path, store: Store) -> None:
    _end_all(store, _plan(load_study(spec), store))
    for changes in (["seeds=3"], ["optimizer.momentum=0.5"], ["train.epochs=5"]):
        study = load_study(spec, changes)
        assert extension_of(store, _runs(study), _plan(study, store)).line == ""


def test_the_plan_says_it_and_expects_less_time(spec: Path, store: Store) -> None:
    _end_all(store, _plan(load_study(spec), store))
    results = store.folder.parent
    found = plan_study(load_study(spec, ["train.epochs=11"]), results)
    assert found.extension.startswith("4 runs continue from step 360; 4 runs start anew: cosine")
    alone = plan_study(load_study(spec, ["train.epochs=11"]), results / "none")
    assert alone.extension == ""
    assert found.estimate.slot_seconds is not None
    assert alone.estimate.slot_seconds is not None
    assert found.estimate.slot_seconds < 0.75 * alone.estimate.slot_seconds
    assert sum(len(pack.run_ids) for pack in found.packs) == 12


def test_runs_that_may_be_stopped_early_start_anew(spec: Path, store: Store) -> None:
    """The rules must see all of a run; so the plan promises nothing else."""
    _end_all(store, _plan(load_study(spec), store))
    stopping = "early_stopping={name: patience, evaluations: 2}"
    found = plan_study(load_study(spec, ["train.epochs=11", stopping]), store.folder.parent)
    assert found.extension == (
        "4 runs start anew: cosine depends on the length of training; 4 runs start anew: the"
        " shorter run diverged; 4 runs start anew: where runs are stopped early, all begin at"
        " their first step"
    )


def test_runs_that_start_elsewhere_share_no_pack_and_cost_what_is_left(spec: Path) -> None:
    runs = _runs(load_study(spec, ["train.epochs=20"]))
    names = list(runs)
    starts = dict.fromkeys(names[:4], 700)
    packs = make_packs(runs, slots=1, starts=starts)
    for pack in packs:
        begun = [name in starts for name in pack.run_ids]
        assert all(begun) or not any(begun)
        assert pack.cost == len(begun) * 32 * (20 if begun[0] else 720)
    assert sorted(name for pack in packs for name in pack.run_ids) == sorted(names)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("seed", range(5))
def test_only_the_best_configurations_states_stay(
    spec: Path, tmp_path: Path, mode: Any, seed: int
) -> None:
    """In any order of ending; a configuration whose seeds have not all ended keeps its own."""
    rng = random.Random(seed)
    study = load_study(spec, ["sweep={optimizer.lr: {log: [1e-3, 1], points: 7}}"])
    runs = _runs(study)
    folder = tmp_path / "runs"
    folder.mkdir()
    values = {name: rng.random() for name in runs}
    diverged = rng.choice(list(runs))
    best = BestRuns(folder, runs, Objective(mode=mode), 3)
    order = rng.sample(list(runs), len(runs))
    last = order[-1]

    def end(names: list[str]) -> None:
        for name in names:
            if name != diverged:
                (folder / f"{name}.pt").touch()
        best.observe(
            [
                _outcome(
                    runs[name],
                    status="diverged" if name == diverged else "completed",
                    final={"valid/loss": math.nan if name == diverged else values[name]},
                )
                for name in names
            ]
        )

    for at in range(0, len(order) - 1, 2):
        end([name for name in order[at : at + 2] if name != last])
    kept = {path.stem for path in folder.iterdir()}
    waiting = {n for n in runs if n != last and runs[n].optimizer == runs[last].optimizer}
    assert waiting - {diverged} <= kept
    end([last])
    means: dict[float, float] = {}
    for name, run in runs.items():
        bad = math.inf if mode == "min" else -math.inf
        means.setdefault(run.optimizer.lr, 0.0)
        means[run.optimizer.lr] += bad if name == diverged else values[name]
    top = sorted(means, key=lambda lr: means[lr], reverse=mode == "max")[:3]
    expected = {name for name, run in runs.items() if run.optimizer.lr in top}
    assert {path.stem for path in folder.iterdir()} == expected
    end(order[:5])  # a pack that goes on from a checkpoint writes them again
    assert {path.stem for path in folder.iterdir()} == expected


def test_states_written_after_a_run_was_overtaken_are_deleted(spec: Path, tmp_path: Path) -> None:
    """The worker writes that of a run it is told to stop once the stop is in the store."""
    runs = _runs(load_study(spec, ["sweep={optimizer.lr: {log: [1e-3, 1], points: 5}}"]))
    known = {name: run for name, run in runs.items() if run.optimizer.lr < 0.1}
    folder = tmp_path / "runs"
    folder.mkdir()
    best = BestRuns(folder, known, Objective(mode="min"), 1)
    best.add({name: run for name, run in runs.items() if name not in known})
    ended = [
        _outcome(run, status="stopped", final={"valid/loss": run.optimizer.lr})
        for run in runs.values()
    ]
    best.observe(ended[1:])
    for name in runs:
        (folder / f"{name}.pt").touch()
    best.sweep(runs)
    open_or_best = {name for name, run in runs.items() if run.optimizer.lr <= 0.01}
    assert {path.stem for path in folder.iterdir()} == open_or_best
    best.observe(ended[:1])
    best.sweep([*runs, "of another study"])
    lowest = {name for name, run in runs.items() if run.optimizer.lr == 0.001}
    assert {path.stem for path in folder.iterdir()} == lowest


def test_what_was_trained_whole_stays_before_what_was_stopped(spec: Path, tmp_path: Path) -> None:
    """Also where the last value of a stopped one is better: its training was not over."""
    study = load_study(spec, ["sweep={optimizer.lr: [0.1, 0.2, 0.3]}", "seeds=1"])
    runs = _runs(study)
    first, second, third = runs
    for name in runs:
        (tmp_path / f"{name}.pt").touch()
    best = BestRuns(tmp_path, runs, Objective(), 1)

    def end(name: str, status: str, reason: str, loss: float) -> None:
        ended = _outcome(runs[name], status=status, final={"valid/loss": loss})
        best.observe([dataclasses.replace(ended, reason=reason)])

    end(first, "stopped", "asha: not among the best third at step 7", 0.1)
    assert len([*tmp_path.glob("*.pt")]) == 3, "two have not ended"
    end(second, "completed", "trained to the end", 0.3)
    assert {path.stem for path in tmp_path.glob("*.pt")} == {second, third}
    end(third, "stopped", "asha: max is reached at step 9", 0.2)
    assert {path.stem for path in tmp_path.glob("*.pt")} == {third}


def test_notes_are_kept_in_the_store(store: Store) -> None:
    store.note(FELL_BACK, "a pack", "one")
    store.note(FELL_BACK, "a pack", "two")
    assert store.details(FELL_BACK) == ["one", "two"]
    assert store.fault_counts() == {FELL_BACK: 2}
