"""Ties that look their values up: one variable chooses whole sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import PointError, Study, load_study
from tests.spec.malformed import Case, refused, study, sweep
from trainables.configs import RunConfig, run_id
from trainables.configs.data import Digits, GaussianMixture
from trainables.configs.models import Linear, Mlp

TASKS = (
    "study: s\n"
    "optimizer: {name: sgd}\n"
    "train: {epochs: 3}\n"
    "sweep:\n"
    "  let.task: [a, b]\n"
    "  let.scale: [1, 4]\n"
    "  data: {tied: task, values: {a: {name: digits}, b: {name: gaussian_mixture, classes: 3}}}\n"
    "  model: {tied: task, values: {a: {name: mlp, hidden: [5]}, b: {name: linear}}}\n"
    "  data.separation: {values: [1.5, 2.5], when: {let.task: b}}\n"
    "  let.base: {tied: task, values: {a: 0.5, b: 0.125}}\n"
    "  optimizer.lr: {tied: base * scale}\n"
    "  train.batch_size: {tied: scale, values: {'1': 8, '4': 64}}\n"
)


def load(folder: Path, text: str, *overrides: str) -> Study:
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, overrides)


def test_one_variable_chooses_sections_that_belong_together(tmp_path: Path) -> None:
    found = []
    for run in load(tmp_path, TASKS).configurations:
        assert isinstance(run, RunConfig)
        found.append((run.data, run.model, run.optimizer.lr, run.train.batch_size))
    mixtures = [GaussianMixture(classes=3, separation=s) for s in (1.5, 2.5)]
    expected = [
        *((Digits(), Mlp(hidden=(5,)), 0.5 * scale, batch) for scale, batch in ((1, 8), (4, 64))),
        *(
            (data, Linear(), 0.125 * scale, batch)
            for scale, batch in ((1, 8), (4, 64))
            for data in mixtures
        ),
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_runs_are_those_of_the_sections_written_out(tmp_path: Path) -> None:
    """A table renames no run."""
    plain = "study: s\noptimizer: {name: sgd, lr: 0.5}\ntrain: {epochs: 3, batch_size: 8}\n"
    (written,) = load(tmp_path, plain + "model: {name: mlp, hidden: [5]}\n").configurations
    ids = {run_id(run) for run in load(tmp_path, TASKS).configurations}
    assert run_id(written) in ids


def test_a_searcher_gets_the_same(tmp_path: Path) -> None:
    found = load(tmp_path, TASKS + "search: {name: optuna, runs: 9}\n")
    point = {"let.task": "b", "let.scale": 4, "data.separation": 2.5}
    run = found.configuration(point)
    assert isinstance(run, RunConfig)
    assert (run.data, run.train.batch_size) == (GaussianMixture(classes=3, separation=2.5), 64)
    with pytest.raises(PointError, match=r"let\.task|values must"):
        found.configuration(point | {"let.task": 3})


def test_a_table_may_be_overridden(tmp_path: Path) -> None:
    found = load(
        tmp_path, TASKS, "sweep.model={tied: task, values: {a: {name: linear}, b: {name: linear}}}"
    )
    models = {run.model for run in found.configurations if isinstance(run, RunConfig)}
    assert models == {Linear()}


CASES: dict[str, Case] = {
    "not in the table": (
        sweep("let.m: [1, 2], optimizer.lr: {tied: m, values: {'1': 0.1}}"),
        ("4:45", "values must have 2, and has 1", "(in m)"),
    ),
    "not a whole number": (
        sweep("let.m: [1, 2], optimizer.lr: {tied: m / 1, values: {'1': 0.1, '2': 0.2}}"),
        ("4:45", "values must have 1.0, and has 1 or 2", "(in m / 1)"),
    ),
    "no table": (
        sweep("optimizer.lr: {tied: seed, values: [1, 2]}"),
        ("4:44", "values beside tied must be a mapping", "such as {sgd: 0.1, adam: 0.001}, got"),
    ),
    "an empty table": (
        sweep("optimizer.lr: {tied: seed, values: {}}"),
        ("4:44", "values beside tied must be a mapping", "got {}"),
    ),
    "a wrong value in the table": (
        sweep("let.m: [1, 2], optimizer.lr: {tied: m, values: {'1': 0.1, '2': -0.2}}"),
        ("4:72", "optimizer.lr: must be", "got -0.2"),
    ),
    "a wrong section in the table": (
        study(
            "sweep:\n  let.task: [a, b]\n"
            "  data: {tied: task, values: {a: {name: digits}, b: {name: digitz}}}\n"
        ),
        ("6:60", "data.name: must be", "did you mean digits?"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
