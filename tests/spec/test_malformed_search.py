"""Searches, first points, constraints and objectives that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, own, refused, study

BOTH = "objective: [{metric: valid/loss}, {metric: valid/accuracy}]\n"
R = "search: {name: random, runs: 5}\n"
LR = "optimizer.lr: {log_uniform: [0.1, 1]}"


def two(axes: str, search: str = R) -> str:
    """A study with a search in line 4, and axes, the first in line 5, column 9."""
    return study(f"{search}sweep: {{{axes}}}\n")


CASES: dict[str, Case] = {
    # search
    "search text": (
        study("search: random\n"),
        ("4:9", "search: must be a mapping, such", "as {name: random}, got random"),
    ),
    "search name": (
        study("search: {name: randon, runs: 3}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:16", "search.name: must be one of grid, random,", "got randon; did you mean random?"),
    ),
    "search number": (
        study("search: {name: 3}\n"),
        ("4:16", "search.name: must be one of grid, random,", "zoopt or module:callable, got 3"),
    ),
    "no runs": (
        study("search: {name: sobol}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:9", "search.runs: is required: a whole", "number from 1 to 1,000,000"),
    ),
    "runs 0": (
        study("search: {name: sobol, runs: 0}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:29", "search.runs: must be a whole number", "from 1 to 1,000,000, got 0"),
    ),
    "runs many": (
        study("search: {name: sobol, runs: 1000001}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:29", "search.runs: must be a whole number", "from 1 to 1,000,000, got 1000001"),
    ),
    "runs x seeds": (
        study(f"seeds: 3\nsearch: {{name: random, runs: 400000}}\nsweep: {{{LR}}}\n"),
        ("5:1", "search: 1,200,000 runs (search.runs", "3); at most 1,000,000 are allowed"),
    ),
    "runs of grid": (
        study("search: {name: grid, runs: 3}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:22", "search.runs: unknown key; grid", "takes first and constraints"),
    ),
    "runs of unnamed": (
        study("search: {runs: 3}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:10", "search.runs: unknown key; grid", "takes first and constraints"),
    ),
    "seed": (
        study("search: {name: random, runs: 3, seed: -1}\nsweep: {optimizer.lr: [1, 2]}\n"),
        (
            "4:39",
            "search.seed: must be a whole number at least 0",
            "9,223,372,036,854,775,808, got -1",
        ),
    ),
    "sampler": (
        study("search: {name: optuna, runs: 3, sampler: tpee}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:42", "search.sampler: must be one of tpe, random,", "got tpee; did you mean tpe?"),
    ),
    "options": (
        study("search: {name: optuna, runs: 3, options: [1]}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:42", "search.options: must be a", "mapping, got [1]"),
    ),
    "options of random": (
        study("search: {name: random, runs: 3, options: {}}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:33", "search.options: unknown key; random takes", "first, constraints, runs and seed"),
    ),
    "seed of searcher": (
        study("search: {name: hyperopt, runs: 3, seed: 1}\nsweep: {optimizer.lr: [1, 2]}\n"),
        ("4:35", "search.seed: unknown key; hyperopt takes", "constraints, runs and options"),
    ),
    "no sweep": (
        study("search: {name: random, runs: 3}\n"),
        ("4:9", "search: random needs a sweep: there", "is no axis to draw"),
    ),
    # first
    "first text": (
        two(LR, "search: {name: random, runs: 5, first: 3}\n"),
        ("4:40", "search.first: must be a list,", "each a mapping, got 3"),
    ),
    "first texts": (
        two(LR, "search: {name: random, runs: 5, first: [3]}\n"),
        ("4:41", "search.first.0: must be a", "mapping, got 3"),
    ),
    "first unknown": (
        two(LR, "search: {name: random, runs: 5, first: [{lrr: 0.3}]}\n"),
        ("4:42", "search.first.0.lrr: there is no path", "lrr; did you mean optimizer.lr?"),
    ),
    "first fixed": (
        two(LR, "search: {name: random, runs: 5, first: [{momentum: 0.3}]}\n"),
        (
            "4:42",
            "search.first.0.momentum: optimizer.momentum is no axis;",
            "the sweep has optimizer.lr",
        ),
    ),
    "first outside": (
        two(LR, "search: {name: random, runs: 5, first: [{lr: 0.3}, {lr: 3}]}\n"),
        ("4:57", "search.first.1.lr: must be a number from", "0.1 to 1, got 3"),
    ),
    "first not listed": (
        two("optimizer.lr: [0.1, 0.2]", "search: {name: random, runs: 2, first: [{lr: 0.3}]}\n"),
        ("4:46", "search.first.0.lr: must be a value of the", "axis, 0.1 or 0.2, got 0.3"),
    ),
    "first tied": (
        two(
            LR + ", optimizer.weight_decay: {tied: lr}",
            "search: {name: random, runs: 5, first: [{weight_decay: 0.3}]}\n",
        ),
        (
            "4:42",
            "search.first.0.weight_decay: optimizer.weight_decay is tied;",
            "it follows from others",
        ),
    ),
    "first partial in grid": (
        two(
            "optimizer.lr: [0.1, 0.2], optimizer.momentum: [0.1, 0.2]",
            "search: {first: [{lr: 0.1}]}\n",
        ),
        ("4:18", "search.first.0: needs a value of optimizer.momentum,", "as a grid draws none"),
    ),
    "first refused": (
        two(LR, "search: {name: random, runs: 5, first: [{lr: 0.3}], constraints: [lr > 0.5]}\n"),
        ("4:41", "search.first.0: is refused by the constraints;", "leave it out, or change them"),
    ),
    "first too many": (
        two(LR, "search: {name: sobol, runs: 1, first: [{lr: 0.3}, {lr: 0.2}]}\n"),
        ("4:39", "search.first: 2 points, and runs is 1", "must be as many"),
    ),
    # constraints
    "constraint text": (
        two(LR, "search: {name: random, runs: 5, constraints: lr < 3}\n"),
        ("4:46", "search.constraints: must be a list, each", "text, got 'lr < 3'"),
    ),
    "constraint number": (
        two(LR, "search: {name: random, runs: 5, constraints: [3]}\n"),
        ("4:47", "search.constraints.0: must be", "text, got 3"),
    ),
    "constraint syntax": (
        two(LR, "search: {name: random, runs: 5, constraints: ['lr <']}\n"),
        ("4:47", "search.constraints.0: must be arithmetic over", "paths, got 'lr <'"),
    ),
    "constraint unknown": (
        two(LR, "search: {name: random, runs: 5, constraints: [lrr < 3]}\n"),
        ("4:47", "search.constraints.0: there is no path", "lrr; did you mean optimizer.lr?"),
    ),
    "constraint no truth": (
        two(LR, "search: {name: random, runs: 5, constraints: [lr * 3]}\n"),
        ("4:47", "search.constraints.0: must be true or false, such", "as a < b, got 2.096733"),
    ),
    "constraint number as truth": (
        two(LR, "search: {name: random, runs: 5, constraints: [lr and lr < 3]}\n"),
        (
            "4:47",
            "search.constraints.0: asks whether 0.698911 is true;",
            "a comparison (in lr and lr < 3)",
        ),
    ),
    "constraint mixes": (
        two(LR, "search: {name: random, runs: 5, constraints: [lr < 'a']}\n"),
        (
            "4:47",
            "search.constraints.0: has no value: '<' not supported",
            "'float' and 'str' (in lr < 'a')",
        ),
    ),
    "constraint infeasible": (
        two(LR, "search: {name: random, runs: 5, constraints: [lr < 0.05]}\n"),
        (
            "4:47",
            "search.constraints: allow 0 of 2,000 points drawn,",
            "widen them, or narrow the axes",
        ),
    ),
    "constraint nearly": (
        two(LR, "search: {name: random, runs: 500, constraints: [lr < 0.1002]}\n"),
        (
            "4:49",
            "search.constraints: allow 1 of 2,403 points drawn,",
            "widen them, or narrow the axes",
        ),
    ),
    "constraint grid": (
        two("optimizer.lr: [0.1, 0.2]", "search: {constraints: [lr > 1]}\n"),
        ("4:24", "search.constraints: allow none of", "the grid's 2 points"),
    ),
    "constraint call": (
        two(LR, "search: {name: random, runs: 5, constraints: ['open(1) == 2']}\n"),
        (
            "4:47",
            "search.constraints.0: open(1) is not allowed; write",
            "log2, max, min, round and sqrt",
        ),
    ),
    "constraint no axes infeasible": (
        study("search: {constraints: [optimizer.lr > 1]}\n"),
        ("4:24", "search.constraints: allow none of", "the grid's 1 point"),
    ),
    "adaptive infeasible": (
        two(LR, "search: {name: optuna, runs: 5, constraints: [lr < 0.05]}\n"),
        (
            "4:47",
            "search.constraints: allow 0 of 2,000 points drawn,",
            "widen them, or narrow the axes",
        ),
    ),
    "adaptive wrong": (
        two("optimizer.lrr: {uniform: [0, 1]}", "search: {name: optuna, runs: 5}\n"),
        (
            "5:9",
            "optimizer.lrr: unknown key; sgd takes lr,",
            "decoupled and skip_vectors; did you mean lr?",
        ),
    ),
    # objectives
    "no objectives": (
        study("objective: []\n"),
        ("4:12", "objective: must be an objective or", "a list of them, got []"),
    ),
    "objective number": (
        study("objective: [3]\n"),
        ("4:13", "objective.0: must be a mapping, such", "as {metric: …}, got 3"),
    ),
    "objective number2": (
        study("objective: 3\n"),
        ("4:12", "objective: must be a mapping, such", "as {metric: …}, got 3"),
    ),
    "objective twice": (
        study(
            "objective: [{metric: valid/loss}, {metric: valid/accuracy}, {metric: valid/loss}]\n"
        ),
        ("4:70", "objective.2.metric: is an objective already,", "got valid/loss; write it once"),
    ),
    "objective unknown": (
        study("objective: [{metric: valid/loss}, {metric: valid/los}]\n"),
        ("4:44", "objective.1.metric: must be one of train/loss,", "did you mean valid/loss?"),
    ),
    "objective key": (
        study("objective: [{metric: valid/loss, modus: min}]\n"),
        ("4:34", "objective.0.modus: unknown key; objective takes", "and mode; did you mean mode?"),
    ),
    "objective unmeasured": (
        study("objective: [{metric: valid/loss}, {metric: valid/r2}]\n"),
        (
            "4:44",
            "objective.1.metric: valid/r2 is never measured with",
            "cross_entropy; valid/accuracy is",
        ),
    ),
    "cmaes two": (
        two(
            LR,
            "search: {name: optuna, runs: 5, sampler: cmaes}\n" + BOTH,
        ),
        ("5:12", "objective: the sampler cmaes takes one", "2; use tpe, gp, nsgaii or random"),
    ),
    "hyperopt two": (
        two(
            LR,
            "search: {name: hyperopt, runs: 5}\n" + BOTH,
        ),
        ("5:12", "objective: hyperopt takes one objective,", "got 2; use optuna"),
    ),
    "own no mode": (
        "study: s\ntrainable: a:b\nobjective: [{metric: loss}, {metric: x}]\n",
        ("3:29", "objective.1.mode: is required: one", "of min or max"),
    ),
    "own axes": (
        own(
            "search: {name: random, runs: 3}\nsweep: {config.lr: {uniform: [0, 1]}, "
            "config.x: {tied: 'lr * config.y'}}\n"
        ),
        ("5:56", "sweep.config.x: tied: there is no path", "config.y; did you mean config.x?"),
    ),
    "own grid": (
        own("sweep: {config.lr: {uniform: [0, 1]}}\n"),
        (
            "4:30",
            "sweep.config.lr: uniform has no points that a grid",
            "search: {name: random, runs: n}",
        ),
    ),
    "own bad name": (
        own("search: {name: my searcher, runs: 3}\nsweep: {config.lr: {uniform: [0, 1]}}\n"),
        ("4:16", "search.name: must be one of grid, random,", "got 'my searcher'"),
    ),
    "own path": (
        own(
            "config: {x: 3}\nsearch: {name: random, "
            "runs: 3}\nsweep: {config.x.lr: {uniform: [0, 1]}}\n"
        ),
        ("6:9", "config.x: must be a mapping where a longer", "3 (with config.x.lr = 0.844422)"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
