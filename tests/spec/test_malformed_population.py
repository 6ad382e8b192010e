"""Malformed populations, and changes of hyperparameters on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import load_study
from tests.spec.malformed import Case, own, refused, study
from trainables.configs import RunConfig, fusion_key, run_id
from trainables.configs.base import Epochs
from trainables.configs.population import Mutable

LR = "sweep: {optimizer.lr: {log_uniform: [0.01, 1]}}\n"
TRAIN = "{epochs: 6}"


def pbt(options: str = "", axes: str = LR, more: str = "", train: str = TRAIN) -> str:
    rest = f", {options}" if options else ""
    search = f"search: {{name: pbt, population: 8, interval: {{epochs: 2}}{rest}}}\n"
    return study(search + axes + more, train=train)


def axis(text: str) -> str:
    return pbt(axes=f"sweep: {{{text}}}\n")


def change(text: str, train: str = "epochs: 6") -> str:
    return study(train=f"{{{train}, changes: [{text}]}}")


CASES: dict[str, Case] = {
    "no population": (
        study("search: {name: pbt, interval: {epochs: 1}}\n" + LR),
        ("4:9", "search.population: is required", "a whole number"),
    ),
    "no interval": (
        study("search: {name: pbt, population: 4}\n" + LR),
        ("4:9", "search.interval: is required", "{epochs: "),
    ),
    "population of one": (
        study("search: {name: pbt, population: 1, interval: 0.5}\n" + LR),
        ("4:33", "search.population: must be a whole number", "got 1"),
    ),
    "more than half": (
        pbt("quantile: 0.6"),
        ("4:69", "search.quantile: must be a number above 0", "got 0.6"),
    ),
    "no one is replaced": (
        pbt("quantile: 0.1"),
        ("4:69", "search.quantile: must be at least 1 / population (0.125)", "got 0.1"),
    ),
    "no factors": (
        pbt("factors: []"),
        ("4:9", "search: factors must be at least one", "[0.8, 1.2]"),
    ),
    "a factor of zero": (pbt("factors: [0]"), ("4:69", "search.factors.0: must be", "above 0")),
    "runs": (pbt("runs: 9"), ("4:59", "search.runs: unknown key", "population, interval")),
    "interval off the grid": (
        pbt(train="{epochs: 6, evaluate_every: {epochs: 1.5}}"),
        ("4:46", "search.interval: must be a multiple of train.evaluate_every", "{epochs: 1.5}"),
    ),
    "interval as long as training": (
        pbt(train="{epochs: 2}"),
        ("4:46", "search.interval: must be shorter than training (2 epochs)", "{epochs: 2.0}"),
    ),
    "a share between evaluations": (
        study(
            "search: {name: pbt, population: 8, interval: 0.3}\n" + LR,
            train="{epochs: 6, evaluate_every: 0.25}",
        ),
        ("4:46", "search.interval: must be a multiple", "0.25, got 0.3"),
    ),
    "an axis of the model": (
        axis("optimizer.lr: {uniform: [0.1, 1]}, model.hidden: [[3], [5]]"),
        ("5:44", "sweep.model.hidden: ", "numbers of the optimizer"),
    ),
    "the optimizer's name": (
        axis("optimizer.name: [sgd, adam]"),
        ("5:9", "sweep.optimizer.name: pbt changes hyperparameters", "such as optimizer.lr"),
    ),
    "the batch size": (
        axis("train.batch_size: {integer: [8, 64]}"),
        ("5:37", "only numbers of the optimizer can vary", "got train.batch_size"),
    ),
    "a list": (
        axis("optimizer.lr: [0.1, 0.2]"),
        ("5:9", "sweep.optimizer.lr: must be a range under pbt", "{log_uniform: [a, b]}"),
    ),
    "steps": (
        axis("optimizer.lr: {uniform: [0.1, 1], step: 0.1}"),
        ("5:33", "takes no step under pbt", "{uniform: [a, b]}"),
    ),
    "a tie": (
        axis(
            "optimizer.lr: {uniform: [0.1, 1]}, optimizer.weight_decay: {tied: 'optimizer.lr / 10'}"
        ),
        ("5:75", "sweep.optimizer.weight_decay: must be a range under pbt", "{uniform: [a, b]}"),
    ),
    "a condition": (
        axis("optimizer.lr: {uniform: [0.1, 1], when: {model.name: mlp}}"),
        ("5:33", "must be there in every member", "without when"),
    ),
    "a constraint": (
        pbt("constraints: [optimizer.lr < 0.5]"),
        ("4:72", "search.constraints: do not go with pbt", "leave them out"),
    ),
    "an end that is no value": (
        axis("optimizer.momentum: {uniform: [0.5, 1]}"),
        ("5:39", "momentum", "(an end of the range: momentum = 1)"),
    ),
    "an end that is none together": (
        study(
            "search: {name: pbt, population: 8, interval: {epochs: 1}}\n"
            "sweep: {optimizer.momentum: {uniform: [0, 0.9]}}\n",
            optimizer="{name: sgd, lr: 0.1, nesterov: true}",
        ),
        ("5:39", "nesterov needs a momentum above 0", "momentum = 0)"),
    ),
    "a cycled momentum": (
        study(
            "search: {name: pbt, population: 8, interval: {epochs: 2}}\n"
            "sweep: {optimizer.momentum: {uniform: [0.1, 0.9]}}\n"
            "schedule: {name: one_cycle, cycle_momentum: true}\n",
            train=TRAIN,
        ),
        ("5:9", "sweep.optimizer.momentum: has no effect", "do not cycle it"),
    ),
    "too few lanes": (
        pbt(more="execution: {lanes: 5}\n"),
        ("6:20", "execution.lanes: must be at least 8", "got 5"),
    ),
    "a target": (
        pbt(train="{epochs: 6, target: {metric: valid/loss, value: 0.1}}"),
        ("3:28", "train.target: must be left out under pbt", "end together"),
    ),
    "changes as well": (
        pbt(train="{epochs: 6, changes: [{step: 3, optimizer: {lr: 0.1}}]}"),
        ("3:29", "train.changes: must be left out under pbt", "finds the changes"),
    ),
    "early stopping": (
        pbt(more="early_stopping: {name: patience, evaluations: 2}\n"),
        ("6:17", "early_stopping: does not go with pbt", "replaces members"),
    ),
    "two objectives": (
        pbt(more="objective: [{metric: valid/loss}, {metric: valid/accuracy}]\n"),
        ("6:12", "objective: pbt ranks by one objective", "got 2"),
    ),
    "own training": (
        own(
            "search: {name: pbt, population: 8, interval: {steps: 2}}\n"
            "sweep: {config.lr: {uniform: [0, 1]}}\n"
        ),
        ("5:30", "sweep.config.lr: pbt copies lanes", "use another search"),
    ),
    "no axis": (
        study("search: {name: pbt, population: 8, interval: {epochs: 1}}\n"),
        ("4:9", "search: pbt needs a sweep", "no axis to draw"),
    ),
    "change of no number": (
        change("{step: 3, optimizer: {nesterov: 1}}"),
        (
            "3:51",
            "train.changes.0.optimizer: sgd has no number nesterov",
            "momentum or weight_decay",
        ),
    ),
    "change misspelt": (
        change("{step: 3, optimizer: {momentun: 0.5}}"),
        ("3:51", "has no number momentun", "did you mean momentum?"),
    ),
    "change to no value": (
        change("{step: 3, optimizer: {momentum: 1.5}}"),
        ("3:51", "train.changes.0.optimizer: momentum: must be", "got 1.5"),
    ),
    "change after the end": (
        change("{step: 30, optimizer: {lr: 0.5}}", "steps: 30"),
        ("3:37", "train.changes.0.step: must be below train.steps, 30", "got 30"),
    ),
    "changes out of order": (
        change("{step: 9, optimizer: {lr: 0.5}}, {step: 9, optimizer: {lr: 0.3}}"),
        ("3:8", "train: changes must be in the order of their steps", "one for each"),
    ),
    "change without a step": (
        change("{optimizer: {lr: 0.5}}"),
        ("3:30", "train.changes.0.step: is required", "a whole number"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])


def members_of(folder: Path, text: str) -> list[RunConfig]:
    path = folder / "s.yaml"
    path.write_text(text)
    runs = load_study(path).runs()
    assert all(isinstance(run, RunConfig) for run in runs)
    return [run for run in runs if isinstance(run, RunConfig)]


def test_a_population_is_a_random_design_of_runs_that_know_it(tmp_path: Path) -> None:
    runs = members_of(tmp_path, pbt(more="seeds: 3\n"))
    drawn = members_of(
        tmp_path, study("search: {name: random, runs: 8}\nseeds: 3\n" + LR, train=TRAIN)
    )
    assert [run.optimizer for run in runs] == [run.optimizer for run in drawn]
    assert not {run_id(run) for run in runs} & {run_id(run) for run in drawn}
    assert len({fusion_key(run) for run in runs}) == 1
    assert fusion_key(runs[0]) != fusion_key(drawn[0])
    (found,) = {run.population for run in runs}
    assert found is not None
    assert (found.size, found.interval, found.quantile) == (8, Epochs(epochs=2.0), 0.25)
    assert (found.metric, found.mode, found.factors) == ("valid/loss", "min", (0.8, 1.2))
    assert found.space == (Mutable(name="lr", low=0.01, high=1.0, log=True),)


def test_members_of_other_populations_are_other_runs(tmp_path: Path) -> None:
    ids = {run_id(run) for run in members_of(tmp_path, pbt())}
    assert ids == {run_id(run) for run in members_of(tmp_path, pbt())}
    for options in ("quantile: 0.5", "resample: 0.5", "factors: [2]", "first: [{lr: 0.5}]"):
        assert not ids & {run_id(run) for run in members_of(tmp_path, pbt(options))}
