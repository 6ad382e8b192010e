"""Configurations that were stored are the configurations that they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.spec import load_study
from orchestrator.spec.stored import stored_run
from trainables.configs import RunConfig, run_id, to_plain

STUDIES = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
MANY = """\
study: s
optimizer: {name: adam, lr: 0.1}
train:
  epochs: 3
  evaluate_every: {steps: 7}
  target: {metric: valid/loss, value: 0.1}
seeds: [0, 9223372036854775807]
sweep:
  model: [{name: mlp, hidden: [3, 5]}, {name: 'a.b:c', args: {x: [1, {y: null}]}}]
  schedule:
    - {name: sequence, schedules: [{name: rex}, {name: cosine, warmup: {epochs: 1}}],
       durations: [0.5]}
    - {name: 'my:schedule', args: {x: 1}}
  train.swa: [null, {start: 0.5, every: {steps: 3}}]
  train.augment: [null, {crop: 1, flip: true}]
  probes: [{}, {noise_scale: {every: 7, parts: 4}}]
"""


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_of_the_sweeps(path: Path) -> None:
    _same(path)


def test_of_many_kinds(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MANY)
    _same(tmp_path / "s.yaml")


def _same(path: Path) -> None:
    for run in load_study(path).runs()[:200]:
        assert isinstance(run, RunConfig)
        again = stored_run(json.loads(json.dumps(to_plain(run))))
        assert again == run
        assert run_id(again) == run_id(run)


def test_of_a_store_from_before_there_were_probes(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MANY)
    run = load_study(tmp_path / "s.yaml").runs()[0]
    plain = to_plain(run)
    assert plain.pop("probes") is None
    assert stored_run(plain) == run


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MANY)
    plain = to_plain(load_study(tmp_path / "s.yaml").runs()[0])
    plain["optimizer"]["gone"] = 3
    with pytest.raises(ValueError, match=r"optimizer\.gone: unknown key"):
        stored_run(plain)
