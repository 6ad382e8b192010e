"""Designs of drawn points: what is drawn, exactly, and what stays when more are asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import Grid, Optuna, PointError, Random, Searcher, Sobol, Study, load_study
from trainables.configs import FunctionRun, RunConfig
from trainables.configs.optimizers import Adam, Sgd

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
    text = BASE + MIXED + "search: {name: optuna, runs: 60, seed: 3, sampler: tpe}\n"
    study = load(tmp_path, text)
    assert study.adaptive
    assert study.configurations == ()
    assert study.search == Optuna(runs=60, seed=3)
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
