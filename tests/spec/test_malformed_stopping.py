"""Early stopping that is wrong, each in its own way: where it is said, and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import own, refused, study


def rule(text: str) -> str:
    """A study whose rule stands in line 4, column 17."""
    return study(f"early_stopping: {text}\n")


def own_rule(text: str) -> str:
    return own(f"early_stopping: {text}\n")


# The text, then for each problem: line:column, what is wrong, what is allowed.
CASES: dict[str, tuple[str, *tuple[tuple[str, str, str], ...]]] = {
    "a word": (rule("asha"), ("4:17", "must be a mapping, such as {name: asha}", "got asha")),
    "nothing": (rule(""), ("4:16", "must be a mapping", "it is empty here")),
    "an empty list": (rule("[]"), ("4:17", "got []", "a rule or a list of rules")),
    "no name": (rule("{grace: 0.1}"), ("4:17", "early_stopping.name: is required", "asha, median")),
    "unknown rule": (
        rule("{name: ahsa}"),
        ("4:24", "one of asha, median, patience or budget", "got ahsa; did you mean asha?"),
    ),
    "scheduler of another library": (
        rule("{name: hyperband}"),
        ("4:24", "got hyperband", "one of asha, median, patience or budget"),
    ),
    "unknown key": (
        rule("{name: asha, grace_period: 3}"),
        ("4:30", "early_stopping.grace_period: unknown key", "asha takes grace, reduction, max"),
    ),
    "key of another rule": (
        rule("{name: median, reduction: 3}"),
        ("4:32", "unknown key", "median takes grace, min_runs, metric and mode"),
    ),
    "bare steps": (
        rule("{name: asha, grace: 100}"),
        ("4:37", "got 100", "share of training in [0, 1], {steps: n} or {epochs: n}"),
    ),
    "no grace": (
        rule("{name: asha, grace: 0.0}"),
        ("4:17", "early_stopping: grace", "above 0"),
    ),
    "no steps": (rule("{name: median, grace: {steps: 0}}"), ("4:17", "must be above 0", "")),
    "reduction of 1": (
        rule("{name: asha, reduction: 1}"),
        ("4:41", "got 1", "a number above 1"),
    ),
    "max below grace": (
        rule("{name: asha, grace: {steps: 30}, max: {steps: 7}}"),
        ("4:17", "max must be at least grace", ""),
    ),
    "no brackets": (rule("{name: asha, brackets: 0}"), ("4:40", "got 0", "at least 1")),
    "grace of all of training": (
        rule("{name: asha, grace: {epochs: 3}}"),
        ("4:37", "early_stopping.grace: lasts as long as", "none would ever be stopped"),
    ),
    "grace beyond training": (
        rule("[{name: patience, evaluations: 3}, {name: median, grace: 1}]"),
        ("4:74", "early_stopping.1.grace: lasts as long", "none would ever be stopped"),
    ),
    "unknown metric": (
        rule("{name: asha, metric: valid/los}"),
        ("4:38", "got valid/los", "did you mean valid/loss?"),
    ),
    "metric never measured": (
        rule("{name: asha, metric: valid/r2}"),
        ("4:38", "never measured with the loss cross_entropy", "valid/accuracy is"),
    ),
    "unknown mode": (rule("{name: asha, mode: up}"), ("4:36", "got up", "one of min or max")),
    "no runs": (rule("{name: median, min_runs: 0}"), ("4:42", "got 0", "at least 1")),
    "no patience": (
        rule("{name: patience}"),
        ("4:17", "early_stopping.evaluations: is required", "a whole number at least 1"),
    ),
    "half an evaluation": (
        rule("{name: patience, evaluations: 2.5}"),
        ("4:47", "got 2.5", "a whole number at least 1"),
    ),
    "negative delta": (
        rule("{name: patience, evaluations: 2, min_delta: -1}"),
        ("4:61", "got -1", "at least 0"),
    ),
    "budget of nothing": (
        rule("{name: budget}"),
        ("4:17", "write at least one of", "hours, gpu_hours, cpu_hours and run_seconds"),
    ),
    "budget of 0": (rule("{name: budget, hours: 0}"), ("4:39", "got 0", "a number above 0")),
    "budget with a metric": (
        rule("{name: budget, hours: 1, metric: valid/loss}"),
        ("4:42", "unknown key", "budget takes hours, gpu_hours, cpu_hours and run_seconds"),
    ),
    "twice the same": (
        rule("[{name: asha}, {name: asha, reduction: 2}]"),
        ("4:39", "early_stopping.1.name: asha occurs a second time", "for another metric"),
    ),
    "two that are wrong": (
        rule("[{name: asha, reduction: 0}, {name: nosuch}]"),
        ("4:42", "early_stopping.0.reduction: must be", "above 1"),
        ("4:53", "early_stopping.1.name: must be", "one of asha"),
    ),
    "swept": (
        study("sweep: {early_stopping.grace: [0.1, 0.2]}\n"),
        ("4:9", "no such path", "data, model, optimizer, schedule"),
    ),
    "own: epochs": (
        own_rule("{name: median, grace: {epochs: 3}}"),
        ("4:39", "got {epochs: 3}", "must be {steps: n} with trainable"),
    ),
    "own: share": (
        own_rule("{name: asha, grace: {steps: 3}, max: 0.5}"),
        ("4:54", "got 0.5", "must be {steps: n} with trainable"),
    ),
    "own: no durations": (
        own_rule("{name: asha}"),
        ("4:17", "early_stopping.grace: is required with trainable", "{steps: n}"),
        ("4:17", "early_stopping.max: is required with trainable", "{steps: n}"),
    ),
    "own: no mode": (
        own_rule("{name: patience, evaluations: 3, metric: reward}"),
        ("4:17", "early_stopping.mode: is required for reward", "one of min or max"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 30
