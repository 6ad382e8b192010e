"""What must agree between sections of one run, where it is known without the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from trainables.configs import SCORES, Train, UserModel, measured
from trainables.configs.base import Epochs, Steps
from trainables.configs.data import Characters, Split
from trainables.configs.models import Gpt
from trainables.configs.optimizers import ScheduleFreeAdamW, ScheduleFreeSgd


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong between two sections."""

    path: tuple[str, ...]
    message: str
    related: tuple[str, ...] = ()
    """The path in the other section that it depends on."""
    kind: Literal["value", "whole"] = "value"


def _warmup_within_training(schedule: Any, train: Train) -> Finding | None:
    warmup = schedule.warmup
    if isinstance(warmup, Steps) and train.steps is not None and warmup.steps >= train.steps:
        message = f"must be shorter than training ({train.steps} steps), got {warmup.steps} steps"
        return Finding(path=("schedule", "warmup"), message=message, related=("train", "steps"))
    if isinstance(warmup, Epochs) and train.epochs is not None and warmup.epochs >= train.epochs:
        message = (
            f"must be shorter than training ({train.epochs:g} epochs), got {warmup.epochs:g} epochs"
        )
        return Finding(path=("schedule", "warmup"), message=message, related=("train", "epochs"))
    return None


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


CHECKS: tuple[tuple[str, str, Callable[[Any, Any], Finding | None]], ...] = (
    ("schedule", "train", _warmup_within_training),
    ("data", "train", _room_for_training),
    ("data", "train", _target_is_measured),
    ("data", "train", _loss_of_sequences),
    ("model", "data", _inputs_of_model),
    ("optimizer", "train", _one_average),
)
"""Two sections and what looks at both."""
