"""Values ↔ what a searcher deals in; points of configurations that the store has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.search.coding import decode, encode, lies_in, point_of
from orchestrator.search.searchers import domain
from tests.search.loop import study
from trainables.configs.base import to_plain

STUDY = """\
study: searched
data: {name: digits}
model: {name: mlp, hidden: [5]}
train: {epochs: 3}
search: {name: "tests.search.loop:Drawn", runs: 13}
optimizer: {name: sgd, lr: 0.1}
sweep:
  optimizer.name: [sgd, adam]
  optimizer.lr: {log_uniform: [1.0e-4, 1.0]}
  optimizer.momentum: {uniform: [0.0, 0.9], step: 0.3, when: {optimizer.name: sgd}}
  train.batch_size: {log_integer: [16, 128]}
  train.epochs: {integer: [3, 11], step: 4}
  schedule: [{name: constant}, {name: cosine, warmup: 0.1}]
"""
VALUES: dict[str, list[tuple[Any, Any]]] = {
    "optimizer.name": [("sgd", 0), ("adam", 1)],
    "optimizer.lr": [(0.0312345, 0.0312345)],
    "optimizer.momentum": [(0.0, 0), (0.6, 2), (0.9, 3)],
    "train.batch_size": [(16, 16), (127, 127)],
    "train.epochs": [(3, 0), (7, 1), (11, 2)],
    "schedule": [({"name": "cosine", "warmup": 0.1}, 1)],
}


@pytest.mark.parametrize("path", VALUES)
def test_values_are_coded_and_back(tmp_path: Path, path: str) -> None:
    space = study(tmp_path, STUDY).space
    assert space is not None
    dimension = next(d for d in space.dimensions if d.path == path)
    for value, code in VALUES[path]:
        assert encode(dimension, value) == code
        assert decode(dimension, code) == value


def test_numbers_are_written_readably_and_within_the_range(tmp_path: Path) -> None:
    space = study(tmp_path, STUDY).space
    assert space is not None
    rate = next(d for d in space.dimensions if d.path == "optimizer.lr")
    assert decode(rate, 0.031234567890123) == 0.0312346
    assert decode(rate, 0.9999999999) == 1.0
    assert decode(rate, 1.0000000001) == 1.0


def test_domains_reach_both_ends(tmp_path: Path) -> None:
    space = study(tmp_path, STUDY).space
    assert space is not None
    ends = {"train.batch_size": {16, 128}, "train.epochs": {3, 7, 11}}
    for dimension in space.dimensions:
        drawn = {str(decode(dimension, domain(dimension).sample())) for _ in range(2000)}
        for value in ends.get(dimension.path, ()):
            assert str(value) in drawn
        assert all(dimension.range is None or dimension.range.holds(eval(x)) for x in drawn)


def test_a_configuration_has_the_point_that_it_was_made_of(tmp_path: Path) -> None:
    one = study(tmp_path, STUDY)
    assert one.space is not None
    for number in range(50):
        share = (number * 0.618034) % 1
        point = one.space.point([(share * (k + 1)) % 1 for k in range(6)])
        config = one.configuration(point)
        found = point_of(one.space, to_plain(config))
        assert found is not None
        assert one.configuration(found) == config
        assert lies_in(one.space, found)
        assert ("optimizer.momentum" in found) == (point["optimizer.name"] == "sgd")


def test_a_point_outside_is_none(tmp_path: Path) -> None:
    one = study(tmp_path, STUDY)
    assert one.space is not None
    point = one.space.point([0.1] * 6)
    assert lies_in(one.space, point)
    assert not lies_in(one.space, point | {"optimizer.lr": 3.0})
    assert not lies_in(one.space, point | {"schedule": {"name": "cosine"}})
    assert not lies_in(one.space, point | {"optimizer.nesterov": True})
    config = to_plain(one.configuration(point))
    assert point_of(one.space, config | {"schedule": {"name": "sgdr"}}) is None
