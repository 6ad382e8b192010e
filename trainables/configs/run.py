"""One run: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Sequence
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
from trainables.configs.data import Characters, Data
from trainables.configs.lottery import Node
from trainables.configs.models import Model
from trainables.configs.optimizers import Optimizer
from trainables.configs.population import Change, Population
from trainables.configs.probes import Probes, shared
from trainables.configs.regularization import Augment, BatchGrowth, Swa
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
    "train/error",
    "valid/error",
    "test/error",
    "train/perplexity",
    "valid/perplexity",
    "test/perplexity",
    "train/squared_error",
    "valid/squared_error",
    "test/squared_error",
]
HIGHER_IS_BETTER = frozenset(m for m in get_args(Metric) if m.endswith(("/accuracy", "/r2")))

LossName = Literal["cross_entropy", "logistic", "quadratic", "bernoulli"]
SCORES: dict[LossName, str] = {
    "cross_entropy": "accuracy",
    "logistic": "accuracy",
    "quadratic": "r2",
    "bernoulli": "squared_error",
}
"""What is measured beside each loss: the share of hits, R² = 1 − Σ‖f − y‖² / Σ‖y − ȳ‖², or an
autoencoder's mean ‖σ(z) − y‖²."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target(Config):
    """Training ends at the first evaluation that is strictly better than ``value``."""

    metric: Metric
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Train(Config):
    """How long and on how much a run trains. Write either ``epochs`` or ``steps``, which counts
    batches of ``batch_size``."""

    epochs: Positive | None = None
    steps: Count | None = None
    batch_size: Count = 64
    """Examples in one step; an epoch has floor(n / batch_size) steps, reshuffled each epoch."""
    evaluate_every: Duration = Epochs(epochs=1.0)
    loss: LossName = "cross_entropy"
    """``cross_entropy`` for classes, ``logistic`` for two of them by one output, ``quadratic``
    (half the squared distance) for real targets, ``bernoulli`` for real ones in [0, 1], such as
    pixels (the cross-entropy of each, summed)."""
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
    ema: Fraction | None = None
    """What is evaluated is the exponential moving average of the weights with this decay."""
    swa: Swa | None = None
    """What is evaluated is the equal average of the weights along the end of training."""
    batch_growth: BatchGrowth | None = None
    """Makes steps of several batches as training goes on; ``batch_size`` is the first size."""
    augment: Augment | None = None
    """Random changes of training images; ``train/loss`` is of images so changed."""
    changes: tuple[Change, ...] = ()
    """Hyperparameters of the optimizer that change on the way, in the order of their steps."""

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("write exactly one of epochs and steps")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError("write at most one of clip_norm and clip_value")
        if self.ema is not None and self.swa is not None:
            raise ValueError("write at most one of ema and swa")
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(f"label_smoothing goes with cross_entropy, not with {self.loss}")
        if self.batch_growth is not None:
            _check_growth(self, self.batch_growth)
        if any(a.step >= b.step for a, b in itertools.pairwise(self.changes)):
            raise ValueError("changes must be in the order of their steps, one for each")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate: {self.accumulate} does not divide batch_size {self.batch_size}"
            )


