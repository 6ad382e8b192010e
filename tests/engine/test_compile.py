"""Compiled steps: equal to the others, the same bits after a resume, chosen where they pay."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables import checkpoint, compile_choice
from trainables.arrays import Arrays
from trainables.compiled import Program
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.optimizers import Sgd, Sls
from trainables.configs.regularization import BatchGrowth
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.session import PackSession, Settings
from trainables.stack_width import Choice, Way
from trainables.step import train_step

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
CPU = torch.device("cpu")


def _pack(runs: list[RunConfig]) -> list[tuple[str, RunConfig]]:
    return [(run_id(run), run) for run in runs]


def _program(run: Callable[[Any], Any]) -> Program:
    return Program(3, True, frozenset({"lr", "momentum"}), run, False)


def _to_the_end(session: PackSession) -> dict[str, dict[str, float]]:
    while not session.finished:
        session.advance()
    return {name: p.final for name, p in session.progress.items()}


def test_compiled_lanes_equal_the_others_and_bits_stay_after_a_resume(
    make_run: Maker, data_of: Data, tmp_path: Path
) -> None:
    """Lanes end one by one, which compiles nothing again, down to the last, which goes on alone."""
    runs = [
        make_run(
            model=Mlp(hidden=(11,)),
            optimizer=Sgd(lr=0.1, momentum=0.9, weight_decay=0.01),
            seed=seed % 2,
            train={"steps": steps, "precision": "float64"},
        )
        for seed, steps in enumerate((21, 21, 7, 14, 35))
    ]
    data, pack = data_of(runs[0]), _pack(runs)
    plain = _to_the_end(PackSession(pack, data, Settings(strategy="fused", compile="off")))
    session = PackSession(pack, data, Settings(strategy="fused", compile="on"))
    assert session.choices[0].reason.startswith("as asked; compiled in ")
    assert session.choices[0].way == Way(5, compiled=True)
    graphs = _graphs()
    session.advance()
    session.advance()
    checkpoint.save(tmp_path / "state.pt", session.state_dict())
    compiled = _to_the_end(session)
    assert _graphs() == graphs
    for name, final in compiled.items():
        assert final == pytest.approx(plain[name], rel=1e-10)

    torch._dynamo.reset()
    saved = checkpoint.load(tmp_path / "state.pt")
    assert saved is not None
    again = PackSession.restore(saved, pack, data, Settings())
    assert all(stack.program is not None for _, stack in again._stacks)
    assert _to_the_end(again) == compiled


def _graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_a_network_that_looks_at_its_numbers_trains_as_alone(
    make_run: Maker, data_of: Data
) -> None:
    """``vmap`` refuses it, compiled or not: lanes are taken apart, and none of them fails."""
    model = UserModel(name="tests.engine.models:branching")
    runs = [make_run(model=model, train={"steps": 5}, seed=seed) for seed in range(3)]
    data, pack = data_of(runs[0]), _pack(runs)
    session = PackSession(pack, data, Settings(strategy="fused", compile="on"))
    [choice] = session.choices
    assert choice.reason.startswith("as asked; not compiled: ")
    assert "vmap" in choice.reason
    assert not choice.compiled
    alone = PackSession(pack, data, Settings(strategy="sequential", compile="off"))
    assert _to_the_end(session) == _to_the_end(alone)
    assert {p.status for p in session.progress.values()} == {"completed"}


def test_what_does_not_compile_trains_as_ever(
    make_run: Maker, data_of: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(stack: Stack) -> Program:
        raise RuntimeError("no C++ compiler\nLong story")

    monkeypatch.setattr(Stack, "compile", fails)
    runs = [make_run(seed=seed) for seed in range(3)]
    data, pack = data_of(runs[0]), _pack(runs)
    session = PackSession(pack, data, Settings(strategy="fused", compile="on"))
    [choice] = session.choices
    assert choice.reason == "as asked; not compiled: RuntimeError: no C++ compiler"
    assert choice.way == Way(3)
    plain = PackSession(pack, data, Settings(strategy="fused", compile="off"))
    assert _to_the_end(session) == _to_the_end(plain)


def test_a_compiled_step_that_raises_is_taken_as_ever(make_run: Maker, small_data: DataSet) -> None:
    calls = []

    def raises(inputs: Any) -> Any:
        calls.append(1)
        raise RuntimeError("planted")

    runs = [make_run(seed=seed) for seed in range(3)]
    arrays = Arrays.of(small_data, CPU, torch.float32)
    plain = Stack(runs, arrays)
    stack = Stack(runs, arrays, program=_program(raises))
    assert stack.state_dict()["compiled"]
    for each in (plain, stack):
        each.advance(5)
    assert len(calls) == 1
    assert not stack.state_dict()["compiled"]
    assert all(torch.equal(stack.params[name], plain.params[name]) for name in plain.params)


@pytest.mark.parametrize("asked", ["on", "auto"])
@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"optimizer": Sls(lr=1.0)}, "a line search reads from the device"),
        ({"train": {"batch_growth": BatchGrowth(milestones=(0.5,))}}, "batches grow"),
    ],
    ids=["sls", "batch_growth"],
)
def test_what_is_not_compiled_says_so(
    make_run: Maker,
    small_data: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    parts: dict[str, Any],
    why: str,
    asked: str,
) -> None:
    monkeypatch.setattr(Stack, "compile", lambda stack: pytest.fail("it is never compiled"))
    assert compile_choice.refusal([make_run()]) is None
    parts = parts | {"train": parts.get("train", {}) | {"epochs": 600.0}}
    found, program = _chosen([make_run(**parts)], small_data, 10.0, asked)
    assert (program, found.compiled) == (None, False)
    assert found.reason == f"measured; not compiled: {why}"


def _chosen(
    runs: list[RunConfig], data: DataSet, seconds: float | None, asked: Any, **options: Any
) -> tuple[Choice, Program | None]:
    choice = Choice(len(runs), len(runs), False, "fused", "measured", seconds)
    arrays = Arrays.of(data, CPU, torch.float32)
    return compile_choice.compile_choice(
        choice, runs, arrays, asked, **{"recorded": False, **options}
    )


@pytest.mark.parametrize(
    ("seconds", "fast", "outcome"),
    [
        (0.5e-3, 0.1, "short"),  # 180 s of training, 240 asked
        (None, 0.1, "short"),
        (1e-3, 0.5e-3, "kept"),
        (1e-3, 0.95e-3, "not kept"),
        (1e-3, 1.1e-3, "not kept"),
    ],
)
def test_auto_compiles_where_it_pays(
    make_run: Maker,
    small_data: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float | None,
    fast: float,
    outcome: str,
) -> None:
    """Three lanes of 120,000 steps, timed by a clock made up."""
    program = _program(lambda inputs: pytest.fail("nothing is trained here"))
    compiled: list[int] = []
    monkeypatch.setattr(Stack, "compile", lambda stack: (compiled.append(1), program)[1])
    monkeypatch.setattr(compile_choice, "seconds_beside", lambda *given: (1e-3, fast))
    runs = [make_run(optimizer=Sgd(lr=lr), train={"steps": 120_000}) for lr in (0.1, 0.2, 0.3)]
    choice, found = _chosen(runs, small_data, seconds, "auto")
    assert bool(compiled) == (outcome != "short")
    assert choice.compiled == (found is not None) == (outcome == "kept")
    if outcome == "short":
        assert choice.reason == "measured"
    if outcome == "not kept":
        assert choice.reason.endswith(
            f"{1e3 * fast:.3f} against 1.000 ms a lane and step, not kept"
        )
    if outcome == "kept":
        assert choice.seconds_per_step == fast


@pytest.mark.parametrize("earlier", [True, False])
def test_what_was_recorded_is_kept(
    make_run: Maker, small_data: DataSet, monkeypatch: pytest.MonkeyPatch, earlier: bool
) -> None:
    program = _program(lambda inputs: pytest.fail("nothing is trained here"))
    monkeypatch.setattr(Stack, "compile", lambda stack: program)
    choice = dataclasses.replace(Choice(1, 1, False, "fused", "as recorded"), compiled=earlier)
    arrays = Arrays.of(small_data, CPU, torch.float32)
    for asked in ("on", "off", "auto"):
        found, given = compile_choice.compile_choice(
            choice, [make_run()], arrays, asked, recorded=True
        )
        assert found.compiled == (given is not None) == earlier


def test_both_are_timed_beside_each_other(make_run: Maker, small_data: DataSet) -> None:
    """A program that takes a step and nothing else is about as fast; one that sleeps is not."""
    runs = [make_run(seed=seed, train={"steps": 40}) for seed in range(3)]
    arrays = Arrays.of(small_data, CPU, torch.float32)
    stack = Stack(runs, arrays)

    def slow(inputs: Any) -> Any:
        time.sleep(0.02)
        return train_step(stack._method, inputs, stack._share())

    choice = Choice(3, 3, False, "fused", "measured", 1e-3)
    eager, fast = compile_choice.seconds_beside(runs, arrays, choice, _program(slow))
    assert fast > 0.02 / 3 > eager
