"""What only the data and the user's modules can tell: checked before any worker starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.spec.checks import wrong_for_sequences, wrong_inputs
from trainables.configs.base import steps_in
from trainables.configs.data import Data
from trainables.configs.fit import unfit
from trainables.configs.models import ImageModel, UserModel, Vit
from trainables.configs.run import RunConfig, data_key, length
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
    """Sizes that must fit each other, and that users' models can be imported.

    Raises:
        LaunchError: with all that does not fit, a line each.
    """
    problems: dict[str, None] = {}
    for config in configurations:
        for problem in _problems(config, data[data_key(config)]):
            problems[problem] = None
    if problems:
        raise LaunchError("\n".join(problems))


def _problems(config: RunConfig, data: DataSet) -> Iterable[str]:
    yield from _targets_for_loss(config, data)
    if (why := wrong_inputs(config.model, config.data.name, tokens=data.tokens)) is not None:
        yield f"model.name: {why}"
    yield from _images_for_model(config, data)
    yield from _images_for_augment(config, data)
    batch, examples = config.train.batch_size, len(data.train_x)
    if batch > examples:
        yield f"train.batch_size: {batch} exceeds {config.data.name}'s {examples} training examples"
        return
    per_epoch = examples // batch
    total = length(config.train, per_epoch)
    yield from _schedule_within(config, total, per_epoch)
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
        from trainables.schedules import table  # PyTorch takes a second to import

        try:
            table(config.schedule, config.optimizer.lr, total, per_epoch)
        except UserCodeError as error:
            yield f"schedule: {' '.join(str(error).split())}"


def _targets_for_loss(config: RunConfig, data: DataSet) -> Iterable[str]:
    loss, name = config.train.loss, config.data.name
    if (why := wrong_for_sequences(config.train, name, tokens=data.tokens)) is not None:
        yield f"train.loss: {why}"
    elif data.regression and loss != "quadratic":
        yield f"train.loss: {loss} needs classes, and {name} has real targets; use quadratic"
    elif loss == "quadratic" and not data.regression:
        yield f"train.loss: quadratic needs real targets, and {name} has classes; use cross_entropy"
    elif loss == "logistic" and data.outputs != 2:
        yield f"train.loss: logistic needs 2 classes, and {name} has {data.outputs}"


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
