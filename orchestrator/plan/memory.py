"""How much memory a pack will take, modelled from its configurations alone.

The packs themselves forecast it anew by measuring (``trainables.memory``), and keep to that; here
is what can be said beforehand, without PyTorch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.plan.factors import factor_numbers
from orchestrator.plan.flops import Layer, inputs_of, is_chain, layers
from trainables.configs.data import Sizes
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.configs.models import Lenet5, Lenet300100, Mlp, Model, Plain, Resnet, Vit
from trainables.configs.newton import Dense, Lbfgs
from trainables.configs.optimizers import Optimizer, RmsProp
from trainables.configs.preconditioned import Shampoo
from trainables.configs.run import RunConfig, length, step_ends
from trainables.ram import SHARE, free_ram

STATE = {
    "sgd": 1,
    "adagrad": 1,
    "rmsprop": 2,
    "adadelta": 2,
    "adam": 2,
    "adamw": 2,
    "amsgrad": 3,
    "nadam": 2,
    "radam": 2,
    "adamax": 2,
    "lion": 1,
    "lars": 1,
    "lamb": 2,
    "muon": 1,
    "schedule_free_sgd": 2,
    "schedule_free_adamw": 3,
    "sps": 0,
    "sls": 0,
    "barzilai_borwein": 2,
    "shampoo": 1,
    "soap": 2,
    "adahessian": 2,
    "sophia": 2,
    "kfac": 1,
    "ekfac": 1,
    "newton": 1,
    "natural_gradient": 1,
    "gauss_newton": 0,
    "hessian_free": 1,
    "lbfgs": 0,
}
"""Tensors of a parameter's size that an optimizer keeps for it; of Muon those of matrices."""
_SAVED = {"none": 1, "weight": 1, "batch": 3, "layer": 4, "group": 4}
"""Values that a layer with its normalization keeps for the backward pass, for each output."""
_POOLED = 0.75
"""What halving an image adds to it: a quarter of values, and their places in twice the bytes."""
_BLOCK, _BARE_BLOCK = 17, 13
"""Values of a transformer's block for each number of a token, with and without normalization."""
_BACKWARD, _FORWARD = 2, 4
"""The largest layer's outputs so many times: gradients that pass by; an evaluation."""
_LOSS = 6
"""The outputs so many times: what a loss and its gradient are made of."""
_NORM_BYTES = 24
"""A gradient's norm is taken in float64: three copies of one tensor at a time."""
_FACTORS = 2
"""New factors, and as much again: some of them at a time are decomposed in float64."""
_MATRICES = 4
"""Copies of a matrix of all weights, in float64: as it is, damped, in a solve."""
_EVALUATION_BATCH = 1024
_WITH_NORM = Mlp | Lenet300100 | Lenet5 | Plain | Resnet
_OF_REAL_TARGETS = ("quadratic", "bernoulli")
_GPU = Path("/dev/nvidia0")


@dataclass(frozen=True, slots=True)
class Lane:
    """Bytes that a lane takes of a stack, where it is one of several."""

    kept: float
    """Between steps: weights, state of the optimizer, tables."""
    more: float
    """On top of it, at the fullest moment of a step or an evaluation."""
    shared: float
    """What is there once, however many lanes: the data set, and a network without values."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the pack that takes the most: expected, from a model within a factor of 1.6."""

    lane: float
    """Bytes of a lane."""
    lanes: int
    total: float
    """Bytes of the pack with all its lanes in one stack."""
    limit: float | None
    """Bytes that a pack may take; None where that is a GPU's, which is not looked at."""
    fit: int | None
    """Lanes that fit in one stack, 0 where one is too much; packs make stacks as narrow as that,
    and let them take turns."""


def expected_memory(packs: Iterable[tuple[RunConfig, int]], limit: float | None) -> Memory | None:
    """
    Args:
        packs: a configuration of each and its lanes.
        limit: ``limit_a_pack``.

    Returns:
        None where there is no pack, or nothing is known of the model or data of one.
    """
    most: Memory | None = None
    for config, lanes in packs:
        found = lane_memory(config)
        if found is None:
            return None
        one = found.kept + found.more
        fit = None if limit is None else max(0, int((limit - found.shared) / one))
        total = found.shared + one * lanes
        if most is None or total > most.total:
            most = Memory(one, lanes, total, limit, fit)
    return most


def limit_a_pack(gpus: float | None, at_once: int) -> float | None:
    """What each of so many packs may take of this machine's memory; None where they train on a
    GPU (``resources.gpus``; a GPU is used where there is one)."""
    if gpus or (gpus is None and _GPU.exists()):
        return None
    return SHARE * free_ram() / max(1, at_once)


