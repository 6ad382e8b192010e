"""Models by name. A new model is one function here and one class in ``configs.models``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from trainables.configs import models as configs
from trainables.configs.models import Model, UserModel
from trainables.configs.run import RunConfig
from trainables.lanes import Tree, derive, stack
from trainables.models.convolutional import lenet5, plain
from trainables.models.gpt import gpt
from trainables.models.mlp import mlp, preset
from trainables.models.resnet import resnet
from trainables.models.vit import vit
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


def build_lanes(
    runs: Sequence[RunConfig],
    input_shape: Sequence[int],
    outputs: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[nn.Module, Tree, Tree]:
    """A module of the lanes' model, and each lane's parameters and buffers, (L, …)."""
    trees: dict[int, tuple[Tree, Tree]] = {}
    for run in runs:
        if run.seed not in trees:
            module = build(run.model, input_shape, outputs, run.seed).to(device=device, dtype=dtype)
            trees[run.seed] = (
                {name: p.detach() for name, p in module.named_parameters()},
                {name: b.detach() for name, b in module.named_buffers()},
            )
    params, buffers = (stack([trees[run.seed][part] for run in runs]) for part in (0, 1))
    return module, params, buffers


def _builder(model: Model) -> Builder:
    if isinstance(model, UserModel):
        return partial(_user_model, model)
    return partial(_BUILDERS[type(model)], model)


def _user_model(model: UserModel, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """The user's module; ``input_shape`` and ``outputs`` are passed where it asks for them."""
    function = resolve(model.name)
    try:
        asked = inspect.signature(function).parameters
    except ValueError as error:
        raise UserCodeError(f"{model.name}: {error}") from error
    offered = {"input_shape": tuple(input_shape), "outputs": outputs}
    arguments = {key: value for key, value in offered.items() if key in asked} | model.args
    module = call_user_code(model.name, function, arguments)
    if not isinstance(module, nn.Module):
        found = type(module).__name__
        raise UserCodeError(f"{model.name}: must return a torch.nn.Module, got {found}")
    if next(module.parameters(), None) is None:
        raise UserCodeError(f"{model.name}: returns a module without parameters to train")
    return module


_BUILDERS: dict[type, Callable[..., nn.Module]] = {
    configs.Mlp: mlp,
    configs.Linear: preset,
    configs.DeepLinear: preset,
    configs.Lenet300100: preset,
    configs.Lenet5: lenet5,
    configs.Conv2: plain,
    configs.Conv4: plain,
    configs.Conv6: plain,
    configs.Vgg11: plain,
    configs.Vgg16: plain,
    configs.Resnet20: resnet,
    configs.Resnet32: resnet,
    configs.Resnet44: resnet,
    configs.Resnet56: resnet,
    configs.Vit: vit,
    configs.Gpt: gpt,
}
