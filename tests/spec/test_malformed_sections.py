"""Sections that are wrong in themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.malformed import SGD, Case, refused, study

SHARE = "share of training in [0, 1], {steps: n} or {epochs: n}"
CASES: dict[str, Case] = {
    # the top level
    "hidden name": ("study: .a\n" + study()[9:], ("1:8", "got '.a'", "starting with '.'")),
    "number as name": ("study: 5\n" + study()[9:], ("1:8", "got 5; write '5'", "letters, digits")),
    "path as name": ("study: a/b\n" + study()[9:], ("1:8", "got a/b", "letters, digits")),
    "long name": (f"study: {'x' * 101}\n" + study()[9:], ("1:8", "got xxx", "at most 100")),
    "line break in name": (
        'study: "a\\nb"\n' + study()[9:],
        ("1:8", r"got 'a\nb'", "letters, digits"),
    ),
    "no name": (study()[9:], ("1:1", "study: is required", "letters, digits")),
    "null name": ("study:\n" + study()[9:], ("1:7", "got null", "letters, digits")),
    "no optimizer": (
        "study: s\ntrain: {epochs: 3}\n",
        ("1:1", "optimizer: is required", "{name: sgd, lr: 0.1}"),
    ),
    "no train": (
        f"study: s\noptimizer: {SGD}\n",
        ("1:1", "train: is required", "{epochs: 10}"),
    ),
    "neither": (
        "study: s\n",
        ("1:1", "optimizer: is required", "a mapping"),
        ("1:1", "train: is required", "a mapping"),
    ),
    "unknown section": (study("optimiser: {}\n"), ("4:1", "did you mean optimizer?", "schedule")),
    "search": (study("search: {name: random}\n"), ("4:9", "search.runs: is required", "whole")),
    "probes": (study("probes: []\n"), ("4:9", "probes: must be a mapping", "{noise_scale: …}")),
    "another probe": (
        study("probes: {noise_scales: {}}\n"),
        ("4:10", "did you mean noise_scale?", "probes takes noise_scale"),
    ),
    "a noise scale": (
        study("probes: {noise_scale: true}\n"),
        ("4:23", "got true", "{every: …, parts: …, decay: …}"),
    ),
    "noise scale's fields": (
        study("probes: {noise_scale: {every: 0, parts: 1, decay: 1, examples: 3}}\n"),
        ("4:31", "probes.noise_scale.every: must", "a whole number at least 1, got 0"),
        ("4:41", "probes.noise_scale.parts: must", "a whole number at least 2, got 1"),
        ("4:51", "probes.noise_scale.decay: must", "at least 0 and below 1, got 1"),
        ("4:54", "unknown key", "probes.noise_scale takes every, parts and decay"),
    ),
    "parts of a batch": (
        study("probes: {noise_scale: {parts: 5}}\n"),
        ("4:31", "probes.noise_scale.parts: must", "divide batch_size 64, got 5"),
    ),
    "two parts of an odd batch": (
        study("probes: {noise_scale: {}}\nsweep: {train.batch_size: [64, 15, 16]}\n"),
        ("4:23", "must divide batch_size 15, got 2", "(with train.batch_size = 15)"),
    ),
    "a spectrum": (
        study("probes: {spectrum: true}\n"),
        ("4:20", "got true", "{at: …, every: …, matrix: …, top: …"),
    ),
    "a spectrum's fields": (
        study(
            "probes: {spectrum: {at: [0.5, 2], every: 0, matrix: hesian, top: 0, lanczos: 1,\n"
            "  vectors: 1, examples: 0, density: 3, dense: true}}\n"
        ),
        ("4:31", "probes.spectrum.at.1: must", "a number from 0 to 1, got 2"),
        ("4:42", "probes.spectrum.every: must", "a whole number at least 1, got 0"),
        ("4:53", "one of hessian or gauss_newton, got hesian", "did you mean hessian?"),
        ("4:66", "probes.spectrum.top: must", "a whole number at least 1, got 0"),
        ("4:78", "probes.spectrum.lanczos: must", "a whole number at least 2, got 1"),
        ("5:12", "probes.spectrum.vectors: must", "a whole number at least 2, got 1"),
        ("5:25", "probes.spectrum.examples: must", "a whole number at least 1, got 0"),
        ("5:37", "probes.spectrum.density: must", "true or false, got 3"),
        ("5:40", "unknown key; probes.spectrum takes at, every, matrix", "mean density?"),
    ),
    "a spectrum that is never measured": (
        study("probes: {spectrum: {at: []}}\n"),
        ("4:20", "probes.spectrum: write at or every", "nothing is ever measured"),
    ),
    "more eigenvalues than steps": (
        study("sweep: {probes.spectrum.lanczos: [10, 4]}\n"),
        ("4:9", "top: 5 eigenvalues need as many steps of lanczos, got 4", "lanczos = 4)"),
    ),
    "axis of a probe": (
        study("sweep: {probes.noise_scale.decay: [0.9, 2]}\n"),
        ("4:41", "probes.noise_scale.decay: must", "below 1, got 2"),
    ),
    "line break in a key": (study('"a\\nb": 3\n'), ("4:1", r"a\nb: unknown key", "data, model")),
    # sections
    "bare name": (study(optimizer="adam"), ("2:12", "got adam", "such as {name: adam}")),
    "empty section": (study(optimizer=""), ("2:11", "it is empty here", "{name: sgd}")),
    "empty untagged section": (study("report:\n"), ("4:8", "empty here", "{title: …}")),
    "list as section": (study(train="[3]"), ("3:8", "got [3]", "{epochs: …}")),
    "unknown name": (
        study(optimizer="{name: sgdd, lr: 1}"),
        ("2:19", "got sgdd; did you mean sgd?", "one of sgd, adagrad, rmsprop"),
    ),
    "negative damping": (
        study(optimizer="{name: kfac, damping: -1}"),
        ("2:34", "optimizer.damping: must be a number", "at least 0, got -1"),
    ),
    "statistics never": (
        study(optimizer="{name: ekfac, statistics_every: 0}"),
        ("2:44", "optimizer.statistics_every: must be a whole number", "at least 1, got 0"),
    ),
    "another fisher": (
        study(optimizer="{name: kfac, fisher: true}"),
        ("2:33", "optimizer.fisher: must be one of", "sampled, empirical or exact"),
    ),
    "pi under ekfac": (
        study(optimizer="{name: ekfac, pi: false}"),
        ("2:26", "optimizer.pi", "damping"),
    ),
    "no such name": (study(optimizer="{lr: 1}"), ("2:12", "name: is required", "one of sgd")),
    "number for a name": (study(optimizer="{name: 3}"), ("2:19", "got 3", "one of sgd")),
    "momentum under adam": (
        study(optimizer="{name: adam, momentum: 0.9}"),
        ("2:25", "optimizer.momentum: unknown key", "adam takes lr, beta1, beta2"),
    ),
    "misspelt field": (
        study(optimizer="{name: sgd, lr: 1, momentun: 0.9}"),
        ("2:31", "did you mean momentum?", "sgd takes lr, momentum"),
    ),
    "a sum that grows": (
        study(optimizer="{name: shampoo, decay: 1.1}"),
        ("2:35", "optimizer.decay: must be a number above 0 and at most 1", "got 1.1"),
    ),
    "another method's length": (
        study(optimizer="{name: shampoo, grafting: lion}"),
        ("2:38", "optimizer.grafting: must be one of none, sgd, adagrad, rmsprop", "got lion"),
    ),
    "bases never renewed": (
        study(optimizer="{name: soap, precondition_every: 0}"),
        ("2:45", "optimizer.precondition_every: must be", "got 0"),
    ),
    "a power of 0": (
        study(optimizer="{name: adahessian, hessian_power: 0}"),
        ("2:46", "optimizer.hessian_power: must be", "got 0"),
    ),
    "an estimator unheard of": (
        study(optimizer="{name: sophia, estimator: fisher}"),
        ("2:38", "optimizer.estimator: must be", "gauss_newton_bartlett"),
    ),
    "momentum for nesterov": (
        study(optimizer="{name: shampoo, nesterov: true, momentum: 0}"),
        ("2:12", "nesterov needs a momentum above 0", "above 0"),
    ),
    "missing field": (
        study(optimizer="{name: sgd}"),
        ("2:12", "optimizer.lr: is required", "a number above 0"),
    ),
    "negative": (study(optimizer="{name: sgd, lr: -1}"), ("2:28", "got -1", "number above 0")),
    "text": (study(optimizer="{name: sgd, lr: '3'}"), ("2:28", "got '3'", "number above 0")),
    "boolean": (study(optimizer="{name: sgd, lr: true}"), ("2:28", "got true", "number above 0")),
    "two in one section": (
        study(optimizer="{name: sgd, lr: 1, momentum: 1.0, nesterov: yes}"),
        ("2:41", "got 1.0", "at least 0 and below 1"),
        ("2:56", "got yes", "true or false"),
    ),
    "nesterov alone": (
        study(optimizer="{name: sgd, lr: 1, nesterov: true}"),
        ("2:12", "optimizer: nesterov", "needs a momentum above 0"),
    ),
    "a saddle that is none": (
        study(optimizer="{name: newton, damping: -1, saddle: point}"),
        ("2:36", "optimizer.damping", "a number at least 0"),
        ("2:48", "got point", "plain or free"),
    ),
    "half an iteration": (
        study(optimizer="{name: hessian_free, cg_iterations: 2.5, backtrack: 1.0}"),
        ("2:48", "got 2.5", "a whole number"),
        ("2:64", "got 1.0", "below 1"),
    ),
    "damping that would shrink": (
        study(optimizer="{name: gauss_newton, damping_factor: 0.5, momentum: 0.9}"),
        ("2:49", "got 0.5", "at least 1"),
        ("2:54", "optimizer.momentum: unknown key", "gauss_newton takes lr, damping"),
    ),
    "conditions that contradict": (
        study(optimizer="{name: lbfgs, c1: 0.9, c2: 0.5}"),
        ("2:12", "optimizer: c1", "must be below c2"),
    ),
    "no rate of a natural gradient": (
        study(optimizer="{name: natural_gradient}"),
        ("2:12", "optimizer.lr: is required", "a number above 0"),
    ),
    "epochs and steps": (
        study(train="{epochs: 3, steps: 5}"),
        ("3:8", "train: ", "exactly one of epochs and steps"),
    ),
    "no length": (study(train="{batch_size: 5}"), ("3:8", "train: ", "exactly one of epochs")),
    "no batch": (study(train="{steps: 3, batch_size: 0}"), ("3:31", "got 0", "at least 1")),
    "half a batch": (
        study(train="{steps: 3, batch_size: 6.5}"),
        ("3:31", "got 6.5", "a whole number"),
    ),
    "no epochs": (study(train="{epochs: 0}"), ("3:17", "got 0", "a number above 0")),
    "share above 1": (study(train="{epochs: 3, evaluate_every: 2}"), ("3:36", "got 2", SHARE)),
    "misspelt duration": (
        study(train="{epochs: 3, evaluate_every: {step: 2}}"),
        ("3:36", "got {step: 2}", SHARE),
    ),
    "negative duration": (
        study(train="{epochs: 3, evaluate_every: {steps: -2}}"),
        ("3:36", "got {steps: -2}", SHARE),
    ),
    "two durations": (
        study("schedule: {name: step, warmup: {steps: 5, epochs: 3}}\n"),
        ("4:32", "got {steps: 5, epochs: 3}", SHARE),
    ),
    "durations in a list": (
        study("schedule: {name: multistep, milestones: [0.1, 7, x]}\n"),
        ("4:47", "milestones.1: must", SHARE),
        ("4:50", "milestones.2: must", SHARE),
    ),
    "target's metric": (
        study(train="{epochs: 3, target: {metric: valid/acc, value: 1}}"),
        ("3:37", "got valid/acc; did you mean valid/accuracy?", "train/loss, valid/loss"),
    ),
    "target's value": (
        study(train="{epochs: 3, target: {metric: valid/loss}}"),
        ("3:28", "train.target.value: is required", "a number"),
    ),
    "target's key": (
        study(train="{epochs: 3, target: {metric: valid/loss, value: 1, mode: max}}"),
        ("3:59", "train.target.mode: unknown", "train.target takes metric and value"),
    ),
    "a key of a later version": (
        study("resources: {workers: 2}\n"),
        ("4:13", "workers: not available", "resources takes cpus"),
    ),
    "accumulate": (
        study(train="{epochs: 3, batch_size: 10, accumulate: 3}"),
        ("3:8", "accumulate: 3", "does not divide batch_size 10"),
    ),
    "label smoothing of a quadratic loss": (
        study(train="{epochs: 3, loss: quadratic, label_smoothing: 0.1}"),
        ("3:8", "label_smoothing goes with cross_entropy", "not with quadratic"),
    ),
    "two averages": (
        study(train="{epochs: 3, ema: 0.9, swa: {start: 0.5}}"),
        ("3:8", "train: ", "at most one of ema and swa"),
    ),
    "decay of an average": (
        study(train="{epochs: 3, ema: 1}"),
        ("3:25", "got 1", "at least 0 and below 1"),
    ),
    "start of an average": (
        study(train="{epochs: 3, swa: {start: 2}}"),
        ("3:33", "got 2", SHARE),
    ),
    "average of an average": (
        study(optimizer="{name: schedule_free_sgd, lr: 1}", train="{epochs: 3, ema: 0.9}"),
        ("3:25", "train.ema: must be left out", "schedule_free_sgd evaluates an average of its"),
    ),
    "average of one of two": (
        study(
            "sweep: {optimizer: [{name: sgd, lr: 1}, {name: schedule_free_adamw}]}\n",
            train="{epochs: 3, swa: {start: 0.5}}",
        ),
        ("3:25", "schedule_free_adamw})", "must be left out"),
    ),
    "shift of images": (
        study(train="{epochs: 3, augment: {crop: -1, flip: 1}}"),
        ("3:36", "got -1", "a whole number at least 0"),
        ("3:46", "got 1", "true or false"),
    ),
    "augment by another name": (
        study(train="{epochs: 3, augment: {mirror: true}}"),
        ("3:30", "train.augment.mirror: unknown key", "takes crop, flip and cutout"),
    ),
    "no augmentation": (
        study(train="{epochs: 3, augment: true}"),
        ("3:29", "got true", "{crop: …"),
    ),
    "growth by half": (
        study(train="{epochs: 3, batch_growth: {factor: 1.5, milestones: [0.5, 2]}}"),
        ("3:43", "got 1.5", "a whole number at least 2"),
        ("3:66", "milestones.1: must", SHARE),
    ),
    "growth downwards": (
        study(train="{epochs: 3, batch_size: 128, batch_growth: {largest: 100}}"),
        ("3:8", "largest: 100", "below batch_size 128"),
    ),
    "cyclic's gamma": (
        study("schedule: {name: cyclic, gamma: 0.9}\n"),
        ("4:11", "gamma below 1", "goes with mode exp_range"),
    ),
    "a precision": (
        study(train="{epochs: 3, precision: float8}"),
        ("3:31", "got float8", "bfloat16"),
    ),
    "schedule's name": (
        study("schedule: {name: cosin}\n"),
        ("4:18", "got cosin; did you mean cosine?", "constant, step"),
    ),
    "schedule's key": (
        study("schedule: {name: cosine, gamma: 2}\n"),
        (
            "4:26",
            "schedule.gamma: unknown",
            "cosine takes warmup, warmup_start, warmup_shape and final",
        ),
    ),
    "model's name": (study("model: {name: cnn}\n"), ("4:15", "got cnn", "or module:callable")),
    "callable's name": (
        study("model: {name: 'a:b c'}\n"),
        ("4:15", "got 'a:b c'", "or module:callable"),
    ),
    "callable's key": (
        study("model: {name: a.b:c, width: 3}\n"),
        ("4:22", "unknown key", "a.b:c takes args"),
    ),
    "callable's arguments": (
        study("model: {name: a.b:c, args: 3}\n"),
        ("4:28", "got 3", "must be a mapping"),
    ),
    "width for widths": (
        study("model: {name: mlp, hidden: 64}\n"),
        ("4:28", "got 64", "a list, each a whole number at least 1"),
    ),
    "zero width": (study("model: {name: mlp, hidden: [6, 0]}\n"), ("4:32", "got 0", "at least 1")),
    "number for boolean": (
        study("model: {name: mlp, bias: 1}\n"),
        ("4:26", "got 1", "true or false"),
    ),
    "data's name": (
        study("data: {name: minst}\n"),
        ("4:14", "got minst", "or module:callable, got minst; did you mean mnist?"),
    ),
    "data's folder": (study("data: {name: mnist}\n"), ("4:7", "data.root: is required", "text")),
    "data's number": (
        study("data: {name: mnist, root: x, valid: 1.5}\n"),
        ("4:37", "got 1.5", "must be"),
    ),
    "seeds 0": (study("seeds: 0\n"), ("4:8", "got 0", "from 1 to 1,000,000, or a list")),
    "seeds twice": (study("seeds: [1, 1]\n"), ("4:12", "the seed 1 occurs a", "distinct")),
    "two bad seeds": (
        study("seeds: [1, -1, x]\n"),
        ("4:12", "got -1", "at least 0"),
        ("4:16", "got x", "at least 0"),
    ),
    "no seeds": (study("seeds: []\n"), ("4:8", "got []", "from 1 to 1,000,000, or a list")),
    "objective's metric": (
        study("objective: {metric: loss}\n"),
        ("4:21", "got loss; did you mean", "valid/loss"),
    ),
    "objective's mode": (study("objective: {mode: most}\n"), ("4:19", "got most", "min or max")),
    "strategy": (study("execution: {strategy: fast}\n"), ("4:23", "got fast", "auto, fused")),
    "compile": (study("execution: {compile: always}\n"), ("4:22", "got always", "auto, on")),
    "lanes": (study("execution: {lanes: 0}\n"), ("4:20", "got 0", "at least 1")),
    "resources": (study("resources: {gpu: 1}\n"), ("4:13", "did you mean gpus?", "takes cpus")),
    "workers": (study("resources: {workers: 2}\n"), ("4:13", "not available", "takes cpus")),
    "wandb": (study("tracking: {wandb: true}\n"), ("4:19", "got true", "offline, online or off")),
    "title": (study("report: {title: 3}\n"), ("4:17", "got 3", "must be text")),
    "identity without a skip": (
        study("model: {name: vit, skip: false, zero_init: true}\n"),
        ("4:8", "model: zero_init", "needs skip"),
    ),
    "a text's identity without a skip": (
        study(
            "data: {name: characters, path: t.txt}\n"
            "model: {name: gpt, skip: false, zero_init: true}\n"
        ),
        ("5:8", "model: zero_init", "needs skip"),
    ),
    "batch norm of characters": (
        study("data: {name: characters, path: t.txt}\nmodel: {name: gpt, norm: batch}\n"),
        ("5:26", "model.norm: must be one of none or layer, got batch", "none or layer"),
    ),
    "no CPU": (study("resources: {cpus: 0}\n"), ("4:19", "resources.cpus", "above 0")),
    "a layer that never wakes": (
        study("model: {name: mlp, skip: true, zero_init: true}\n"),
        ("4:8", "with relu", "zero_init goes with tanh, gelu, linear"),
    ),
    "batch norm of tokens": (
        study("model: {name: vit, norm: batch}\n"),
        ("4:26", "model.norm: ", "none or layer"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_problem_has_its_place_and_says_what_is_allowed(name: str, tmp_path: Path) -> None:
    refused(tmp_path, CASES[name])
