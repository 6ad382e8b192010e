"""One run: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from trainables.configs.base import (
    Bound,
    Config,
    Count,
    Duration,
    Epochs,
    Fraction,
    Positive,
    Precision,
    steps_in,
    to_plain,
)
from trainables.configs.data import Data
from trainables.configs.models import Model
from trainables.configs.optimizers import Optimizer
from trainables.configs.schedules import Constant, Schedule

Metric = Literal[
    "train/loss",
    "valid/loss",
    "test/loss",
    "train/accuracy",
    "valid/accuracy",
    "test/accuracy",
    "train/r2",
    "valid/r2",
    "test/r2",
]
HIGHER_IS_BETTER = frozenset(get_args(Metric)) - {"train/loss", "valid/loss", "test/loss"}

LossName = Literal["cross_entropy", "logistic", "quadratic"]
SCORES: dict[LossName, str] = {
    "cross_entropy": "accuracy",
    "logistic": "accuracy",
    "quadratic": "r2",
}
"""What is measured beside each loss: the share of hits, or R² = 1 − Σ‖f − y‖² / Σ‖y − ȳ‖²."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target(Config):
    """Training ends at the first evaluation that is strictly better than ``value``."""

    metric: Metric
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Train(Config):
    """How long and on how much a run trains. Write either ``epochs`` or ``steps``."""

    epochs: Positive | None = None
    steps: Count | None = None
    batch_size: Count = 64
    """Examples in one step; an epoch has floor(n / batch_size) steps, reshuffled each epoch."""
    evaluate_every: Duration = Epochs(epochs=1.0)
    loss: LossName = "cross_entropy"
    """``cross_entropy`` for classes, ``logistic`` for two of them by one output, ``quadratic``
    (half the squared distance) for real targets."""
    target: Target | None = None
    diverged_above: Positive = 1e6
    """A run whose batch loss is non-finite or above this has diverged, and ends."""
    precision: Precision = "float32"
    label_smoothing: Fraction = 0.0
    """Share of each target that is spread evenly over the classes while training; what is
    measured on valid and test is the loss without it."""
    accumulate: Count = 1
    """Parts of equal size that a batch is trained in, one after the other, to save memory: the
    gradient is their mean. Batch normalization sees one part at a time."""
    sam_rho: Positive | None = None
    """Sharpness-aware minimization: the gradient is taken this far uphill."""
    clip_norm: Positive | None = None
    """The longest a gradient may be, over all parameters; longer ones are scaled down."""
    clip_value: Positive | None = None
    """The largest an entry of a gradient may be, in magnitude."""

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("write exactly one of epochs and steps")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("write at most one of clip_norm and clip_value")
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(f"label_smoothing goes with cross_entropy, not with {self.loss}")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.accumulate} does not divide batch_size {self.batch_size}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig(Config):
    """One configuration with one seed. Two runs with equal configurations are the same run."""

    data: Data
    model: Model
    optimizer: Optimizer
    schedule: Schedule = Constant()
    train: Train
    seed: Annotated[int, Bound(ge=0, lt=2**63)] = 0


def run_id(config: Config) -> str:
    """Content hash of what was chosen: 16 hexadecimal digits.

    Fields at their default are left out, so that a new field with a default does not
    rename the runs that exist (golden tests pin the defaults).
    """
    text = json.dumps(_chosen(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _chosen(value: Any) -> Any:
    """``value`` as plain data without the fields of dataclasses that are at their default."""
    if not dataclasses.is_dataclass(value):
        return to_plain(value)
    plain = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name == "name" or item != _default(field):
            plain[field.name] = _chosen(item)
    return plain


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def length(train: Train, steps_per_epoch: int) -> int:
    """Optimizer steps in the whole of training (at least 1)."""
    if train.steps is not None:
        return train.steps
    assert train.epochs is not None
    return max(1, round(train.epochs * steps_per_epoch))


def evaluation_interval(train: Train, steps_per_epoch: int) -> int:
    """Optimizer steps between two evaluations (at least 1)."""
    total = length(train, steps_per_epoch)
    every = steps_in(train.evaluate_every, total_steps=total, steps_per_epoch=steps_per_epoch)
    return max(1, every)


def data_key(config: RunConfig) -> str:
    """Names a run's data set among those of a study."""
    return json.dumps(to_plain(config.data), sort_keys=True)


def fusion_key(config: RunConfig) -> str:
    """What runs must share to be stacked; equal keys may share a pack.

    Shared: data, model, optimizer apart from its float fields, batch size, loss, precision,
    how gradients are taken and clipped, and the unit of evaluation. Free from lane to lane:
    float hyperparameters, bounds of clipping, SAM's radius, schedule, seed, length of training,
    target.
    """
    optimizer = {
        key: value
        for key, value in to_plain(config.optimizer).items()
        if not isinstance(value, float)
    }
    train = config.train
    shares_length = isinstance(train.evaluate_every, float)
    shared = {
        "data": to_plain(config.data),
        "model": to_plain(config.model),
        "optimizer": optimizer,
        "train": [train.batch_size, train.loss, train.precision, to_plain(train.evaluate_every)],
        "length": [train.epochs, train.steps] if shares_length else None,
        "clip": [train.clip_norm is not None, train.clip_value is not None],
        "gradient": [train.accumulate, train.sam_rho is not None, train.label_smoothing],
    }
    return json.dumps(shared, sort_keys=True)