def _check_growth(train: Train, growth: BatchGrowth) -> None:
    if growth.largest is not None and growth.largest < train.batch_size:
        raise ValueError(
            f"largest: {growth.largest} of batch_growth is below batch_size {train.batch_size}"
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
    population: Population | None = None
    """None where the run trains by itself, as all do but for ``search: {name: pbt}``."""
    lottery: Node | None = None
    """Where the network stands in ``procedure: {name: lottery}``; None where it is dense."""
    probes: Probes | None = None
    """What is measured on the way; None: nothing."""


def run_id(config: Config) -> str:
    """Content hash of what was chosen: 16 hexadecimal digits.

    Fields at their default are left out, so that a new field with a default does not
    rename the runs that exist (golden tests pin the defaults).
    """
    text = json.dumps(chosen(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chosen(value: Any) -> Any:
    """``value`` as plain data without the fields of dataclasses that are at their default."""
    if isinstance(value, tuple):
        return [chosen(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return to_plain(value)
    plain = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name == "name" or item != _default(field):
            plain[field.name] = chosen(item)
    return plain


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def length(train: Train, steps_per_epoch: int) -> int:
    """Batches of ``batch_size`` in the whole of training (at least 1): steps, unless it grows."""
    if train.steps is not None:
        return train.steps
    assert train.epochs is not None
    return max(1, round(train.epochs * steps_per_epoch))


def evaluation_interval(train: Train, steps_per_epoch: int) -> int:
    """Batches of ``batch_size`` between two evaluations (at least 1)."""
    total = length(train, steps_per_epoch)
    every = steps_in(train.evaluate_every, total_steps=total, steps_per_epoch=steps_per_epoch)
    return max(1, every)


def step_ends(train: Train, steps_per_epoch: int, batches: int) -> Sequence[int]:
    """Batches of ``batch_size`` seen after each optimizer step, until ``batches`` or more are.

    0, 1, 2, … unless ``batch_growth`` has a step take several; 0 comes first.
    """
    growth = train.batch_growth
    if growth is None:
        return range(batches + 1)
    total = length(train, steps_per_epoch)
    most = steps_per_epoch if growth.largest is None else growth.largest // train.batch_size
    milestones = sorted(
        steps_in(milestone, total_steps=total, steps_per_epoch=steps_per_epoch)
        for milestone in growth.milestones
    )
    ends = [0]
    while ends[-1] < batches:
        passed = bisect.bisect_right(milestones, ends[-1])
        left = steps_per_epoch - ends[-1] % steps_per_epoch
        ends.append(ends[-1] + min(growth.factor**passed, most, left))
    return ends


def measured(data: Data, train: Train) -> tuple[str, ...]:
    """What is measured on each split: the loss, its score, and what follows from these two.

    error = 1 − accuracy, of classes. perplexity = exp(mean loss), of texts: elsewhere it says
    nothing that the loss does not, and would widen every row of history.
    """
    score = SCORES[train.loss]
    error = ("error",) if score == "accuracy" else ()
    perplexity = ("perplexity",) if isinstance(data, Characters) else ()
    return ("loss", score, *error, *perplexity)


def data_key(config: RunConfig) -> str:
    """Names a run's data set among those of a study."""
    return json.dumps(to_plain(config.data), sort_keys=True)


def fusion_key(config: RunConfig) -> str:
    """What runs must share to be stacked; equal keys may share a pack.

    Shared: data, model, optimizer apart from its float fields, batch sizes, loss, precision,
    how gradients are taken and clipped, how weights are averaged, augmentation, and the unit of
    evaluation, a population, and when probes measure. Free from lane to lane: float
    hyperparameters and their changes on the way, bounds of clipping, SAM's radius, the decay of an
    average or when it is taken, schedule, seed, length of training, target.
    """
    optimizer = {
        key: value
        for key, value in to_plain(config.optimizer).items()
        if not isinstance(value, float)
    }
    train = config.train
    milestones = train.batch_growth.milestones if train.batch_growth else ()
    shares_length = any(isinstance(part, float) for part in (train.evaluate_every, *milestones))
    common = {
        "data": to_plain(config.data),
        "model": to_plain(config.model),
        "optimizer": optimizer,
        "train": [train.batch_size, train.loss, train.precision, to_plain(train.evaluate_every)],
        "length": [train.epochs, train.steps] if shares_length else None,
        "clip": [train.clip_norm is not None, train.clip_value is not None],
        "gradient": [train.accumulate, train.sam_rho is not None, train.label_smoothing],
        "growth": to_plain(train.batch_growth),
        "augment": to_plain(train.augment),
        "average": [train.ema is not None, train.swa is not None],
        "population": to_plain(config.population),
        "probes": shared(config.probes, train.accumulate),
    }
    return json.dumps(common, sort_keys=True)
