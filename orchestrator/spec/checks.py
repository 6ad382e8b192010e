"""What must agree between sections of one run, where it is known without the data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from orchestrator.spec.errors import listed, suggestion
from orchestrator.spec.findings import Finding as Finding
from orchestrator.spec.findings import measured_in, unit_of
from orchestrator.spec.lotteries import LOTTERY_CHECKS
from orchestrator.spec.sections import checked
from trainables.configs import SCORES, Train, UserModel, measured, probes, to_plain
from trainables.configs.data import Characters, Digits, ImageFiles, Split
from trainables.configs.fit import misfits
from trainables.configs.models import Gpt
from trainables.configs.optimizers import ScheduleFreeAdamW, ScheduleFreeSgd, momentum_field
from trainables.configs.schedules import cycling


def _schedule_within_training(schedule: Any, train: Train) -> Finding | None:
    """What can be told in the unit of training's length: data may be needed for the rest."""
    unit, whole = unit_of(train)
    for misfit in misfits(schedule, whole, functools.partial(measured_in, unit), unit):
        path = ("schedule", *misfit.path)
        return Finding(path=path, message=misfit.message, related=("train", unit))
    return None


def _momentum_to_cycle(schedule: Any, optimizer: Any) -> Finding | None:
    path = cycling(schedule)
    if path is None or momentum_field(optimizer) is not None:
        return None
    message = f"must be false, as {optimizer.name} has neither momentum nor beta1 to cycle"
    return Finding(path=("schedule", *path), message=message, related=("optimizer", "name"))


def _room_for_training(data: Any, _: Train) -> Finding | None:
    if isinstance(data, Split | Characters) and data.valid + data.test >= 1:
        message = f"valid and test together must be below 1, got {data.valid:g} + {data.test:g}"
        return Finding(path=("data",), message=message, kind="whole")
    return None


def _target_is_measured(data: Any, train: Train) -> Finding | None:
    if train.target is None or (why := unmeasured(train.target.metric, data, train)) is None:
        return None
    split = train.target.metric.split("/")[0]
    return Finding(path=("train", "target", "metric"), message=why, related=("data", split))


def _loss_of_sequences(data: Any, train: Train) -> Finding | None:
    if (why := wrong_for_sequences(train, data.name, tokens=isinstance(data, Characters))) is None:
        return None
    return Finding(path=("train", "loss"), message=why, related=("data",))


def wrong_for_sequences(train: Train, name: str, *, tokens: bool) -> str | None:
    """Why the loss does not suit the sequences of the data ``name``, where these are some."""
    if tokens and train.loss != "cross_entropy":
        return f"{train.loss} takes one target an example, {name} has sequences; use cross_entropy"
    return None


def _loss_of_targets(data: Any, train: Train) -> Finding | None:
    """Where the data say what their targets are; of others it is known once they are read."""
    if not isinstance(data, Digits | ImageFiles):
        return None
    why = wrong_targets(train, data, real=data.targets == "inputs")
    return None if why is None else Finding(path=("train", "loss"), message=why, related=("data",))


def wrong_targets(train: Train, data: Any, *, real: bool) -> str | None:
    """Why the loss does not suit the targets, real ones or classes."""
    loss, name = train.loss, data.name
    if real and loss in ("cross_entropy", "logistic"):
        use = "bernoulli or quadratic" if hasattr(data, "targets") else "quadratic"
        return f"{loss} needs classes, and {name} has real targets; use {use}"
    if not real and loss in ("quadratic", "bernoulli"):
        hint = ", or data.targets: inputs" if hasattr(data, "targets") else ""
        return f"{loss} needs real targets, and {name} has classes; use cross_entropy{hint}"
    return None


def _no_augmented_targets(data: Any, train: Train) -> Finding | None:
    if train.augment is None or getattr(data, "targets", "classes") == "classes":
        return None
    message = "must be left out where data.targets are the inputs, which would not change with them"
    return Finding(path=("train", "augment"), message=message, related=("data", "targets"))


