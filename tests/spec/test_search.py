"""Designs of drawn points: what is drawn, exactly, and what stays when more are asked for."""

from __future__ import annotations

import math
import pickle
import random
import time
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import qmc

from orchestrator.spec import (
    Grid,
    Objective,
    Optuna,
    PointError,
    Random,
    Searcher,
    Sobol,
    Study,
    load_study,
)
from trainables.configs import FunctionRun, RunConfig, run_id
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.schedules import OneCycle

BASE = "study: s\noptimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 3}\n"
MIXED = (
    "sweep:\n"
    "  optimizer.lr: {log_uniform: [0.001, 1.0]}\n"
    "  optimizer.momentum: {uniform: [0.5, 0.9], step: 0.1}\n"
    "  train.batch_size: {integer: [16, 64], step: 16}\n"
    "  schedule: [{name: constant}, {name: cosine, warmup: 0.1}]\n"
)


def load(folder: Path, text: str) -> Study:
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path)


def points(study: Study) -> list[tuple[Any, ...]]:
    found = []
    for c in study.configurations:
        assert isinstance(c, RunConfig)
        assert isinstance(c.optimizer, Sgd)
        found.append((c.optimizer.lr, c.optimizer.momentum, c.train.batch_size, c.schedule.name))
    return found


def test_an_adaptive_search_suggests_what_the_study_lacks(tmp_path: Path) -> None:
    text = BASE + MIXED + "search: {name: optuna, runs: 60, seed: 3, first: [{lr: 0.5}]}\n"
    study = load(tmp_path, text)
    assert study.adaptive
    assert study.configurations == ()
    assert study.search == Optuna(runs=60, seed=3, first=({"optimizer.lr": 0.5},))
    assert study.size == 60
    assert study.space is not None
    paths = [dimension.path for dimension in study.space.dimensions]
    assert paths == ["optimizer.lr", "optimizer.momentum", "train.batch_size", "schedule"]
    point = study.space.point([0.5, 0.99, 0.0, 0.6])
    assert point == {
        "optimizer.lr": 0.0316228,
        "optimizer.momentum": 0.9,
        "train.batch_size": 16,
        "schedule": {"name": "cosine", "warmup": 0.1},
    }
    run = study.configuration(point)
    assert isinstance(run, RunConfig)
    assert (run.optimizer, run.train.batch_size) == (Sgd(lr=0.0316228, momentum=0.9), 16)
    assert (run.schedule.name, run.seed) == ("cosine", 0)
    with pytest.raises(PointError, match=r"optimizer\.lr: must be a number above 0, got -1"):
        study.configuration(point | {"optimizer.lr": -1.0})
    with pytest.raises(PointError, match=r"optimizer\.beta is no axis"):
        study.configuration(point | {"optimizer.beta": 3})
    with pytest.raises(PointError, match=r"optimizer\.lr has no value"):
        study.configuration({})


def test_ties_conditions_and_constraints_of_one_point(tmp_path: Path) -> None:
    text = (
        BASE + "sweep:\n"
        "  optimizer: [{name: sgd, lr: 1}, {name: adam}]\n"
        "  optimizer.momentum: {uniform: [0.1, 0.9], when: {optimizer.name: sgd}}\n"
        "  optimizer.lr: {tied: 0.1 * batch_size / 256}\n"
        "  train.batch_size: [64, 128]\n"
        "search:\n  name: random\n  runs: 5\n"
        "  constraints: [optimizer.name == 'sgd' or lr > 0.03]\n"
    )
    study = load(tmp_path, text)
    sgd = {"optimizer": {"name": "sgd", "lr": 1}, "optimizer.momentum": 0.25}
    run = study.configuration(sgd | {"train.batch_size": 64})
    assert isinstance(run, RunConfig)
    assert run.optimizer == Sgd(lr=0.025, momentum=0.25)
    adam = {"optimizer": {"name": "adam"}, "optimizer.momentum": 0.25}
    run = study.configuration(adam | {"train.batch_size": 128})
    assert isinstance(run, RunConfig)
    assert run.optimizer == Adam(lr=0.05)
    with pytest.raises(PointError, match=r"does not satisfy optimizer\.name == 'sgd' or lr > 0.03"):
        study.configuration(adam | {"train.batch_size": 64})


