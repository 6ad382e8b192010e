"""The fully connected network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from trainables.configs.models import Mlp

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}
_NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Skip(nn.Module):
    """x + inner(x): a residual connection around a hidden layer."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)  # type: ignore[no-any-return]


def mlp(config: Mlp, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Linear → norm → activation for each hidden width, then a linear output layer.

    A plain ``nn.Sequential`` of linear layers and activations where neither normalization
    nor skip connections are asked for: the form the engine differentiates by hand.
    """
    layers: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    width = prod(input_shape)
    for hidden in config.hidden:
        linear = nn.Linear(width, hidden, bias=config.bias)
        _initialize(linear, config)
        block: list[nn.Module] = [linear]
        if config.norm != "none":
            block.append(_NORMS[config.norm](hidden))
        block.append(_ACTIVATIONS[config.activation]())
        if config.skip and width == hidden:
            layers.append(Skip(nn.Sequential(*block)))
        else:
            layers += block
        width = hidden
    output = nn.Linear(width, outputs, bias=config.bias)
    _initialize(output, config)
    return nn.Sequential(*layers, output)


def _initialize(linear: nn.Linear, config: Mlp) -> None:
    """Weights by ``config.init`` with zero biases; ``torch`` leaves PyTorch's default.

    lecun: N(0, 1/fan_in) (LeCun 1998); xavier: uniform, ±√(6/(fan_in + fan_out)) (Glorot &
    Bengio 2010); kaiming: N(0, 2/fan_in) (He 2015); orthogonal: Saxe 2014, with the gain of
    the activation for the last three.
    """
    if config.init == "torch":
        return
    name = config.activation if config.activation in ("relu", "tanh", "sigmoid") else "linear"
    gain = nn.init.calculate_gain("relu" if config.activation == "gelu" else name)
    schemes: dict[str, Callable[[Tensor], object]] = {
        "lecun": lambda w: nn.init.normal_(w, std=w.shape[1] ** -0.5),
        "xavier": lambda w: nn.init.xavier_uniform_(w, gain=gain),
        "kaiming": lambda w: nn.init.normal_(w, std=gain * w.shape[1] ** -0.5),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }
    with torch.no_grad():
        schemes[config.init](linear.weight)
        if linear.bias is not None:
            linear.bias.zero_()
