"""Ranges, ties and conditions that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, refused, study

R = "search: {name: random, runs: 5}\n"
LR = "optimizer.lr: {log_uniform: [0.1, 1]}"


def two(axes: str, search: str = R) -> str:
    """A study with a search in line 4, and axes, the first in line 5, column 9."""
    return study(f"{search}sweep: {{{axes}}}\n")


CASES: dict[str, Case] = {
    "range upside down": (
        two("optimizer.lr: {uniform: [1, 0.1]}"),
        ("5:33", "sweep.optimizer.lr: uniform must be [a, b] with", "a below b, got [1, 0.1]"),
    ),
    "range of one": (
        two("optimizer.lr: {uniform: [1, 1]}"),
        ("5:33", "sweep.optimizer.lr: uniform must be [a, b] with", "a below b, got [1, 1]"),
    ),
    "range of text": (
        two("optimizer.lr: {uniform: [a, b]}"),
        ("5:33", "sweep.optimizer.lr: uniform must be two numbers,", "[a, b], got [a, b]"),
    ),
    "log range from 0": (
        two("optimizer.lr: {log_uniform: [0, 1]}"),
        (
            "5:37",
            "sweep.optimizer.lr: log_uniform must be two numbers above",
            "0, [a, b], got [0, 1]",
        ),
    ),
    "three ends": (
        two("optimizer.lr: {uniform: [0, 1, 2]}"),
        ("5:33", "sweep.optimizer.lr: uniform must be two numbers,", "[a, b], got [0, 1, 2]"),
    ),
    "integer of floats": (
        two("train.batch_size: {integer: [1.5, 8]}"),
        (
            "5:37",
            "sweep.train.batch_size: integer must be two whole",
            "numbers, [a, b], got [1.5, 8]",
        ),
    ),
    "log integer from 0": (
        two("train.batch_size: {log_integer: [0, 8]}"),
        (
            "5:41",
            "sweep.train.batch_size: log_integer must be two whole",
            "above 0, [a, b], got [0, 8]",
        ),
    ),
    "infinitely wide": (
        two("optimizer.lr: {uniform: [-1e308, 1e308]}"),
        ("5:33", "sweep.optimizer.lr: uniform is too wide", "a range of numbers"),
    ),
    "step 0": (
        two("optimizer.lr: {uniform: [0.1, 1], step: 0}"),
        ("5:49", "sweep.optimizer.lr: step must be a number above", "0, at most 0.9, got 0"),
    ),
    "step too wide": (
        two("optimizer.lr: {uniform: [0.1, 1], step: 2}"),
        ("5:49", "sweep.optimizer.lr: step must be a number above", "0, at most 0.9, got 2"),
    ),
    "step too fine": (
        two("optimizer.lr: {uniform: [0.1, 1], step: 1e-300}"),
        ("5:49", "sweep.optimizer.lr: step must be at", "least 9e-13, got 1e-300"),
    ),
    "step fraction": (
        two("train.batch_size: {integer: [1, 8], step: 0.5}"),
        (
            "5:51",
            "sweep.train.batch_size: step must be a whole number",
            "above 0, at most 7, got 0.5",
        ),
    ),
    "points of range": (
        two("optimizer.lr: {uniform: [0.1, 1], points: 5}"),
        (
            "5:23",
            "sweep.optimizer.lr: uniform goes with step and when,",
            "write log or linear for points",
        ),
    ),
    "step of log grid": (
        two("optimizer.lr: {log: [0.1, 1], points: 3, step: 0.1}"),
        ("5:23", "sweep.optimizer.lr: log goes with points", "and when, not with step"),
    ),
    "misspelt range": (
        two("optimizer.lr: {log_unifrom: [0.1, 1]}"),
        (
            "5:23",
            "sweep.optimizer.lr: must be a list of values, {log:",
            "1]}; did you mean log_uniform?",
        ),
    ),
    "two kinds": (
        two("optimizer.lr: {uniform: [0.1, 1], log: [0.1, 1]}"),
        ("5:23", "sweep.optimizer.lr: log goes with points", "and when, not with uniform"),
    ),
    "empty choice": (
        two("schedule: {choice: []}"),
        ("5:28", "sweep.schedule: is empty; an axis", "has at least one value"),
    ),
    "choice no list": (
        two("schedule: {choice: cosine}"),
        (
            "5:28",
            "sweep.schedule: must be a list of values, {log:",
            "[a, b]} or {tied: …}, got cosine",
        ),
    ),
    "drawn fractional": (
        two("train.batch_size: {uniform: [1, 8]}"),
        ("5:37", "train.batch_size: must be a whole number", "at least 1, got 6.910953"),
    ),
    "drawn negative": (
        two("optimizer.lr: {uniform: [-2, -1]}"),
        ("5:33", "optimizer.lr: must be a number", "above 0, got -1.155578"),
    ),
    "drawn momentum of adam": (
        study(
            f"{R}sweep: {{optimizer.momentum: {{uniform: [0, 0.9]}}}}\n", optimizer="{name: adam}"
        ),
        (
            "5:9",
            "optimizer.momentum: unknown key; adam takes lr,",
            "beta2, eps, weight_decay and skip_vectors",
        ),
    ),
    "grid continuous": (
        two("optimizer.lr: {uniform: [0.1, 1]}", ""),
        (
            "4:33",
            "sweep.optimizer.lr: uniform has no points that a grid",
            "search: {name: random, runs: n}",
        ),
    ),
    "grid continuous explicit": (
        two("optimizer.lr: {log_uniform: [0.1, 1]}", "search: {name: grid}\n"),
        (
            "5:37",
            "sweep.optimizer.lr: log_uniform has no points that a",
            "search: {name: random, runs: n}",
        ),
    ),
    "too many integers": (
        two("train.batch_size: {integer: [1, 10000000]}", ""),
        (
            "4:37",
            "sweep.train.batch_size: integer has 10,000,000 points;",
            "search: {name: random, runs: n}",
        ),
    ),
    # ties
    "tied number": (
        two("optimizer.lr: {tied: 3}"),
        (
            "5:30",
            'sweep.optimizer.lr: tied must be a text such as "0.1',
            '* train.batch_size / 256", got 3',
        ),
    ),
    "tied syntax": (
        two("optimizer.lr: {tied: '0.1 *'}"),
        ("5:30", "sweep.optimizer.lr: tied must be arithmetic", "over paths, got '0.1 *'"),
    ),
    "tied code": (
        two("optimizer.lr: {tied: '__import__(1)'}"),
        ("5:30", "sweep.optimizer.lr: tied __import__(1) is not", "log2, max, min, round and sqrt"),
    ),
    "tied attribute of call": (
        two("optimizer.lr: {tied: 'abs(1).real'}"),
        (
            "5:30",
            "sweep.optimizer.lr: tied abs(1).real is not allowed;",
            "log2, max, min, round and sqrt",
        ),
    ),
    "tied lambda": (
        two("optimizer.lr: {tied: '(lambda: 1)()'}"),
        ("5:30", "sweep.optimizer.lr: tied (lambda: 1)() is not", "log2, max, min, round and sqrt"),
    ),
    "tied index": (
        two("optimizer.lr: {tied: 'model.hidden[0]'}"),
        (
            "5:30",
            "sweep.optimizer.lr: tied model.hidden[0] is not",
            "log2, max, min, round and sqrt",
        ),
    ),
    "tied comprehension": (
        two("optimizer.lr: {tied: 'sum([x for x in y])'}"),
        (
            "5:30",
            "sweep.optimizer.lr: tied sum([x for x in y]) is not",
            "log2, max, min, round and sqrt",
        ),
    ),
    "tied keyword": (
        two("optimizer.lr: {tied: 'max(1, key=2)'}"),
        ("5:30", "sweep.optimizer.lr: tied max(1, key=2) is not", "log2, max, min, round and sqrt"),
    ),
    "tied long": (
        two(f"optimizer.lr: {{tied: '{'1+' * 300}1'}}"),
        ("5:30", "sweep.optimizer.lr: tied must have at", "most 500 characters, got 601"),
    ),
    "tied deep": (
        two(f"optimizer.lr: {{tied: '{'-' * 100}1'}}"),
        ("5:30", "sweep.optimizer.lr: tied is nested more", "than 40 levels deep"),
    ),
    "tied unknown": (
        two("optimizer.lr: {tied: '0.1 * batch_sise'}"),
        ("5:30", "sweep.optimizer.lr: tied: there is no path", "did you mean train.batch_size?"),
    ),
    "tied unknown path": (
        two("optimizer.lr: {tied: '0.1 * train.batch_sise'}"),
        ("5:30", "sweep.optimizer.lr: tied: there is no path", "did you mean train.batch_size?"),
    ),
    "tied ambiguous": (
        two("optimizer.lr: {tied: '0.1 * name'}"),
        ("5:30", "sweep.optimizer.lr: tied: name may be optimizer.name,", "write the whole path"),
    ),
    "tied to itself": (
        two("optimizer.lr: {tied: '0.1 * optimizer.lr'}"),
        (
            "5:30",
            "sweep.optimizer.lr: depends on itself (optimizer.lr →",
            "tied and when must not lead back",
        ),
    ),
    "tied circle": (
        two(
            "optimizer.lr: {tied: '10 * weight_decay'}, optimizer.weight_decay: {tied: '0.1 * lr'}"
        ),
        (
            "5:30",
            "sweep.optimizer.lr: depends on itself (optimizer.lr →",
            "tied and when must not lead back",
        ),
    ),
    "tied by zero": (
        two("train.batch_size: [8, 16], optimizer.lr: {tied: '1 / (batch_size - 8)'}"),
        ("5:57", "sweep.optimizer.lr: divides by 0 (in", "1 / (batch_size - 8))"),
    ),
    "tied of text": (
        two("optimizer.lr: {tied: '0.1 * model.name'}"),
        (
            "5:30",
            "sweep.optimizer.lr: computes with mlp, which is",
            "no number (in 0.1 * model.name)",
        ),
    ),
    "tied of null": (
        two("optimizer.lr: {tied: '0.1 * train.ema'}"),
        (
            "5:30",
            "sweep.optimizer.lr: computes with null, which is",
            "no number (in 0.1 * train.ema)",
        ),
    ),
    "tied complex": (
        two("optimizer.lr: {tied: '(-1) ** 0.5'}"),
        ("5:30", "sweep.optimizer.lr: has no real value", "(in (-1) ** 0.5)"),
    ),
    "tied huge": (
        two("optimizer.lr: {tied: '9 ** 9 ** 9 ** 9'}"),
        ("5:30", "sweep.optimizer.lr: has a value that is too large", "(in 9 ** 9 ** 9 ** 9)"),
    ),
    "tied large int": (
        two("optimizer.lr: {tied: '2 ** 64'}"),
        ("5:30", "sweep.optimizer.lr: has a value that is", "too large (in 2 ** 64)"),
    ),
    "tied tuple": (
        two("optimizer.lr: {tied: '(1, 2)'}"),
        (
            "5:30",
            "sweep.optimizer.lr: must be a number, a text, or true",
            "or false, got (1, 2) (in (1, 2))",
        ),
    ),
    "tied out of range": (
        two("train.batch_size: [8, 16], optimizer.lr: {tied: '8 - batch_size'}"),
        ("5:57", "optimizer.lr: must be a number", "above 0, got -8"),
    ),
    "tied float int": (
        two("optimizer.lr: [0.1, 0.2], train.batch_size: {tied: '64 * lr'}"),
        ("5:60", "train.batch_size: must be a whole number", "at least 1, got 12.8"),
    ),
    "tied and points": (
        two("optimizer.lr: {tied: '1', points: 3}"),
        ("5:23", "sweep.optimizer.lr: tied goes with", "values and when, not with points"),
    ),
    "tied inactive": (
        two(
            "optimizer.momentum: {uniform: [0.1, 0.5], when: {schedule.name: rex}}, "
            "schedule.name: [rex, cosine], train.clip_norm: {tied: 'optimizer.beta1 * 2'}"
        ),
        (
            "5:134",
            "sweep.train.clip_norm: needs optimizer.beta1, which has",
            "= cosine (in optimizer.beta1 * 2)",
        ),
    ),
    "a variable that is not used": (
        two("let.base: [1, 2], optimizer.lr: [1, 2]"),
        ("5:9", "sweep.let.base: is a variable that nothing uses", "tied, when or constraints"),
    ),
    "a variable's name": (
        two("let.base.lr: [1, 2]"),
        ("5:9", "sweep.let.base.lr: a variable is let. and", "such as let.base_lr"),
    ),
    # conditions
    "when text": (
        two("optimizer.momentum: {values: [0.1], when: sgd}"),
        (
            "5:51",
            "sweep.optimizer.momentum: when must be a mapping such as",
            "as {optimizer.name: sgd}, got sgd",
        ),
    ),
    "when empty": (
        two("optimizer.momentum: {values: [0.1], when: {}}"),
        (
            "5:51",
            "sweep.optimizer.momentum: when must be a mapping",
            "such as {optimizer.name: sgd}, got {}",
        ),
    ),
    "when unknown": (
        two("optimizer.momentum: {values: [0.1], when: {optimiser.name: sgd}}"),
        (
            "5:52",
            "sweep.optimizer.momentum: when: there is no path",
            "did you mean optimizer.name?",
        ),
    ),
    "when mapping": (
        two("optimizer.momentum: {values: [0.1], when: {schedule: {name: rex}}}"),
        (
            "5:62",
            "sweep.optimizer.momentum: when schedule must be a value or",
            "a list of values, got {name: rex}",
        ),
    ),
    "when never": (
        two(
            "optimizer.name: [sgd, adam], optimizer.momentum: {values: [0.1], "
            "when: {optimizer.name: sgdd}}"
        ),
        (
            "5:97",
            "sweep.optimizer.momentum: when optimizer.name must be one",
            "adam, got sgdd; did you mean sgd?",
        ),
    ),
    "when never in mapping": (
        two(
            "schedule: [{name: rex}, {name: cosine}], schedule.warmup: {uniform: [0.1, 0.2], "
            "when: {schedule.name: [rex, step]}}"
        ),
        (
            "5:111",
            "sweep.schedule.warmup: when schedule.name must be one",
            "of rex or cosine, got step",
        ),
    ),
    "when itself": (
        two("optimizer.momentum: {values: [0.1], when: {optimizer.momentum: 0.1}}"),
        ("5:38", "sweep.optimizer.momentum: depends on itself", "tied and when must not lead back"),
    ),
    "when circle": (
        two(
            "optimizer.momentum: {values: [0.1], when: {optimizer.nesterov: true}}, "
            "optimizer.nesterov: {values: [true], when: {momentum: 0.1}}"
        ),
        ("5:38", "sweep.optimizer.momentum: depends on itself", "tied and when must not lead back"),
    ),
    "when empty list": (
        two("optimizer.momentum: {values: [0.1], when: {optimizer.name: []}}"),
        (
            "5:68",
            "sweep.optimizer.momentum: when optimizer.name must be a",
            "value or a list of values, got []",
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