def test_own_training_has_a_space_too(tmp_path: Path) -> None:
    text = (
        "study: s\ntrainable: a:b\nconfig: {deep: {x: 3}}\nobjective: {metric: loss}\n"
        "sweep:\n  config.lr: {log_uniform: [0.01, 1.0]}\n"
        "  config.deep.y: {tied: lr * deep.x}\nsearch: {name: hyperopt, runs: 5}\n"
    )
    study = load(tmp_path, text)
    assert study.adaptive
    assert study.search == Searcher(name="hyperopt", runs=5)
    config = {"deep": {"x": 3, "y": 0.75}, "lr": 0.25}
    assert study.configuration({"config.lr": 0.25}) == FunctionRun(trainable="a:b", config=config)


def test_a_study_with_a_space_can_be_sent_to_another_process(tmp_path: Path) -> None:
    axes = "sweep: {optimizer.lr: [1, 2], optimizer.weight_decay: {tied: lr / 10}}\n"
    study = load(tmp_path, BASE + axes + "search: {name: optuna, runs: 3}\n")
    twin = pickle.loads(pickle.dumps(study))
    assert twin == study
    assert twin.configuration({"optimizer.lr": 2}) == study.configuration({"optimizer.lr": 2})


def test_a_study_is_a_grid_unless_it_says_so(tmp_path: Path) -> None:
    study = load(tmp_path, BASE)
    assert study.search == Grid()
    assert study.space is None
    assert not study.adaptive


@pytest.mark.parametrize(("name", "kind"), [("random", Random), ("sobol", Sobol)])
def test_more_runs_keep_the_points_that_there_were(
    name: str, kind: type[Any], tmp_path: Path
) -> None:
    few = load(tmp_path, f"{BASE}{MIXED}search: {{name: {name}, runs: 11, seed: 5}}\n")
    more = load(tmp_path, f"{BASE}{MIXED}search: {{name: {name}, runs: 307, seed: 5}}\n")
    other = load(tmp_path, f"{BASE}{MIXED}search: {{name: {name}, runs: 11, seed: 6}}\n")
    assert few.search == kind(runs=11, seed=5)
    assert len(set(points(few))) == 11
    assert len(set(points(more))) == 307
    assert points(more)[:11] == points(few)
    assert not set(points(other)) & set(points(few))
    assert all(0.001 <= lr <= 1.0 for lr, *_ in points(more))
    assert {m for _, m, *_ in points(more)} == {0.5, 0.6, 0.7, 0.8, 0.9}
    assert {size for _, _, size, _ in points(more)} == {16, 32, 48, 64}
    half = sum(math.log10(lr) < -1.5 for lr, *_ in points(more))
    assert 110 < half < 197


LR, STEPS, SIZES = (0.001, 1.0), [0.5, 0.6, 0.7, 0.8, 0.9], [16, 32, 48, 64]


def test_random_points_are_those_of_pythons_generator(tmp_path: Path) -> None:
    study = load(tmp_path, f"{BASE}{MIXED}search: {{name: random, runs: 29, seed: 7}}\n")
    generator = random.Random(7)
    expected = []
    for _ in range(29):
        a, b, c, d = (generator.random() for _ in range(4))
        lr = float(f"{10 ** (-3 + 3 * a):.6g}")
        expected.append(
            (lr, STEPS[int(5 * b)], SIZES[int(4 * c)], ["constant", "cosine"][int(2 * d)])
        )
    assert points(study) == expected
    assert study.axes["optimizer.momentum"] == tuple(dict.fromkeys(m for _, m, *_ in expected))


def test_sobol_points_are_scipys(tmp_path: Path) -> None:
    study = load(tmp_path, f"{BASE}{MIXED}search: {{name: sobol, runs: 700, seed: 7}}\n")
    unit = qmc.Sobol(4, scramble=True, rng=7).random_base2(10)[:700]
    assert points(study) == [
        (
            float(f"{10 ** (-3 + 3 * a):.6g}"),
            STEPS[int(5 * b)],
            SIZES[int(4 * c)],
            ["constant", "cosine"][int(2 * d)],
        )
        for a, b, c, d in unit
    ]
    assert "evener with a power of two (512 or 1024)" in study.design


