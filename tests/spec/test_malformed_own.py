"""Studies with a training of their own that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, own, refused, study

CASES: dict[str, Case] = {
    "own: no callable": (
        own(trainable="my_training"),
        ("2:12", "got my_training", "must be module:callable"),
    ),
    "own: not text": (own(trainable="[a]"), ("2:12", "got [a]", "must be module:callable")),
    "own: with a model": (
        own("model: {name: mlp}\ntrain: {epochs: 3}\n"),
        ("4:1", "model: goes without trainable", "under config"),
        ("5:1", "train: goes without trainable", "under config"),
    ),
    "own: unknown key": (own("cfg: {}\n"), ("4:1", "cfg: unknown key", "trainable, config")),
    "config without trainable": (
        study("config: {lr: 1}\n"),
        ("4:1", "goes with trainable", "module:callable"),
    ),
    "own: config is a list": (own("config: [1]\n"), ("4:9", "got [1]", "must be a mapping")),
    "own: config is empty": (own("config:\n"), ("4:8", "it is empty", "must be a mapping")),
    "own: seed in config": (
        own("config: {lr: 1, seed: 3}\n"),
        ("4:17", "config.seed: the seed is added", "seeds: n"),
    ),
    "own: trainable in config": (
        own("config: {trainable: 3}\n"),
        ("4:10", "config.trainable: is a key of the study", "something else"),
    ),
    "own: axis of a section": (
        own("sweep: {train.epochs: [1, 2]}\n"),
        ("4:9", "sweep.train.epochs: no such path", "below config, such as config.lr"),
    ),
    "own: seed as axis": (
        own("sweep: {config.seed: [1, 2]}\n"),
        ("4:9", "seeds are no axis", "seeds: n"),
    ),
    "own: trainable as axis": (
        own("sweep: {config.trainable: [1, 2]}\n"),
        ("4:9", "is a key of the study", "something else"),
    ),
    "own: config as axis": (
        own("sweep: {config: [{a: 1}]}\n"),
        ("4:9", "keys joined by", "such as config.lr"),
    ),
    "own: axis through a number": (
        own("config: {lr: 1}\nsweep: {config.lr.x: [1, 2]}\n"),
        ("5:9", "leads through it, got 1", "must be a mapping"),
    ),
    "own: repeated value": (
        own("sweep: {config.lr: [1, 2, 1]}\n"),
        ("4:27", "same runs as 1", "must be distinct"),
    ),
    "own: no objective": (
        own(objective=""),
        ("1:1", "objective.metric: is required", "text"),
        ("1:1", "objective.mode: is required", "one of min or max"),
    ),
    "own: no mode": (
        own(objective="{metric: reward}"),
        ("3:12", "objective.mode: is required", "one of min or max"),
    ),
    "own: blank metric": (
        own(objective="{metric: ' ', mode: min}"),
        ("3:12", "metric must be", "name of a metric"),
    ),
    "own: lanes": (
        own("execution: {lanes: 3}\n"),
        ("4:13", "execution.lanes: unknown key", "takes checkpoint_every"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
