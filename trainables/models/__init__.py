"""Models by name. A new model is one function here and one class in ``configs.models``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from trainables.configs.models import Mlp, Model, UserModel
from trainables.lanes import derive
from trainables.models.mlp import mlp
from trainables.user_code import UserCodeError, call_user_code, resolve

Builder = Callable[[Sequence[int], int], nn.Module]
"""(input shape of one example, number of outputs) → a freshly initialized module."""


def build(model: Model, input_shape: Sequence[int], outputs: int, seed: int) -> nn.Module:
    """The model of one run, initialized from the run's seed alone.

    Args:
        input_shape: shape of one example.
        outputs: number of classes (or regression targets).
        seed: the run's seed; torch's global generator is left as it was.
    """
    builder = _builder(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        return builder(input_shape, outputs)


def _builder(model: Model) -> Builder:
    if isinstance(model, UserModel):
        return partial(_user_model, model)
    table: dict[type, Callable[..., nn.Module]] = {Mlp: mlp}
    return partial(table[type(model)], model)


def _user_model(model: UserModel, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """The user's module; ``input_shape`` and ``outputs`` are passed where it asks for them."""
    function = resolve(model.name)
    offered = {"input_shape": tuple(input_shape), "outputs": outputs}
    asked = inspect.signature(function).parameters
    arguments = {key: value for key, value in offered.items() if key in asked} | model.args
    module = call_user_code(model.name, function, arguments)
    if not isinstance(module, nn.Module):
        raise UserCodeError(f"{model.name} must return a torch.nn.Module, got {type(module)}")
    return module
