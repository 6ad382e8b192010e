"""How runs end: completed, target reached, diverged, failed; and that neighbours go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, Target, UserModel
from trainables.configs.base import Steps
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.session import PackSession, Settings
from trainables.stack_width import Way, choose_way, split_evenly

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]


def _run(runs: list[RunConfig], data: dict[str, DataSet], **options: Any) -> dict[str, Any]:
    session = PackSession([(run_id(r), r) for r in runs], data, Settings(**options))
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    session.advance()  # a finished session reports what failed at the start, and nothing breaks
    return {"progress": session.progress, "rows": rows, "session": session}


def test_a_run_is_evaluated_on_its_grid_and_at_its_end(make_run: Maker, data_of: Data) -> None:
    run = make_run(train={"steps": 25, "evaluate_every": Steps(steps=10)})
    other = make_run(train={"steps": 13, "evaluate_every": Steps(steps=10)}, seed=1)
    found = _run([run, other], data_of(run), strategy="fused")
    steps = {
        name: [row["step"] for row in found["rows"] if row["run_id"] == name]
        for name in found["progress"]
    }
    assert steps == {run_id(run): [10, 20, 25], run_id(other): [10, 13]}
    progress = found["progress"][run_id(run)]
    assert (progress.status, progress.reason) == ("completed", "trained to the end")
    assert progress.examples == 25 * 13
    assert progress.epochs == pytest.approx(25 / (91 // 13))
    assert progress.wall_seconds > 0
    assert progress.best["valid/loss"] == min(
        row["valid/loss"] for row in found["rows"] if row["run_id"] == run_id(run)
    )


def test_target_reached_ends_a_run(make_run: Maker, data_of: Data) -> None:
    target = Target(metric="valid/accuracy", value=0.5)
    run = make_run(train={"epochs": 50.0, "target": target}, optimizer=Adam(lr=0.03))
    never = make_run(train={"epochs": 4.0, "target": Target(metric="train/loss", value=-1.0)})
    found = _run([run, never], data_of(run))["progress"]
    ended = found[run_id(run)]
    assert (ended.status, ended.reason) == ("completed", "target reached")
    assert ended.final["valid/accuracy"] > 0.5
    assert ended.steps < 50 * 7
    assert found[run_id(never)].reason == "trained to the end"


@pytest.mark.parametrize("strategy", ["fused", "sequential"])
def test_divergence_ends_a_run_and_its_neighbour_goes_on(
    make_run: Maker, data_of: Data, strategy: str
) -> None:
    wild, tame = make_run(optimizer=Sgd(lr=1e8)), make_run(optimizer=Sgd(lr=0.01))
    bounded = make_run(train={"diverged_above": 0.5}, optimizer=Sgd(lr=0.01), seed=1)
    found = _run([wild, tame, bounded], data_of(wild), strategy=strategy)["progress"]
    assert found[run_id(wild)].status == "diverged"
    assert "batch loss" in found[run_id(wild)].reason
    assert found[run_id(wild)].steps == 7
    assert found[run_id(bounded)].status == "diverged"
    assert found[run_id(tame)].status == "completed"


def test_a_loss_that_is_not_a_number_is_divergence(make_run: Maker, data_of: Data) -> None:
    run = make_run(train={"diverged_above": 1e308}, optimizer=Sgd(lr=1e38))
    found = _run([run], data_of(run))["progress"][run_id(run)]
    assert (found.status, found.reason) == ("diverged", "batch loss nan")


def test_a_lane_that_raises_fails_alone(make_run: Maker, data_of: Data) -> None:
    """The module refuses vmap and, later, a run: the pack is split until the culprit is alone."""
    model = UserModel(name="tests.engine.models:fragile")
    bad = make_run(model=model, optimizer=Sgd(lr=1e4), train={"diverged_above": 1e30})
    good = [make_run(model=model, optimizer=Sgd(lr=0.01), seed=seed) for seed in range(3)]
    found = _run([*good[:2], bad, good[2]], data_of(bad), strategy="fused")["progress"]
    assert found[run_id(bad)].status == "failed"
    assert found[run_id(bad)].reason == "ValueError: weights exploded"
    assert "Traceback" in found[run_id(bad)].error
    assert [found[run_id(run)].status for run in good] == ["completed"] * 3
    solo = _run([good[1]], data_of(bad))["progress"][run_id(good[1])]
    assert found[run_id(good[1])].final == pytest.approx(solo.final, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.engine.models:not_a_module", "must return a torch.nn.Module"),
        ("tests.engine.models:missing", "has no attribute 'missing'"),
        ("no_such_module:thing", "No module named 'no_such_module'"),
    ],
)
def test_a_model_that_cannot_be_built_fails_its_group_only(
    make_run: Maker, data_of: Data, name: str, message: str
) -> None:
    bad, good = make_run(model=UserModel(name=name)), make_run()
    found = _run([bad, good], data_of(bad))["progress"]
    assert found[run_id(bad)].status == "failed"
    assert message in found[run_id(bad)].reason
    assert found[run_id(good)].status == "completed"


def test_a_pack_of_several_groups_trains_them_all(make_run: Maker, data_of: Data) -> None:
    runs = [make_run(model=Mlp(hidden=(h,)), seed=s) for h in (3, 5) for s in range(2)]
    found = _run(runs, data_of(runs[0]))
    assert {p.status for p in found["progress"].values()} == {"completed"}
    assert [choice.lanes for choice in found["session"].choices] == [2, 2]


def test_auto_records_why_and_a_recorded_width_is_kept(make_run: Maker, data_of: Data) -> None:
    runs = [make_run(train={"epochs": 30.0}, seed=seed) for seed in range(6)]
    chosen = _run(runs, data_of(runs[0]), strategy="auto")["session"].choices[0]
    assert chosen.reason.startswith("ms a lane and step by width: 1: ")
    assert chosen.seconds_per_step > 0
    kept = _run(runs, data_of(runs[0]), strategy="auto", ways=(Way(4),))["session"].choices[0]
    assert (kept.width, kept.reason) == (4, "as recorded")


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that holds the gradients of three lanes, and the weights of five."""
    from trainables import engine, step

    gradients, build = step.batch_gradients, engine.Stack.__init__

    def train(network: Any, params: Any, *rest: Any) -> Any:
        if len(next(iter(params.values()))) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory (planted)")
        return gradients(network, params, *rest)

    def initialize(stack: Any, runs: Any, arrays: Any, **rest: Any) -> None:
        if len(runs) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory (planted)")
        build(stack, runs, arrays, **rest)

    monkeypatch.setattr(step, "batch_gradients", train)
    monkeypatch.setattr(engine.Stack, "__init__", initialize)


@pytest.mark.usefixtures("small_memory")
def test_out_of_memory_splits_the_pack(make_run: Maker, data_of: Data) -> None:
    runs = [make_run(seed=seed) for seed in range(7)]
    found = _run(runs, data_of(runs[0]), strategy="fused")["progress"]
    assert {progress.status for progress in found.values()} == {"completed"}
    solo = _run([runs[6]], data_of(runs[0]))["progress"][run_id(runs[6])]
    assert found[run_id(runs[6])].final == pytest.approx(solo.final, rel=1e-4)


@pytest.mark.usefixtures("small_memory")
def test_auto_keeps_to_what_the_memory_holds(make_run: Maker, small_data: DataSet) -> None:
    runs = [make_run(train={"steps": 10_000}, seed=seed) for seed in range(7)]
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float32)
    choice = choose_way(runs, arrays, "auto", None)
    assert choice.width <= 3
    assert choice.reason.endswith("; 4 do not fit the memory")


def test_split_evenly() -> None:
    assert split_evenly(range(7), 3) == [[0, 1], [2, 3, 4], [5, 6]]
    assert split_evenly(range(4), 9) == [[0, 1, 2, 3]]
