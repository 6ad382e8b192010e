"""The fully connected network."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from trainables.configs.models import DeepLinear, Lenet300100, Linear, Mlp
from trainables.models.parts import ACTIVATIONS, Skip, feature_norm, initialize, start_at_zero
from trainables.models.weight_norm import WeightNorm


def mlp(config: Mlp, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Linear → norm → activation for each hidden width, then a linear output layer.

    A plain ``nn.Sequential`` of linear layers and activations where neither normalization
    nor skip connections are asked for: the form the engine differentiates by hand. ``weight``
    normalization (Salimans & Kingma 2016) is of the hidden layers' weights, w = g v/‖v‖.
    """
    layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    width = prod(input_shape)
    for hidden in config.hidden:
        linear = _linear(config, width, hidden)
        first = WeightNorm(linear) if config.norm == "weight" else linear
        activation = ACTIVATIONS[config.activation]()
        block = [first, *feature_norm(config.norm, hidden), activation]
        if config.skip and width == hidden:
            if config.zero_init:
                start_at_zero(block[-2])
            layers.append(Skip(nn.Sequential(*block)))
        else:
            layers += block
        width = hidden
    return nn.Sequential(*layers, _linear(config, width, outputs))


def preset(
    config: Linear | DeepLinear | Lenet300100, input_shape: Sequence[int], outputs: int
) -> nn.Module:
    """A network that is an ``mlp`` of certain settings."""
    return mlp(config.as_mlp(), input_shape, outputs)


def _linear(config: Mlp, inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias=config.bias)
    initialize(linear, config.init, config.activation, config.scale)
    return linear
