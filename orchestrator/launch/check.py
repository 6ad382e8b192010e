"""What only the data and the user's modules can tell: checked before any worker starts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

from orchestrator.launch.check_lottery import lottery_problems
from orchestrator.launch.check_optimizers import demands, optimizer_problems
from orchestrator.plan.flops import layers
from orchestrator.spec.checks import wrong_for_sequences, wrong_inputs, wrong_targets
from trainables.configs.base import steps_in, to_plain
from trainables.configs.data import Data
from trainables.configs.fit import unfit
from trainables.configs.models import ImageModel, UserModel, Vit
from trainables.configs.run import RunConfig, data_key, evaluation_interval, length
from trainables.configs.schedules import has_user_code
from trainables.data import DataError, DataSet, load
from trainables.user_code import UserCodeError, resolve


class LaunchError(Exception):
    """The study cannot be run as it stands; each line names one reason."""


def load_data(configurations: Iterable[RunConfig]) -> dict[str, DataSet]:
    """Every data set of the study, by ``data_key``.

    Raises:
        LaunchError: a data set is missing or damaged.
    """
    wanted: dict[str, Data] = {data_key(config): config.data for config in configurations}
    try:
        return {key: load(config) for key, config in wanted.items()}
    except DataError as error:
        raise LaunchError(f"data: {error}") from error


def check(configurations: Iterable[RunConfig], data: Mapping[str, DataSet]) -> None:
    """Sizes that must fit each other, and that users' models can be imported and trained.

    Raises:
        LaunchError: with all that does not fit, a line each.
    """
    problems: dict[str, None] = {}
    tried: dict[str, RunConfig] = {}
    configurations = list(configurations)
    for config in configurations:
        for problem in _problems(config, data[data_key(config)]):
            problems[problem] = None
        if isinstance(config.model, UserModel):
            _add_trial(tried, config)
    problems |= dict.fromkeys(lottery_problems(configurations, data))
    if not problems:
        problems = dict.fromkeys(_failed_trials(tried.values(), data))
    if problems:
        raise LaunchError("\n".join(problems))


def misfit(config: RunConfig, data: Mapping[str, DataSet]) -> str | None:
    """Why a configuration does not go with its data, or None."""
    found = data.get(data_key(config))
    if found is None:
        return f"data: {config.data.name} was not loaded as this configuration has it"
    return next(iter(_problems(config, found)), None)


def _problems(config: RunConfig, data: DataSet) -> Iterable[str]:
    yield from _targets_for_loss(config, data)
    if (why := wrong_inputs(config.model, config.data.name, tokens=data.tokens)) is not None:
        yield f"model.name: {why}"
    yield from _images_for_model(config, data)
    yield from _images_for_augment(config, data)
    yield from _numbers_for_norm(config, data)
    yield from optimizer_problems(config, data)
    batch, examples = config.train.batch_size, len(data.train_x)
    if batch > examples:
        yield f"train.batch_size: {batch} exceeds {config.data.name}'s {examples} training examples"
        return
    per_epoch = examples // batch
    total = length(config.train, per_epoch)
    yield from _schedule_within(config, total, per_epoch)
    yield from _interval_within(config, total, per_epoch)
    for change in config.train.changes[-1:]:
        if change.step >= total:
            yield f"train.changes: step {change.step} is beyond a training of {total} steps"
    if (swa := config.train.swa) is not None:
        start = steps_in(swa.start, total_steps=total, steps_per_epoch=per_epoch)
        if start >= total:
            yield (
                f"train.swa.start: after {start} steps nothing of a training of {total} steps"
                " is left to average"
            )
    if isinstance(config.model, UserModel):
        try:
            resolve(config.model.name)
        except UserCodeError as error:
            yield f"model.name: {error}"


def _schedule_within(config: RunConfig, total: int, per_epoch: int) -> Iterable[str]:
    """Durations that do not fit, and what is wrong with a user's function.

    A schedule that passes has a table: nothing that it could raise is left for a worker.
    """
    wrong = unfit(config.schedule, total, per_epoch)
    for misfit in wrong:
        yield f"{'.'.join(map(str, ('schedule', *misfit.path)))}: {misfit.message}"
    if not wrong and has_user_code(config.schedule):
        from trainables.schedules import table  # PyTorch, which the rest does without

        try:
            table(config.schedule, config.optimizer.lr, total, per_epoch)
        except UserCodeError as error:
            yield f"schedule: {' '.join(str(error).split())}"


def _interval_within(config: RunConfig, total: int, per_epoch: int) -> Iterable[str]:
    """The interval of a population in steps, whatever units it is written in.

    Epochs and shares are rounded to whole steps, so that an evaluation may be half a step off.
    """
    if config.population is None:
        return
    every = evaluation_interval(config.train, per_epoch)
    wanted = config.population.interval
    interval = steps_in(wanted, total_steps=total, steps_per_epoch=per_epoch)
    count = round(interval / every)
    if count < 1 or abs(interval - count * every) > (count + 1) / 2:
        yield (
            f"search.interval: {interval} steps are no multiple of train.evaluate_every,"
            f" {every} steps"
        )
    elif interval >= total:
        yield f"search.interval: {interval} steps must be fewer than those of training, {total}"


def _targets_for_loss(config: RunConfig, data: DataSet) -> Iterable[str]:
    loss, name = config.train.loss, config.data.name
    if (why := wrong_for_sequences(config.train, name, tokens=data.tokens)) is not None or (
        why := wrong_targets(config.train, config.data, real=data.regression)
    ) is not None:
        yield f"train.loss: {why}"
    elif loss == "bernoulli" and (outside := _beyond_one(data)) is not None:
        yield f"train.loss: bernoulli needs targets in [0, 1], and {name} has {outside:g}"
    elif loss == "logistic" and data.outputs != 2:
        yield f"train.loss: logistic needs 2 classes, and {name} has {data.outputs}"


def _beyond_one(data: DataSet) -> float | None:
    """A target that is no probability, or None."""
    for targets in (data.train_y, data.valid_y, data.test_y):
        for value in (float(targets.min()), float(targets.max())):
            if not 0 <= value <= 1:
                return value
    return None


def _images_for_augment(config: RunConfig, data: DataSet) -> Iterable[str]:
    asked, shape = config.train.augment, data.input_shape
    if asked is None:
        return
    found = f"examples of {config.data.name} have the shape {shape}"
    if len(shape) != 3:
        yield f"train.augment: takes images (channels, height, width); {found}"
        return
    if asked.crop >= min(shape[1:]):
        yield f"train.augment.crop: {asked.crop} must be below the sides of images; {found}"
    if asked.cutout > min(shape[1:]):
        yield f"train.augment.cutout: {asked.cutout} must be within the sides of images; {found}"


def _images_for_model(config: RunConfig, data: DataSet) -> Iterable[str]:
    model, shape = config.model, data.input_shape
    if not isinstance(model, ImageModel) or data.tokens:
        return
    found = f"examples of {config.data.name} have the shape {shape}"
    if len(shape) != 3:
        yield f"model.name: {model.name} takes images (channels, height, width); {found}"
    elif min(shape[1:]) < model.smallest:
        yield f"model.name: {model.name} takes images from {model.smallest} pixels a side; {found}"
    elif isinstance(model, Vit) and any(side % model.patch for side in shape[1:]):
        yield f"model.patch: {model.patch} must divide the sides of images; {found}"


def _numbers_for_norm(config: RunConfig, data: DataSet) -> Iterable[str]:
    """Normalizations that would be of one number at a time, which PyTorch refuses in training.

    Batch normalization looks at a channel's positions in a batch, the group and layer
    normalization of images at a group of channels of one example.
    """
    model, train = config.model, config.train
    norm = "none" if data.tokens else getattr(model, "norm", "none")
    if norm in ("none", "weight") or isinstance(model, Vit) or any(_images_for_model(config, data)):
        return
    if train.batch_size > train.accumulate or (
        norm == "layer" and not isinstance(model, ImageModel)
    ):
        return
    normalized = [
        layer
        for layer in (layers(model, data.input_shape, data.outputs) or [])[:-1]
        if layer.convolution or not isinstance(model, ImageModel)
    ]
    if any(at.positions == 1 and (norm == "batch" or at.channels == 1) for at in normalized):
        parts = f" in {train.accumulate} parts" if train.accumulate > 1 else ""
        yield (
            f"model.norm: {norm} would normalize single numbers of {model.name}, as"
            f" train.batch_size {train.batch_size}{parts} trains one example at a time;"
            " it must be at least 2 a part"
        )


def _add_trial(tried: dict[str, RunConfig], config: RunConfig) -> None:
    """Keeps of all runs with the same model the one that trains on the fewest examples at once."""
    chosen = [config.model, config.data, config.train.precision, config.train.loss]
    kind = to_plain([*chosen, *demands(config.optimizer)])
    other = tried.setdefault(json.dumps(kind, sort_keys=True), config)
    if _part(config) < _part(other):
        tried[json.dumps(kind, sort_keys=True)] = config


def _part(config: RunConfig) -> int:
    return config.train.batch_size // config.train.accumulate


def _failed_trials(configs: Iterable[RunConfig], data: Mapping[str, DataSet]) -> Iterable[str]:
    """What users' models raise in one step, here and now.

    Not where RAY_ADDRESS names a cluster, whose machines may have what this one lacks.
    """
    found = list(configs)
    if not found or os.environ.get("RAY_ADDRESS"):
        return
    from trainables.trial import problem  # PyTorch, which a user's model has imported anyway

    for config in found:
        line = problem(config, data[data_key(config)])
        if line is not None:
            yield f"model.name: {line}"