def test_drawn_points_are_pinned(tmp_path: Path) -> None:
    """What a seed means must never change: studies that go on would get other runs."""
    study = load(tmp_path, f"{BASE}{MIXED}search: {{name: random, runs: 3, seed: 7}}\n")
    assert points(study) == [
        (0.0093648, 0.5, 48, "constant"),
        (0.0405178, 0.6, 16, "cosine"),
        (0.00129565, 0.7, 16, "constant"),
    ]
    ids = ["6bba4d0d292a2023", "f17254fe248d34a7", "c3a66af19363b403"]
    assert [run_id(run) for run in study.configurations] == ids
    study = load(tmp_path, f"{BASE}{MIXED}search: {{name: sobol, runs: 3, seed: 7}}\n")
    assert points(study) == [
        (0.0893883, 0.9, 16, "cosine"),
        (0.00242589, 0.6, 48, "constant"),
        (0.00664143, 0.8, 32, "cosine"),
    ]


def test_points_that_are_equal_are_drawn_once(tmp_path: Path) -> None:
    axes = "sweep: {train.batch_size: {integer: [1, 3]}, schedule: [{name: rex}, {name: cosine}]}\n"
    study = load(tmp_path, f"{BASE}{axes}search: {{name: random, runs: 20}}\n")
    assert len({run_id(run) for run in study.configurations}) == len(study.configurations) == 6
    assert "the space has no more that differ (20 were asked for)" in study.design
    few = load(tmp_path, f"{BASE}{axes}search: {{name: random, runs: 4}}\n")
    assert few.configurations == study.configurations[:4]


def test_constraints_leave_as_many_points_as_were_asked_for(tmp_path: Path) -> None:
    free = f"{BASE}{MIXED}search: {{name: random, runs: 101, seed: 2}}\n"
    bound = free.replace("seed: 2", "seed: 2, constraints: [lr * batch_size < 3, momentum > 0.5]")
    study = load(tmp_path, bound)
    assert len(study.configurations) == 101
    assert all(lr * size < 3 and momentum > 0.5 for lr, momentum, size, _ in points(study))
    kept = [p for p in points(load(tmp_path, free)) if p[0] * p[2] < 3 and p[1] > 0.5]
    assert 0 < len(kept) < 101
    assert points(study)[: len(kept)] == kept
    assert "constraints refuse" in study.design


def test_first_points_come_first_and_are_filled(tmp_path: Path) -> None:
    text = f"{BASE}{MIXED}search: {{name: random, runs: 7, seed: 2}}\n"
    first = (
        "[{lr: 0.5, schedule: {name: cosine, warmup: 0.1}}, {optimizer.lr: 0.25, momentum: 0.6, "
    )
    first += "batch_size: 64, schedule: {name: constant}}]"
    study = load(tmp_path, text.replace("seed: 2", f"seed: 2, first: {first}"))
    found = points(study)
    assert (found[0][0], found[0][3]) == (0.5, "cosine")
    assert found[1] == (0.25, 0.6, 64, "constant")
    others = points(load(tmp_path, text))
    assert found[2:] == others[:5]
    assert found[0][1:3] != others[0][1:3], "filled from a generator of its own"


def test_a_grid_with_conditions_ties_and_constraints(tmp_path: Path) -> None:
    axes = (
        "sweep:\n"
        "  schedule: [{name: constant}, {name: cosine}, {name: rex, warmup: 0.3}]\n"
        "  schedule.warmup: {values: [0.1, 0.2], when: {schedule.name: cosine}}\n"
        "  train.batch_size: {integer: [16, 64], step: 16}\n"
        "  optimizer.lr: {tied: 0.1 * batch_size / 32}\n"
        "search: {constraints: ['not (batch_size == 64 and schedule.name == \"rex\")']}\n"
    )
    study = load(tmp_path, BASE + axes)
    schedules = [("constant", 0.0), ("cosine", 0.1), ("cosine", 0.2), ("rex", 0.3)]
    expected = [
        (name, warmup, size, 0.1 * size / 32)
        for name, warmup in schedules
        for size in (16, 32, 48, 64)
        if not (size == 64 and name == "rex")
    ]
    found = [
        (c.schedule.name, c.schedule.warmup, c.train.batch_size, c.optimizer.lr)
        for c in study.configurations
        if isinstance(c, RunConfig) and not isinstance(c.schedule, OneCycle)
    ]
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in expected])
    assert study.axes["optimizer.lr"] == pytest.approx((0.05, 0.1, 0.15, 0.2))
    assert study.design == "grid, 15 configurations; constraints refuse 1 of 16 points"


