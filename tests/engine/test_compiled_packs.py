"""Packs whose steps are compiled: stacks that wait, runs that join or go on, and restores.

What stands for the compiler takes the same steps and notes for whom: bits must be those of a
pack without. PyTorch's own is in ``test_compile`` and ``tests/fidelity/test_compiled``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from trainables import engine, memory
from trainables.arrays import Arrays
from trainables.compiled import Program
from trainables.configs import Mlp, RunConfig
from trainables.configs.base import Steps
from trainables.configs.optimizers import Sgd
from trainables.configs.run import run_id
from trainables.data import DataSet
from trainables.session import PackSession, Settings, Start
from trainables.stack_width import Way
from trainables.step import Inputs, Method, Outcome, train_step

Maker = Callable[..., RunConfig]
Data = Callable[[RunConfig], dict[str, DataSet]]
ON, OFF = Settings(strategy="fused", compile="on"), Settings(strategy="fused", compile="off")
NORM = Mlp(hidden=(11,), norm="batch")
TRAIN = {"steps": 23, "evaluate_every": Steps(steps=5)}


@dataclass
class Compiler:
    """What was asked of it."""

    widths: list[int] = field(default_factory=list)
    """Lanes of each program."""
    names: list[frozenset[str]] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    """(which program, lanes) of each step."""


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    noted = Compiler()

    def compile_step(method: Method, inputs: Inputs, share: float) -> Program:
        index, names = len(noted.widths), frozenset(inputs.hyper)

        def run(inputs: Inputs) -> Outcome:
            assert inputs.hyper.keys() == names
            noted.steps.append((index, len(inputs.batch.keys)))
            return train_step(method, inputs, share)

        noted.widths.append(len(inputs.batch.keys))
        noted.names.append(names)
        any_width = method.network.links is not None and noted.widths[-1] > 1
        return Program(noted.widths[-1], any_width, names, run, False)

    monkeypatch.setattr(engine, "compile_step", compile_step)
    return noted


@pytest.fixture
def runs(make_run: Maker) -> list[RunConfig]:
    return [make_run(train=TRAIN, seed=seed, optimizer=Sgd(lr=0.1)) for seed in range(7)]


def _named(runs: list[RunConfig]) -> list[tuple[str, RunConfig]]:
    return [(run_id(run), run) for run in runs]


def _finish(session: PackSession) -> dict[str, dict[str, float]]:
    while not session.finished:
        session.advance()
    assert {p.error for p in session.progress.values()} == {""}
    return {name: p.final for name, p in session.progress.items()}


@pytest.mark.parametrize("model", [None, NORM], ids=["chain", "vmap"])
def test_stacks_that_wait_are_compiled_when_they_are_built_also_after_a_restore(
    runs: list[RunConfig],
    make_run: Maker,
    data_of: Data,
    small_data: DataSet,
    compiler: Compiler,
    model: Mlp | None,
) -> None:
    """A new session each report: a program is made again of the group's full width."""
    if model is not None:
        runs = [make_run(model=model, train=TRAIN, seed=seed) for seed in range(7)]
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float32)
    kept = memory.kept(engine.Stack(runs[:2], arrays))
    limit = memory.size(arrays) + int(1.5 * kept)
    ways = (Way(2, compiled=True),)
    settings = Settings(ways=ways, memory=limit)
    session = PackSession(_named(runs), data_of(runs[0]), settings)
    assert session.choices[0].at_once == 1
    assert (session.choices[0].way, compiler.widths) == (ways[0], [2])
    while not session.finished:
        saved = session.state_dict()
        session = PackSession.restore(saved, _named(runs), data_of(runs[0]), settings)
        session.advance()
    assert set(compiler.widths) == {2}
    # Four stacks of 1 or 2 lanes; a program of a chain leaves a lane alone to its own way.
    lanes = [n for _, n in compiler.steps]
    assert (lanes.count(2), lanes.count(1)) == (3 * 23, 0 if model is None else 23)
    plain = PackSession(_named(runs), data_of(runs[0]), Settings(ways=(Way(2),)))
    found = {name: p.final for name, p in session.progress.items()}
    assert found == _finish(plain)