def _inputs_of_model(model: Any, data: Any) -> Finding | None:
    if (why := wrong_inputs(model, data.name, tokens=isinstance(data, Characters))) is None:
        return None
    return Finding(path=("model", "name"), message=why, related=("data",))


def wrong_inputs(model: Any, name: str, *, tokens: bool) -> str | None:
    """Why the model cannot take what the data ``name`` has: tokens, or numbers."""
    if isinstance(model, Gpt) and not tokens:
        return f"gpt takes tokens, and {name} has none; use the data characters"
    if tokens and not isinstance(model, Gpt | UserModel):
        return f"{model.name} takes no tokens, and {name} has nothing else; use gpt"
    return None


def unmeasured(metric: str, data: Any, train: Train) -> str | None:
    """Why no run measures ``metric``, where it does not."""
    split, what = metric.split("/")
    if what not in measured(data, train):
        if what == "perplexity":
            return f"{metric} is measured on characters alone; {split}/loss is its logarithm"
        score = SCORES[train.loss]
        return f"{metric} is never measured with the loss {train.loss}; {split}/{score} is"
    if getattr(data, split, None) == 0:
        return f"{metric} is never measured, as data.{split} is 0; it must be above 0"
    return None


def _one_average(optimizer: Any, train: Train) -> Finding | None:
    key = next((k for k in ("ema", "swa") if getattr(train, k) is not None), None)
    if key is None or not isinstance(optimizer, ScheduleFreeSgd | ScheduleFreeAdamW):
        return None
    message = f"must be left out, as {optimizer.name} evaluates an average of its own"
    return Finding(path=("train", key), message=message, related=("optimizer", "name"))


def _parts_of_batch(section: probes.Probes, train: Train) -> Finding | None:
    """Batches that grow are whole numbers of the first ones, and divide as these do."""
    if section.noise_scale is None:
        return None
    why = probes.misfit(section.noise_scale, train.batch_size, train.accumulate)
    if why is None:
        return None
    path = ("probes", "noise_scale", "parts")
    return Finding(path=path, message=why, related=("train", "batch_size"))


def _changes_of_optimizer(train: Train, optimizer: Any) -> Finding | None:
    """Changes must be of numbers that the optimizer has, to values that it takes."""
    numbers = [f.name for f in fields(optimizer) if isinstance(getattr(optimizer, f.name), float)]
    values: dict[str, Any] = to_plain(optimizer)
    for index, change in enumerate(train.changes):
        path = ("train", "changes", index)
        if train.steps is not None and change.step >= train.steps:
            message = f"must be below train.steps, {train.steps}, got {change.step}"
            return Finding(path=(*path, "step"), message=message)
        for name in change.optimizer:
            if name not in numbers:
                message = f"{optimizer.name} has no number {name}; it has {listed(numbers)}"
                message += suggestion(name, numbers)
                return Finding(path=(*path, "optimizer"), message=message, related=("optimizer",))
        values = values | change.optimizer
        result: Any = checked("optimizer", values)
        if isinstance(result, list):
            where = ".".join(map(str, result[0].path))
            message = f"{where}: {result[0].message}" if where else result[0].message
            return Finding(path=(*path, "optimizer"), message=message, related=("optimizer",))
    return None


CHECKS: tuple[tuple[str, str, Callable[[Any, Any], Finding | None]], ...] = (
    ("schedule", "train", _schedule_within_training),
    ("schedule", "optimizer", _momentum_to_cycle),
    ("data", "train", _room_for_training),
    ("data", "train", _target_is_measured),
    ("data", "train", _loss_of_sequences),
    ("data", "train", _loss_of_targets),
    ("data", "train", _no_augmented_targets),
    ("model", "data", _inputs_of_model),
    ("optimizer", "train", _one_average),
    ("train", "optimizer", _changes_of_optimizer),
    ("probes", "train", _parts_of_batch),
    *(("procedure", other, check) for other, check in LOTTERY_CHECKS),
)
"""Two sections and what looks at both."""