def test_a_first_point_of_a_grid_is_moved_to_the_front(tmp_path: Path) -> None:
    axes = "sweep: {optimizer.lr: [1, 2, 3], train.batch_size: [8, 16]}\n"
    study = load(tmp_path, f"{BASE}{axes}search: {{first: [{{lr: 2, batch_size: 16}}]}}\n")
    found = [(p[0], p[2]) for p in points(study)]
    assert found == [(2, 16), (1, 8), (1, 16), (2, 8), (3, 8), (3, 16)]


def test_conditions_may_be_chained(tmp_path: Path) -> None:
    axes = (
        "sweep:\n"
        "  optimizer.momentum: {values: [0.5, 0.9], when: {optimizer.nesterov: true}}\n"
        "  optimizer.nesterov: {values: [true, false], when: {schedule.name: rex}}\n"
        "  schedule.name: [rex, cosine]\n"
    )
    study = load(tmp_path, BASE + axes)
    found = [
        (c.schedule.name, c.optimizer.nesterov, c.optimizer.momentum)
        for c in study.configurations
        if isinstance(c, RunConfig) and isinstance(c.optimizer, Sgd)
    ]
    assert sorted(found) == [
        ("cosine", False, 0.0),
        ("rex", False, 0.0),
        ("rex", True, 0.5),
        ("rex", True, 0.9),
    ]


def test_short_names_mean_axes_first(tmp_path: Path) -> None:
    axes = "sweep: {model.scale: [0.5, 0.25], optimizer.lr: {tied: scale / 5}}\n"
    study = load(tmp_path, BASE + "data: {name: teacher_student}\n" + axes)
    assert study.axes["optimizer.lr"] == (0.1, 0.05)


def test_a_variable_sets_nothing_itself(tmp_path: Path) -> None:
    axes = "sweep: {let.base: [1, 2], train.batch_size: [8, 16], optimizer.lr: {tied: base * 8 / "
    axes += "batch_size}}\n"
    study = load(tmp_path, BASE + axes)
    assert list(study.axes) == ["train.batch_size", "optimizer.lr"]
    assert [(p[0], p[2]) for p in points(study)] == [(1.0, 8), (0.5, 16), (2.0, 8), (1.0, 16)]
    run = study.configuration({"let.base": 3, "train.batch_size": 8})
    assert isinstance(run, RunConfig)
    assert run.optimizer == Sgd(lr=3.0)


def test_several_objectives(tmp_path: Path) -> None:
    text = BASE + "objective: [{metric: valid/accuracy}, {metric: train/loss}]\n"
    study = load(tmp_path, text)
    assert study.objectives == (
        Objective(metric="valid/accuracy", mode="max"),
        Objective(metric="train/loss", mode="min"),
    )
    assert study.objective == study.objectives[0]
    assert load(tmp_path, BASE).objectives == (Objective(),)


def test_an_override_takes_an_axis_away_but_not_what_hangs_on_it(tmp_path: Path) -> None:
    axes = "sweep: {optimizer.lr: [1, 2], optimizer.weight_decay: {tied: lr / 10}}\n"
    (tmp_path / "s.yaml").write_text(BASE + axes)
    study = load_study(tmp_path / "s.yaml", ["optimizer.lr=0.5", "search={name: random, runs: 1}"])
    assert study.axes == {"optimizer.weight_decay": (0.05,)}


@pytest.mark.parametrize("name", ["grid", "random"])
def test_ten_thousand_configurations_take_seconds(name: str, tmp_path: Path) -> None:
    axes = MIXED.replace("[0.001, 1.0]}", "[0.001, 1.0]}\n  optimizer.weight_decay: {tied: lr / 9}")
    search = "search: {name: random, runs: 10000, constraints: [lr * batch_size < 50]}\n"
    if name == "grid":
        axes = axes.replace("log_uniform: [0.001, 1.0]", "log: [0.001, 1.0], points: 251")
        search = ""
    started = time.perf_counter()
    study = load(tmp_path, BASE + axes + search)
    assert len(study.configurations) == (251 * 5 * 4 * 2 if name == "grid" else 10_000)
    assert time.perf_counter() - started < 10