def lane_memory(config: RunConfig) -> Lane | None:
    """None where nothing is known of the data's sizes (as of a text) or the model's layers."""
    sizes, train = config.data.sizes(), config.train
    found = layers(config.model, sizes.input_shape, sizes.outputs) if sizes is not None else None
    if sizes is None or found is None:
        return None
    size = 8 if train.precision == "float64" else 4
    weights = size * sum(layer.parameters for layer in found)
    averages = (train.ema is not None) + (train.swa is not None)
    per_epoch = max(1, sizes.train // train.batch_size)
    tables = 8 * (length(train, per_epoch) + sizes.train)  # rates, and an epoch's order
    example = size * math.prod(sizes.input_shape)
    target = size * sizes.outputs if train.loss in _OF_REAL_TARGETS else 8
    return Lane(
        kept=weights * (1 + state_of(config.optimizer) + averages)
        + size * factor_numbers(config.optimizer, found)
        + tables,
        more=max(
            _step(config, found, size, (example + target) * _examples(config, sizes)),
            _evaluation(config.model, found, weights, size, sizes),
        ),
        shared=weights + (example + target) * (sizes.train + sizes.evaluated),
    )


def state_of(optimizer: Optimizer) -> int:
    """Tensors of a parameter's size that ``optimizer`` keeps for it."""
    more = int(isinstance(optimizer, RmsProp) and optimizer.centered)
    if isinstance(optimizer, Lbfgs):
        more = 2 * optimizer.history
    if isinstance(optimizer, Shampoo):
        more = int(optimizer.grafting in ("adagrad", "rmsprop", "adam"))
    return STATE[optimizer.name] + more


def _examples(config: RunConfig, sizes: Sizes) -> int:
    """Examples of the largest step."""
    train = config.train
    if train.batch_growth is None:
        return train.batch_size
    per_epoch = max(1, sizes.train // train.batch_size)
    ends = step_ends(train, per_epoch, length(train, per_epoch))
    return train.batch_size * max(b - a for a, b in itertools.pairwise(ends))


def _step(config: RunConfig, found: Sequence[Layer], size: int, inputs: float) -> float:
    """A batch, and what is more: the passes over it, or the update that follows.

    Args:
        size: bytes of a number.
        inputs: bytes of the batch's inputs.
    """
    train, sizes = config.train, config.data.sizes()
    assert sizes is not None
    examples = _examples(config, sizes) / train.accumulate
    weights = size * sum(layer.parameters for layer in found)
    extra = (train.accumulate > 1) + 2 * (train.sam_rho is not None)
    saved = _saved(config.model, found) + _BACKWARD * _largest(config.model, found)
    passes = size * examples * saved + weights * (1 + extra)
    copies = 2 + state_of(config.optimizer)  # gradients, new weights, new state
    copies += (train.clip_norm is not None or train.clip_value is not None) + extra
    copies += train.ema is not None
    update: float = weights * copies + _NORM_BYTES * max(layer.parameters for layer in found)
    update += _FACTORS * size * factor_numbers(config.optimizer, found)
    if isinstance(config.optimizer, Kfac | Ekfac):  # the rows that factors are sums of, by layer
        rows = max(layer.positions * (inputs_of(layer) + layer.channels) for layer in found)
        passes = max(passes, size * examples * (saved + rows))
    if isinstance(config.optimizer, Dense):
        update += _MATRICES * 8 * (weights / size) ** 2
    return (1 if train.augment is None else 3) * inputs + max(passes, update)


def _evaluation(
    model: Model, found: Sequence[Layer], weights: float, size: int, sizes: Sizes
) -> float:
    """The largest batch forward, and the weights once more."""
    examples = min(_EVALUATION_BATCH, math.ceil(sizes.evaluated / 2))
    most = _FORWARD * _largest(model, found)
    if is_chain(model):
        wide = [0, *(layer.channels for layer in found)]
        most = max(a + b for a, b in itertools.pairwise(wide))
    return weights + size * examples * max(most, _LOSS * found[-1].channels)


def _saved(model: Model, found: Sequence[Layer]) -> float:
    """Numbers that an example leaves for the backward pass."""
    if isinstance(model, Vit):
        first, last, blocks = found[0], found[-1], model.depth
        block = _BLOCK if model.norm == "layer" else _BARE_BLOCK
        inside = block * model.width + model.heads * first.positions
        ends = first.channels * first.positions + last.channels * last.positions
        return blocks * first.positions * inside + ends
    outputs = sum(layer.channels * layer.positions for layer in found)
    if is_chain(model):
        return outputs
    saved = 0.0
    for layer in found:
        each = _SAVED[_norm(model)] if layer is not found[-1] else 1.0
        pooled = _POOLED if layer.convolution and isinstance(model, Lenet5 | Plain) else 0.0
        saved += (each + pooled) * layer.channels * layer.positions
    return saved


def _norm(model: Model) -> str:
    return model.norm if isinstance(model, _WITH_NORM) else "none"


def _largest(model: Model, found: Sequence[Layer]) -> int:
    """Numbers that the largest layer makes of an example."""
    most = max(layer.channels * layer.positions for layer in found)
    if isinstance(model, Vit):
        return max(most, model.heads * found[0].positions ** 2)
    return most
