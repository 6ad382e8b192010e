"""The JSON Schema of a study, judged by an independent validator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.spec import json_schema, template
from orchestrator.spec.errors import Place
from orchestrator.spec.tree import plain
from orchestrator.spec.yaml_source import read

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "sweeps").glob("*.yaml"))
BASE = "study: s\noptimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 3}\n"
OWN = "study: s\ntrainable: a:b\nobjective: {metric: my own, mode: max}\n"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def parsed(text: str) -> Any:
    return plain(read(text, Place("s.yaml", 1, 1)))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_sweeps_are_valid(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parsed(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "seeds: [1, 2]\n",
        "sweep: {train.augment: [null, {crop: 4, flip: true, cutout: 8}]}\n",
        "sweep: {train.swa: [{start: 0.5, every: {steps: 3}}], train.ema: [null, 0.9]}\n",
        "sweep: {train.batch_growth: [{factor: 2, milestones: [{epochs: 1}], largest: 512}]}\n",
        "model: {name: 'a.b:c', args: {x: 1}}\n",
        "schedule: {name: step, every: {steps: 3}, warmup: {epochs: 0.5}}\n",
        "schedule: {name: sequence, schedules: [{name: rex}, {name: chain, schedules: "
        "[{name: 'a.b:c', args: {x: 1}}, {name: cosine}]}], durations: [{epochs: 2}]}\n",
        "sweep: {schedule: [{name: 'a.b:c'}, {name: cyclic, cycle_momentum: true}]}\n",
        "sweep: {optimizer: [{name: adam}], optimizer.lr: {log: [0.1, 1], points: 3}}\n",
        "early_stopping: {name: asha, grace: {epochs: 2}, reduction: 4, max: 0.5}\n",
        "early_stopping: [{name: patience, evaluations: 3}, {name: budget, hours: 1.5}]\n",
        "sweep: {schedule.warmup: {values: [0.1, {steps: 5}]}}\n",
        "sweep: {optimizer.lr: {uniform: [0.1, 1], step: 0.1, when: {model.name: [mlp, vit]}}}\n",
        "sweep: {train.batch_size: {integer: [1, 9]}, optimizer.lr: {tied: 'batch_size / 9'}}\n"
        "search: {name: random, runs: 9, seed: 3, first: [{lr: 3}], constraints: [lr < 1]}\n",
        "sweep: {schedule: {choice: [{name: rex}]}}\nsearch: {constraints: [lr < 1]}\n",
        "sweep: {let.base_lr: [1, 2], optimizer.lr: {tied: 2 * base_lr}}\n",
        "sweep: {let.m: [1], model: {tied: m, values: {'1': {name: linear}}}}\n",
        "sweep: {optimizer.lr: [1, 2]}\nsearch: {name: optuna, runs: 3, options: {a: 1}}\n",
        "sweep: {optimizer.lr: [1, 2]}\nsearch: {name: hyperopt, runs: 3, options: {a: 1}}\n",
        "sweep: {optimizer.lr: [1, 2]}\nsearch: {name: 'a.b:c', runs: 3}\n",
        "objective: [{metric: valid/loss}, {metric: valid/accuracy, mode: max}]\n",
        "probes: {noise_scale: {every: 10, parts: 2, decay: 0.9}}\n",
        "probes: {spectrum: {at: [0, 0.5], every: 3, matrix: gauss_newton, density: false}}\n",
        "probes: {}\nsweep: {probes.noise_scale.parts: [2, 4], train.accumulate: [1, 4]}\n",
    ],
)
def test_good_studies_are_valid(more: str, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parsed(BASE + more))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "config: {lr: 0.1, deep: {seed: 3}}\nseeds: 3\n",
        "sweep: {config.lr: {log: [0.1, 1], points: 3}, config.a.seed: [1]}\n",
        "execution: {checkpoint_every: 5}\nresources: {cpus: 2}\n",
        "early_stopping: {name: median, grace: {steps: 3}, metric: any}\n",
        "sweep: {config.lr: {log_uniform: [0.1, 1]}}\nsearch: {name: sobol, runs: 3}\n",
    ],
)
def test_good_studies_of_own_training(
    more: str, validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(parsed(OWN + more))


def test_the_template_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(parsed(template()))


@pytest.mark.parametrize(
    "text",
    [
        BASE[9:],
        "study: s\ntrain: {epochs: 3}\n",
        "study: .s\n" + BASE[9:],
        BASE + "optimiser: {}\n",
        BASE + "schedule: {name: cosin}\n",
        BASE + "schedule: {name: cosine, gamma: 2}\n",
        BASE + "schedule: {name: cosine, warmup: 2}\n",
        BASE + "schedule: {warmup: 0.2}\n",
        BASE + "schedule: {name: chain, schedules: [{name: cosin}]}\n",
        BASE + "schedule: {name: chain, schedules: [{name: cosine, gamma: 2}]}\n",
        BASE + "model: {skip: true}\n",
        BASE + "model: {name: mlp, hidden: [0]}\n",
        BASE + "model: {name: 'a b:c'}\n",
        BASE + "probes: {noise_scale: {parts: 1}}\n",
        BASE + "probes: {noise: {}}\n",
        BASE + "seeds: 0\n",
        BASE + "sweep: {lr: [1]}\n",
        BASE + "sweep: {optimizer.lr: []}\n",
        BASE + "sweep: {optimizer.lr: {log: [0, 1], points: 3}}\n",
        BASE + "sweep: {schedule: [{name: cosin}]}\n",
        BASE + "objective: {metric: loss}\n",
        BASE + "early_stopping: {name: hyperband}\n",
        BASE + "early_stopping: []\n",
        BASE + "early_stopping: {name: median, reduction: 3}\n",
        BASE + "early_stopping: [{name: asha, reduction: 1}]\n",
        BASE + "objective: []\n",
        BASE + "objective: [{metric: loss}]\n",
        BASE + "search: random\n",
        BASE + "search: {name: random}\n",
        BASE + "search: {name: randon, runs: 3}\n",
        BASE + "search: {name: grid, runs: 3}\n",
        BASE + "search: {name: random, runs: 0}\n",
        BASE + "search: {name: random, runs: 3, sampler: tpe}\n",
        BASE + "search: {name: optuna, runs: 3, sampler: tp}\n",
        BASE + "search: {name: bohb, runs: 3, first: [3]}\n",
        BASE + "sweep: {optimizer.lr: {uniform: [0.1]}}\n",
        BASE + "sweep: {optimizer.lr: {uniform: [0, 1], points: 3}}\n",
        BASE + "sweep: {optimizer.lr: {log_uniform: [0, 1]}}\n",
        BASE + "sweep: {train.batch_size: {integer: [0.5, 1]}}\n",
        BASE + "sweep: {optimizer.lr: {tied: 3}}\n",
        BASE + "sweep: {optimizer.lr: {values: [1], when: {}}}\n",
        BASE + "config: {lr: 1}\n",
        BASE + "trainable: a:b\n",
        OWN.replace("a:b", "ab"),
        "study: s\ntrainable: a:b\n",
        "study: s\ntrainable: a:b\nobjective: {mode: min}\n",
        OWN + "model: {name: mlp}\n",
        OWN + "config: {seed: 1}\n",
        OWN + "config: 3\n",
        OWN + "sweep: {lr: [1]}\n",
        OWN + "sweep: {config: [{}]}\n",
        OWN + "sweep: {config.seed: [1]}\n",
        OWN + "sweep: {config.trainable.x: [1]}\n",
        OWN + "sweep: {optimizer.lr: [1]}\n",
        OWN + "execution: {lanes: 5}\n",
        BASE.replace("lr: 0.1", "lr: 0"),
        BASE.replace("sgd", "adam, momentum: 0.9"),
    ],
)
def test_malformed_studies_are_not(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert list(validator.iter_errors(parsed(text)))


def test_descriptions_come_from_the_docstrings() -> None:
    definitions = json_schema()["$defs"]
    size = definitions["Train"]["properties"]["batch_size"]
    assert size["description"].startswith("Examples in one step")
    assert size["minimum"] == 1
    assert definitions["Execution"]["properties"]["lanes"]["description"].startswith("At most")
    assert definitions["Train"]["properties"]["evaluate_every"]["default"] == {"epochs": 1.0}
    assert definitions["Sgd"]["description"].startswith("Stochastic gradient descent")


def test_it_is_json() -> None:
    assert json.loads(json.dumps(json_schema())) == json_schema()
