"""Whether what a lottery prunes, and where it rewinds to, is there: with the data and the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator.spec.errors import listed
from orchestrator.spec.lotteries import wrong_criterion
from trainables.configs.base import steps_in
from trainables.configs.lottery import Node
from trainables.configs.run import RunConfig, data_key, length, step_ends
from trainables.data import DataSet

if TYPE_CHECKING:
    from torch import Tensor

_FALLS = 0.6
"""A last rate of at most this share of the one before, where that fell, too, is on its way to 0:
1/2 by a line, 1/4 by a cosine."""


def lottery_problems(
    configurations: Iterable[RunConfig], data: Mapping[str, DataSet]
) -> Iterator[str]:
    """What does not fit, of all networks that are no dense ones, each kind looked at once."""
    different: dict[str, RunConfig] = {}
    for config in configurations:
        if config.lottery is not None:
            node = dataclasses.replace(config.lottery, level=1, control=None, child=0)
            one = dataclasses.replace(config, lottery=node, seed=0)
            different.setdefault(repr(one), one)
    prunable: dict[str, Sequence[str] | str] = {}
    for config in different.values():
        found = data[data_key(config)]
        if len(found.train_x) >= config.train.batch_size:  # else that is said already
            yield from _in_steps(config, len(found.train_x) // config.train.batch_size)
        yield from _tokens(config, found)
        yield from _patterns(config, found, prunable)


def _node(config: RunConfig) -> Node:
    assert config.lottery is not None
    return config.lottery


def _in_steps(config: RunConfig, per_epoch: int) -> Iterator[str]:
    node, total = _node(config), length(config.train, per_epoch)
    at = steps_in(node.rewind_to, total_steps=total, steps_per_epoch=per_epoch)
    if at >= total:
        yield f"procedure.rewind_to: step {at} must be before the end of training, {total} steps"
        return
    if config.train.batch_growth is not None:
        ends = step_ends(config.train, per_epoch, at)
        if ends[-1] != at:
            yield (
                f"procedure.rewind_to: {at} batches are in the middle of a step of"
                f" train.batch_growth, which ends at {ends[-2]} or {ends[-1]}"
            )
    if node.batches > per_epoch:
        yield f"procedure.batches: {node.batches} must be at most those of an epoch, {per_epoch}"
    if node.after == "fine_tune":
        yield from _last_rate(config, total, per_epoch)


def _last_rate(config: RunConfig, total: int, per_epoch: int) -> Iterator[str]:
    """What ends at 0 leaves no rate to fine-tune at."""
    from trainables.schedules import table  # PyTorch, which the rest does without
    from trainables.user_code import UserCodeError

    try:
        rates = table(config.schedule, config.optimizer.lr, total, per_epoch)
    except (ValueError, UserCodeError):  # said where the schedule itself is checked
        return
    if _ends_at_zero(rates):
        yield (
            f"procedure.after: fine_tune trains on at the last rate, and {config.schedule.name}"
            " ends at 0; use learning_rate or rewind, or another schedule"
        )


def _ends_at_zero(rates: Tensor) -> bool:
    """Whether the last rate is 0, or the one after it would be."""
    *before, last = rates[-3:].tolist()
    falls = len(before) == 2 and before[1] < 0.9 * before[0]
    return last <= 0 or (falls and last <= _FALLS * before[1])


def _tokens(config: RunConfig, data: DataSet) -> Iterator[str]:
    why = wrong_criterion(_node(config).criterion, config.data.name, tokens=data.tokens)
    if why is not None:
        yield f"procedure.criterion: {why}"


def _patterns(
    config: RunConfig, data: DataSet, known: dict[str, Sequence[str] | str]
) -> Iterator[str]:
    """Patterns that match no weight, and networks of which nothing is left to prune.

    Args:
        known: the weights of models looked at so far.
    """
    node = _node(config)
    key = repr((config.model, config.data, node.exclude))
    if key not in known:
        known[key] = _prunable(config, data)
    names = known[key]
    if isinstance(names, str):
        if names:
            yield names
        return
    for pattern in node.layer_rates:
        if not any(fnmatchcase(name, pattern) for name in names):
            yield f"procedure.layer_rates: {pattern!r} matches none of {listed(names)}"


def _prunable(config: RunConfig, data: DataSet) -> Sequence[str] | str:
    """The weights that are pruned, or why none can be; nothing where the model cannot be built,
    which is said elsewhere (of a user's, perhaps only on the cluster's machines)."""
    from trainables.models import build
    from trainables.pruning.masks import prunable
    from trainables.user_code import UserCodeError

    try:
        module = build(config.model, data.input_shape, data.outputs, config.seed)
    except UserCodeError:
        return ""
    try:
        return prunable(module, _node(config).exclude)
    except ValueError as error:
        by_norm = getattr(config.model, "norm", "none") == "weight"
        note = "; layers under weight normalization are not pruned" if by_norm else ""
        path = "procedure.exclude" if _node(config).exclude else "model.name"
        return f"{path}: {str(error).removeprefix('exclude: ')}{note}"