def test_runs_that_join_have_the_program_of_those_before(
    runs: list[RunConfig], data_of: Data, compiler: Compiler
) -> None:
    def join(session: PackSession) -> None:
        session.advance()
        session.stop({run_id(run): "x" for run in runs[:3]})
        session.join(_named(runs[4:]))

    session = PackSession(_named(runs[:4]), data_of(runs[0]), ON)
    join(session)
    assert session.choices[1].reason == "as asked; compiled before"
    assert session.choices[1].way == Way(3, compiled=True)
    saved = session.state_dict()
    final = _finish(session)
    assert (compiler.widths, {lanes for _, lanes in compiler.steps}) == ([4], {4, 3})

    again = PackSession.restore(saved, _named(runs), data_of(runs[0]), ON)
    assert _finish(again) == final
    assert (compiler.widths, compiler.names[0]) == ([4, 4], compiler.names[1])
    plain = PackSession(_named(runs[:4]), data_of(runs[0]), OFF)
    join(plain)
    assert _finish(plain) == final


def test_runs_that_join_at_another_width_of_vmap_have_a_program_of_their_own(
    make_run: Maker, data_of: Data, compiler: Compiler
) -> None:
    runs = [make_run(model=NORM, train=TRAIN, seed=seed) for seed in range(11)]
    session = PackSession(_named(runs[:3]), data_of(runs[0]), ON)
    session.join(_named(runs[3:8]))
    session.join(_named(runs[8:]))
    saved = session.state_dict()
    assert compiler.widths == [3, 5]
    assert session.choices[2].reason == "as asked; compiled before"
    final = _finish(session)
    assert set(compiler.steps) == {(0, 3), (1, 5)}
    again = PackSession.restore(saved, _named(runs), data_of(runs[0]), ON)
    assert _finish(again) == final
    assert sorted(compiler.widths) == [3, 3, 5, 5]


def test_a_run_that_goes_on_from_a_shorter_one_is_compiled(
    runs: list[RunConfig], make_run: Maker, data_of: Data, compiler: Compiler
) -> None:
    def start(settings: Settings) -> PackSession:
        states = []

        def keep(stack: engine.Stack, ended: Any) -> None:
            states.extend(stack.lane_states([lane]) for lane in ended)

        short = [make_run(train=TRAIN | {"steps": 10}, seed=seed) for seed in range(2)]
        _finish(PackSession(_named(short), data_of(runs[0]), OFF, ended=keep))
        starts = {
            name: Start(state, {}, 1.0)
            for (name, _), state in zip(_named(longer[:2]), states, strict=True)
        }
        return PackSession(_named(longer), data_of(runs[0]), settings, starts)

    longer = [make_run(train=TRAIN, seed=seed) for seed in range(4)]
    session = start(ON)
    assert [choice.compiled for choice in session.choices] == [True, True]
    saved = session.state_dict()
    final = _finish(session)
    assert len(compiler.steps) == 13 + 23
    again = PackSession.restore(saved, _named(longer), data_of(runs[0]), ON)
    assert _finish(again) == final == _finish(start(OFF))


def test_all_stacks_of_a_group_use_what_any_of_its_lanes_does(
    make_run: Maker, data_of: Data, compiler: Compiler
) -> None:
    """Momentum is 0 in all of the first stack: one program all the same, of the same numbers."""
    runs = [
        make_run(
            train={"steps": 21, "precision": "float64"},
            optimizer=Sgd(lr=0.1, momentum=momentum),
            seed=seed,
        )
        for momentum in (0.0, 0.9)
        for seed in range(3)
    ]
    ways = (Way(3, compiled=True),)
    found = _finish(PackSession(_named(runs), data_of(runs[0]), Settings(ways=ways)))
    assert compiler.names == [{"lr", "momentum"}]
    assert compiler.steps == [(0, 3)] * 42
    plain = _finish(PackSession(_named(runs), data_of(runs[0]), OFF))
    for name, final in found.items():
        assert final == pytest.approx(plain[name], rel=1e-10)


def test_a_program_that_is_lost_costs_only_its_speed(
    runs: list[RunConfig], data_of: Data, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint comes to a machine without a compiler, with stacks that still join."""

    def no_compiler(*given: Any) -> Program:
        raise RuntimeError("no C++ compiler")

    session = PackSession(_named(runs[:3]), data_of(runs[0]), ON)
    session.advance()
    saved = session.state_dict()
    monkeypatch.setattr(engine, "compile_step", no_compiler)
    again = PackSession.restore(saved, _named(runs), data_of(runs[0]), ON)
    again.join(_named(runs[3:5]))
    assert again.choices[1].reason == "as asked; not compiled: RuntimeError: no C++ compiler"
    final = _finish(again)
    assert len(compiler.steps) == 5
    plain = PackSession(_named(runs[:3]), data_of(runs[0]), OFF)
    plain.advance()
    plain.join(_named(runs[3:5]))
    assert _finish(plain) == final
