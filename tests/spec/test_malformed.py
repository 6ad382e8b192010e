"""Studies that are wrong, each in its own way: where it is said, what is wrong, what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.spec import SpecError, load_study

SGD = "{name: sgd, lr: 0.1}"


def study(more: str = "", *, optimizer: str = SGD, train: str = "{epochs: 3}") -> str:
    """A study whose lines from the fourth on are ``more``."""
    return f"study: s\noptimizer: {optimizer}\ntrain: {train}\n{more}"


def own(
    more: str = "", *, trainable: str = "a:b", objective: str = "{metric: x, mode: min}"
) -> str:
    """A study with a training of its own, whose lines from the fourth on are ``more``."""
    line = f"objective: {objective}" if objective else "# none"
    return f"study: s\ntrainable: {trainable}\n{line}\n{more}"


def sweep(axes: str) -> str:
    """A study with axes, the first in line 4, column 9."""
    return study(f"sweep: {{{axes}}}\n")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, key in zip("abcde", "bcdef", strict=True)
)
COMBINED = "sweep:\n  {}\n  optimizer.momentum: [0.1, 0.5]\n"
SHARE = "share of training in [0, 1], {steps: n} or {epochs: n}"
AXIS = "a list of values, {log: [a, b], points: n}, {linear"

# The text, then for each problem: line:column, what is wrong, what is allowed.
CASES: dict[str, tuple[str, *tuple[tuple[str, str, str], ...]]] = {
    # YAML
    "empty": ("", ("1:1", "is empty", "study, optimizer and train")),
    "only a comment": ("# x\n", ("1:1", "is empty", "study, optimizer and train")),
    "a list": ("[1, 2]\n", ("1:1", "got [1, 2]", "must be a mapping")),
    "a scalar": ("word\n", ("1:1", "got word", "must be a mapping")),
    "two colons": ("a: b: c\n", ("1:5", "not valid YAML", "not allowed here")),
    "a tab": ("study: s\n\ttrain: 3\n", ("2:1", "a tab", "indent with spaces")),
    "open bracket": ("study: [1\n", ("2:1", "not valid YAML", "expected ',' or ']'")),
    "open quote": ("study: 'a\n", ("2:1", "not valid YAML", "quoted scalar")),
    "two documents": (study("---\nstudy: t\n"), ("4:1", "second document", "one study a file")),
    "duplicate section": (study("study: t\n"), ("4:1", "study occurs a second time", "once")),
    "duplicate key": (
        "study: s\noptimizer:\n  name: sgd\n  lr: 0.1\n  lr: 0.2\n",
        ("5:3", "lr occurs a second time", "write it once"),
    ),
    "number as key": (study("1: x\n"), ("4:1", "got 1", "keys must be text")),
    "true as key": (study("true: x\n"), ("4:1", "got true", "keys must be text")),
    "list as key": (study("? [a]\n: b\n"), ("4:3", "got a list or", "keys must be text")),
    "python tag": ("study: !!python/name:os.system x\n", ("1:8", "os.system", "plain YAML")),
    "own tag": ("study: !mine x\n", ("1:8", "!mine", "plain YAML")),
    "set tag": (study("data: !!set {a}\n"), ("4:7", "set is not allowed", "plain YAML")),
    "false number tag": ("study: !!int x\n", ("1:8", "got x", "must be a number")),
    "false boolean tag": ("study: !!bool x\n", ("1:8", "bool is not allowed", "plain YAML")),
    "alias in itself": ("a: &a [*a]\n", ("1:4", "an alias", "must not stand inside")),
    "unknown alias": ("a: *b\n", ("1:4", "not valid YAML", "undefined alias")),
    "alias bomb": (BOMB, ("1:35", "aliases unfold", "100,000 values")),
    "merge of a scalar": (study("data: {<<: 3}\n"), ("4:12", "<<", "must name a mapping")),
    "deep": (study(f"data: {'[' * 60}{']' * 60}\n"), ("4:55", "nested", "more than 50 levels")),
    "control character": ("study: 'a\x07'\n", ("1:10", r"'\x07'", "not allowed in YAML")),
    "half a surrogate": ('study: "\\ud800"\n', ("1:8", "surrogate", "no text")),
    "beyond unicode": ('study: "\\U00110000"\n', ("1:11", "not valid YAML", "not in range")),
    "yaml of the future": ("%YAML 9.1\n---\na: b\n", ("1:1", "not valid YAML", "1.*")),
    # numbers
    "nan": (
        study(optimizer="{name: sgd, lr: .nan}"),
        ("2:28", "got .nan", "must be a finite number"),
    ),
    "infinity": (
        study(optimizer="{name: sgd, lr: .inf}"),
        ("2:28", "got .inf", "must be a finite number"),
    ),
    "overflow": (
        study(optimizer="{name: sgd, lr: 1e999}"),
        ("2:28", "got 1e999", "must be a finite number"),
    ),
    "huge integer": (study("seeds: 9223372036854775808\n"), ("4:8", "got 9223372", "2^63")),
    "endless integer": (study(f"seeds: {'9' * 5000}\n"), ("4:8", "got 9999", "must be a number")),
    "octal": (study(train="{epochs: 010}"), ("3:17", "got '010'", "number above 0")),
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
    "search": (study("search: {name: random}\n"), ("4:1", "search: not available", "seeds")),
    "early_stopping": (study("early_stopping: {}\n"), ("4:1", "not available", "seeds")),
    "procedure": (study("procedure: train\n"), ("4:1", "procedure: not available", "seeds")),
    "probes": (study("probes: []\n"), ("4:1", "probes: not available in this", "seeds")),
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
    "growth in steps": (
        study(train="{steps: 30, batch_growth: {factor: 2}}"),
        ("3:8", "train: ", "batch_growth goes with epochs"),
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
    "a layer that never wakes": (
        study("model: {name: mlp, skip: true, zero_init: true}\n"),
        ("4:8", "with relu", "zero_init goes with tanh, gelu, linear"),
    ),
    "batch norm of tokens": (
        study("model: {name: vit, norm: batch}\n"),
        ("4:26", "model.norm: ", "none or layer"),
    ),
    # axes
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
        ("4:23", "log_uniform is not available", AXIS),
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
        study(train="{epochs: 3, loss: quadratic, target: {metric: valid/error, value: 1}}"),
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
    # own training
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
    text, *expected = CASES[name]
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_study(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected), lines
    for line, (place, wrong, allowed) in zip(lines, expected, strict=True):
        assert line.startswith(f"{path}:{place}: "), line
        assert wrong in line, line
        assert allowed in line, line


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 45


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path / "none.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'none.yaml'}: cannot be read (No such file")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load_study(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: cannot be read (Is a directory)")


@pytest.mark.parametrize(
    ("data", "place", "wrong"),
    [
        (b"study: s\ndata: \xff\n", "2:7", "is not UTF-8"),
        ("study: s\n".encode("utf-16"), "1:1", "is not UTF-8"),
        (b"study: s\nx: '\x00'\n", "2:5", "the character"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, place: str, wrong: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        load_study(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:{place}: {wrong}")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"# x\n" * 2_500_001)
    with pytest.raises(SpecError, match="larger than 10 MB"):
        load_study(path)


def test_too_many_values(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(study(f"x: [{'1,' * 100_001}]\n"))
    with pytest.raises(SpecError, match=r"s\.yaml:4:4: more than 100,000 values"):
        load_study(path)
