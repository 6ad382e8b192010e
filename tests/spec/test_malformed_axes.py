"""Axes that are wrong, and combinations of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, refused, study, sweep

AXIS = "a list of values, {log: [a, b], points: n}, {linear"
CASES: dict[str, Case] = {
    "sweep is a list": (study("sweep: [1]\n"), ("4:8", "sweep: ", "a mapping of paths to axes")),
    "sweep is empty": (study("sweep:\n"), ("4:7", "sweep: ", "a mapping of paths to axes")),
    "bare key": (
        sweep("lr: [1, 2]"),
        ("4:9", "did you mean optimizer.lr?", "starts with data, model"),
    ),
    "unknown key": (
        sweep("optimizer.lrr: [1, 2]"),
        ("4:9", "unknown key", "sgd takes lr, momentum, nesterov"),
    ),
    "unknown axis section": (
        sweep("optimiser.lr: [1, 2]"),
        ("4:9", "did you mean optimizer.lr?", "starts with data, model"),
    ),
    "two dots": (sweep("optimizer..lr: [1]"), ("4:9", "optimizer..lr", "joined by single dots")),
    "through a number": (
        sweep("optimizer.lr.x: [1, 2]"),
        ("4:9", "got 0.1 (with optimizer.lr.x = 1)", "must be a mapping"),
    ),
    "seeds as an axis": (sweep("seeds: [1, 2]"), ("4:9", "seeds are no axis", "seeds: n")),
    "seed as an axis": (sweep("seed: [1, 2]"), ("4:9", "seeds are no axis", "seeds: n")),
    "execution as an axis": (
        sweep("execution.lanes: [1, 2]"),
        ("4:9", "the same for all runs", "only data, model"),
    ),
    "study as an axis": (sweep("study: [a]"), ("4:9", "the same for all runs", "only data")),
    "a scalar for an axis": (sweep("optimizer.lr: 3"), ("4:23", "got 3", AXIS)),
    "an empty axis": (sweep("optimizer.lr: []"), ("4:23", "is empty", "at least one value")),
    "a value twice": (
        sweep("optimizer.lr: [0.1, 0.2, 0.10]"),
        ("4:34", "the same runs as 0.1, got 0.1", "must be distinct"),
    ),
    "equal by default": (
        sweep("schedule: [{name: constant}, {name: constant, warmup: 0}]"),
        ("4:38", "the same runs as {name: constant}", "must be distinct"),
    ),
    "two bad values": (
        sweep("optimizer.lr: [0.1, -0.2, 0]"),
        ("4:29", "got -0.2", "a number above 0"),
        ("4:35", "got 0", "a number above 0"),
    ),
    "log of 0": (
        sweep("optimizer.lr: {log: [0, 1], points: 3}"),
        ("4:29", "got [0, 1]", "two numbers above 0"),
    ),
    "three ends": (
        sweep("optimizer.lr: {linear: [1, 2, 3], points: 3}"),
        ("4:32", "got [1, 2, 3]", "two numbers, [a, b]"),
    ),
    "no points": (
        sweep("optimizer.lr: {log: [1, 2]}"),
        ("4:23", "points is required", "a whole number at least 2"),
    ),
    "one point": (
        sweep("optimizer.lr: {log: [1, 2], points: 1}"),
        ("4:45", "got 1", "a whole number from 2"),
    ),
    "points on one point": (
        sweep("optimizer.lr: {log: [1, 1], points: 2}"),
        ("4:45", "got 2", "must be 1, as both ends are equal"),
    ),
    "too many points": (
        sweep("optimizer.lr: {log: [1, 2], points: 1000001}"),
        ("4:45", "got 1000001", "from 2 to 1,000,000"),
    ),
    "search axis": (
        sweep("optimizer.lr: {log_uniform: [0.1, 1]}"),
        ("4:37", "log_uniform has no points that a grid could take", "search: {name: random"),
    ),
    "misspelt grid": (
        sweep("optimizer.lr: {logg: [1, 2], points: 2}"),
        ("4:23", "did you mean log?", AXIS),
    ),
    "values and points": (
        sweep("optimizer.lr: {values: [1], points: 2}"),
        ("4:23", "values stands alone", "without points"),
    ),
    "values no list": (sweep("optimizer.lr: {values: 1}"), ("4:32", "got 1", AXIS)),
    "fractional batch sizes": (
        sweep("train.batch_size: {log: [16, 100], points: 4}"),
        ("4:33", "got 29.4723", "a whole number at least 1"),
    ),
    "too many runs": (
        sweep(
            "optimizer.lr: {log: [1, 2], points: 2000}, train.epochs: {linear: [1, 9], points: 501}"
        ),
        ("4:1", "1,002,000 runs (optimizer.lr 2000 × train.epochs 501", "at most 1,000,000"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
