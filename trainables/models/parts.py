"""What models are put together from: activations, normalizations, initializations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "linear": nn.Identity,
}
WITH_BIAS = ("none", "weight")
"""Normalizations that leave the convolution before them its bias."""
_MOST_GROUPS, _FEWEST_CHANNELS = 8, 4
_GAINS = {"relu": 2**0.5, "gelu": 2**0.5, "tanh": 5 / 3}
"""Factors that keep the variance from layer to layer (``torch.nn.init.calculate_gain``)."""


def feature_norm(name: str, features: int) -> list[nn.Module]:
    """The normalization of vectors (B, features); groups are ``_groups``."""
    norms: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm1d(features),
        "layer": lambda: nn.LayerNorm(features),
        "group": lambda: nn.GroupNorm(_groups(features), features),
    }
    return [norms[name]()] if name in norms else []


def image_norm(name: str, channels: int) -> list[nn.Module]:
    """The normalization of images (B, channels, H, W); layer norm is over all three."""
    norms: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "group": lambda: nn.GroupNorm(_groups(channels), channels),
    }
    return [norms[name]()] if name in norms else []


def _groups(channels: int) -> int:
    """The most equal groups, up to 8, with 4 channels each or more (else a single group).

    A feature alone in its group would be normalized to zero.
    """
    fitting = (
        count
        for count in range(1, _MOST_GROUPS + 1)
        if channels % count == 0 and channels >= _FEWEST_CHANNELS * count
    )
    return max(fitting, default=1)


class Skip(nn.Module):
    """shortcut(x) + inner(x): a residual connection."""

    def __init__(self, inner: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.shortcut is None else self.shortcut(x)
        return around + self.inner(x)  # type: ignore[no-any-return]


def start_at_zero(layer: nn.Module) -> None:
    """Makes a linear layer, convolution or normalization give 0 until it is trained."""
    for name, parameter in layer.named_parameters(recurse=False):
        if name != "direction":  # of weight normalization: its length is 0, which is enough
            nn.init.zeros_(parameter)


def initialize(module: nn.Module, init: str, activation: str, scale: float) -> None:
    """Weights of linear layers and convolutions by ``init``, times ``scale``; zero biases.

    lecun: N(0, 1/fan_in) (LeCun 1998); xavier: uniform, ±√(6/(fan_in + fan_out)) (Glorot &
    Bengio 2010); kaiming: N(0, 2/fan_in) (He 2015); orthogonal: Saxe 2014, with the gain of
    the activation for the last three. ``torch`` keeps PyTorch's default and its biases.
    """
    gain = _GAINS.get(activation, 1.0)
    schemes: dict[str, Callable[[Tensor], object]] = {
        "torch": lambda w: None,
        "lecun": lambda w: nn.init.normal_(w, std=w[0].numel() ** -0.5),
        "xavier": lambda w: nn.init.xavier_uniform_(w, gain=gain),
        "kaiming": lambda w: nn.init.normal_(w, std=gain * w[0].numel() ** -0.5),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain=gain),
    }
    for layer in module.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        with torch.no_grad():
            schemes[init](layer.weight)
            layer.weight.mul_(scale)
            if layer.bias is not None and init != "torch":
                layer.bias.zero_()
