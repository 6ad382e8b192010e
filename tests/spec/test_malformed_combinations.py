"""Sections that do not go together, in some combination of axes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import Case, refused, study, sweep

COMBINED = "sweep:\n  {}\n  optimizer.momentum: [0.1, 0.5]\n"
CASES: dict[str, Case] = {
    # combinations
    "an axis that one optimizer lacks": (
        study(COMBINED.format("optimizer: [{name: sgd, lr: 0.1}, {name: adam}]")),
        ("6:3", "optimizer.momentum: unknown key", "(with optimizer = {name: adam})"),
    ),
    "a name without the field": (
        study(COMBINED.format("optimizer.name: [sgd, adam]")),
        ("6:3", "optimizer.momentum: unknown key", "(with optimizer.name = adam)"),
    ),
    "nesterov with momentum 0": (
        study(
            "sweep:\n  optimizer.lr: [0.1, 0.2]\n  optimizer.nesterov: [true, false]\n"
            "  optimizer.momentum: [0, 0.9]\n"
        ),
        ("7:3", "(with optimizer.nesterov = true and optimizer.momentum = 0)", "above 0"),
    ),
    "two bad schedules": (
        sweep("schedule: [{name: constant}, {name: cosin}, cosine]"),
        ("4:45", "got cosin;", "constant, step"),
        ("4:53", "got cosine", "such as {name: cosine}"),
    ),
    "missing in an axis": (
        sweep("optimizer: [{name: sgd}]"),
        ("4:21", "optimizer.lr: is required", "a number above 0"),
    ),
    "steps beside epochs": (
        sweep("train.steps: [1, 2]"),
        ("4:9", "(with train.steps = 1)", "exactly one of epochs and steps"),
    ),
    "warmup as long as training": (
        study("schedule: {name: cosine, warmup: {steps: 9}}\n", train="{steps: 9}"),
        ("4:34", "got 9 steps", "shorter than training (9 steps)"),
    ),
    "warmup epochs": (
        study("schedule: {name: cosine, warmup: {epochs: 3}}\n"),
        ("4:34", "got 3 epochs", "shorter than training (3 epochs)"),
    ),
    "warmup longer than one of two": (
        study(
            "schedule: {name: linear, warmup: {steps: 50}}\nsweep: {train.steps: [20, 100]}\n",
            train="{}",
        ),
        ("4:34", "(with train.steps = 20)", "shorter than training (20 steps)"),
    ),
    "warmup of all": (
        study("schedule: {name: cosine, warmup: 1.0}\n"),
        ("4:34", "got 3 epochs", "shorter than training (3 epochs)"),
    ),
    "a step longer than training": (
        study("schedule: {name: step, every: {steps: 10}}\n", train="{steps: 9}"),
        ("4:31", "got 10 steps", "must not exceed training (9 steps)"),
    ),
    "a milestone after the end": (
        study("schedule: {name: multistep, warmup: 0.5, milestones: [0.2, 0.7]}\n"),
        ("4:60", "milestones.1: must", "what the warmup leaves of training (1.5 epochs), got 2.1"),
    ),
    "a period longer than training": (
        study("schedule: {name: sgdr, period: {epochs: 4}}\n"),
        ("4:32", "got 4 epochs", "must not exceed training (3 epochs)"),
    ),
    "a decay longer than the rest": (
        study("schedule: {name: wsd, decay: 0.8, warmup: 0.3}\n"),
        ("4:30", "got 2.4 epochs", "what the warmup leaves of training (2.1 epochs)"),
    ),
    "a long decay with one of two lengths": (
        study(
            "schedule: {name: wsd, decay: {steps: 50}}\nsweep: {train.steps: [20, 100]}\n",
            train="{}",
        ),
        ("4:30", "(with train.steps = 20)", "must not exceed training (20 steps)"),
    ),
    "a constant warmup": (
        study("schedule: {name: cosine, warmup: 0.1, warmup_shape: constant}\n"),
        ("4:11", "warmup_shape constant", "needs a warmup_start"),
    ),
    "the start of a warmup": (
        study("schedule: {name: cosine, warmup: 0.1, warmup_start: 0}\n"),
        ("4:53", "got 0", "a number above 0 and at most 1"),
    ),
    "the shape of a warmup": (
        study("schedule: {name: cosine, warmup: 0.1, warmup_shape: line}\n"),
        ("4:53", "got line; did you mean linear?", "linear or constant"),
    ),
    "momentum of adagrad": (
        study("schedule: {name: one_cycle, cycle_momentum: true}\n", optimizer="{name: adagrad}"),
        ("4:45", "adagrad has neither momentum nor beta1", "must be false"),
    ),
    "momentum of one of two": (
        study(
            "schedule: {name: chain, schedules: [{name: rex}, {name: cyclic, "
            "cycle_momentum: true}]}\nsweep: {optimizer: [{name: adam}, {name: sls}]}\n"
        ),
        ("4:81", "schedules.1.cycle_momentum: must be false", "sls has neither momentum nor"),
    ),
    "the ends of a momentum's cycle": (
        study("schedule: {name: cyclic, base_momentum: 0.9, max_momentum: 0.8}\n"),
        ("4:11", "base_momentum", "must not exceed max_momentum"),
    ),
    "a momentum that does not cycle": (
        study("schedule: {name: one_cycle, max_momentum: 0.99}\n"),
        ("4:11", "max_momentum", "go with cycle_momentum: true"),
    ),
    "three phases": (
        study("schedule: {name: one_cycle, warmup: 0.6, three_phase: true}\n"),
        ("4:37", "with three_phase, got 1.8 epochs", "half of training (3 epochs)"),
    ),
    "parts of a sequence": (
        study(
            "schedule: {name: sequence, durations: [0.5], schedules: [{name: cosin}, "
            "{name: step, gama: 3}]}\n"
        ),
        ("4:65", "schedules.0.name: must be one of constant", "did you mean cosine?"),
        ("4:86", "schedules.1.gama: unknown key; step takes warmup", "did you mean gamma?"),
    ),
    "a part that is no mapping": (
        study("schedule: {name: chain, schedules: [cosine]}\n"),
        ("4:37", "schedules.0: must be a mapping", "such as {name: cosine}"),
    ),
    "schedules are no list": (
        study("schedule: {name: chain, schedules: cosine}\n"),
        ("4:36", "got cosine", "a list, each a schedule such as {name: cosine}"),
    ),
    "a chain without schedules": (
        study("schedule: {name: chain}\n"),
        ("4:11", "schedules: is required", "a list, each a schedule"),
    ),
    "an empty chain": (
        study("schedule: {name: chain, schedules: []}\n"),
        ("4:11", "schedules", "must not be empty"),
    ),
    "durations of a sequence": (
        study("schedule: {name: sequence, schedules: [{name: rex}], durations: [0.5]}\n"),
        ("4:11", "1 schedules need 0 durations (the last has the rest)", "got 1"),
    ),
    "a sequence longer than training": (
        study(
            "schedule: {name: sequence, schedules: [{name: rex}, {name: rex}], durations: [1.0]}\n"
        ),
        ("4:78", "got 3 epochs", "must be shorter than training (3 epochs) together"),
    ),
    "a part longer than its room": (
        study(
            "schedule: {name: sequence, durations: [{epochs: 1}], "
            "schedules: [{name: step, every: {epochs: 2}}, {name: rex}]}\n"
        ),
        ("4:86", "schedules.0.every: must not exceed its part of the", "(1 epochs), got 2 epochs"),
    ),
    "plateau in a sequence": (
        study("schedule: {name: chain, schedules: [{name: rex}, {name: plateau}]}\n"),
        ("4:11", "plateau follows evaluations", "cannot be part of a chain"),
    ),
    "two momenta": (
        study(
            "schedule: {name: chain, schedules: [{name: cyclic, cycle_momentum: true}, "
            "{name: one_cycle, cycle_momentum: true}]}\n"
        ),
        ("4:11", "only one schedule of a chain", "can cycle the momentum"),
    ),
    "a schedule function's key": (
        study("schedule: {name: 'rates:fall', power: 2}\n"),
        ("4:32", "power: unknown key", "rates:fall takes warmup, warmup_start, warmup_shape, args"),
    ),
    "no room to train": (
        study("data: {name: digits, valid: 0.6, test: 0.5}\n"),
        ("4:7", "got 0.6 + 0.5", "must be below 1"),
    ),
    "objective not measured": (
        study("data: {name: digits, valid: 0}\nobjective: {metric: valid/accuracy}\n"),
        ("5:21", "valid/accuracy is never measured", "must be above 0"),
    ),
    "objective of another loss": (
        study("objective: {metric: valid/r2}\n"),
        ("4:21", "valid/r2 is never measured with the loss cross_entropy", "valid/accuracy is"),
    ),
    "perplexity of images": (
        study("objective: {metric: valid/perplexity}\n"),
        ("4:21", "valid/perplexity is measured on characters alone", "valid/loss is its logarithm"),
    ),
    "error of real targets": (
        study(
            "data: {name: least_squares}\n",
            train="{epochs: 3, loss: quadratic, target: {metric: valid/error, value: 1}}",
        ),
        ("3:54", "valid/error is never measured with the loss quadratic", "valid/r2 is"),
    ),
    "tokens for the default model": (
        study("data: {name: characters, path: t.txt}\n"),
        ("1:1", "mlp takes no tokens, and characters has nothing else", "use gpt"),
    ),
    "tokens for one of two models": (
        study(
            "data: {name: characters, path: t.txt}\nsweep: {model: [{name: gpt}, {name: vit}]}\n"
        ),
        ("5:37", "vit takes no tokens, and characters has nothing else", "use gpt"),
    ),
    "images for gpt": (
        study("model: {name: gpt}\n"),
        ("4:15", "gpt takes tokens, and digits has none", "use the data characters"),
    ),
    "one target for a sequence": (
        study(
            "data: {name: characters, path: t.txt}\nmodel: {name: gpt}\n",
            train="{epochs: 3, loss: logistic}",
        ),
        ("3:26", "logistic takes one target an example", "use cross_entropy"),
    ),
    "classes for an autoencoder": (
        study(train="{epochs: 3, loss: bernoulli}"),
        ("3:26", "bernoulli needs real targets, and digits has classes", "or data.targets: inputs"),
    ),
    "an autoencoder's loss of classes": (
        study("data: {name: digits, targets: inputs}\n"),
        ("3:8", "cross_entropy needs classes", "digits has real targets; use bernoulli or quad"),
    ),
    "augmented inputs that are targets": (
        study(
            "data: {name: mnist, root: r, targets: inputs}\nmodel: {name: lenet5}\n",
            train="{epochs: 3, loss: bernoulli, augment: {crop: 2}}",
        ),
        ("3:46", "train.augment: must be left out", "data.targets are the inputs"),
    ),
    "targets that there are not": (
        study("data: {name: digits, targets: pixels}\n"),
        ("4:31", "data.targets: must be", "one of classes or inputs, got pixels"),
    ),
    "targets of synthetic data": (
        study("data: {name: gaussian_mixture, targets: inputs}\n"),
        ("4:32", "data.targets", "gaussian_mixture"),
    ),
    "characters without a path": (
        study("data: {name: characters}\nmodel: {name: gpt}\n"),
        ("4:7", "data.path: is required", "text"),
    ),
    "no characters to train on": (
        study("data: {name: characters, path: t.txt, valid: 0.5, test: 0.5}\nmodel: {name: gpt}\n"),
        ("4:7", "got 0.5 + 0.5", "must be below 1"),
    ),
    "target not measured": (
        study(
            "data: {name: digits, test: 0}\n",
            train="{steps: 3, target: {metric: test/loss, value: 1}}",
        ),
        ("3:36", "test/loss is never measured", "must be above 0"),
    ),
    # several sections at once
    "everywhere": (
        study(
            "seeds: 0\nsweep: {model.hiden: [[3]], x: [1]}\nreport: {top: 0}\n", train="{steps: 0}"
        ),
        ("3:16", "got 0", "at least 1"),
        ("4:8", "got 0", "from 1 to"),
        ("5:9", "did you mean hidden?", "mlp takes hidden"),
        ("5:29", "no such path", "data, model"),
        ("6:15", "got 0", "at least 1"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
