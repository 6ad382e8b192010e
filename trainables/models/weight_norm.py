"""Weight normalization that knows of lanes only what ``vmap`` can do."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class WeightNorm(nn.Module):
    """A linear layer or convolution with weights w = g v/‖v‖, a norm for each output.

    Salimans & Kingma 2016, equation 2; it starts as ``layer``. PyTorch's own has no rule for
    ``vmap``.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.direction = layer.weight
        self.length = nn.Parameter(_norm(layer.weight).detach())
        self.bias = layer.bias
        # Read by ``trainables.convolution``, too.
        self.convolves = isinstance(layer, nn.Conv2d)
        self.stride = layer.stride if isinstance(layer, nn.Conv2d) else ()
        self.padding = layer.padding if isinstance(layer, nn.Conv2d) else ()

    def forward(self, x: Tensor) -> Tensor:
        weight = self.length * (self.direction / _norm(self.direction))
        if self.convolves:
            return F.conv2d(x, weight, self.bias, self.stride, self.padding)
        return F.linear(x, weight, self.bias)


def _norm(weight: Tensor) -> Tensor:
    """‖v‖ of each output's weights, (out, …) → (out, 1, …)."""
    norms: Tensor = weight.flatten(1).norm(dim=1)
    return norms.view(-1, *[1] * (weight.dim() - 1))


def normalize_convolutions(module: nn.Module) -> None:
    """Puts ``WeightNorm`` around every convolution below ``module``, as it is initialized now."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, WeightNorm(child))
        else:
            normalize_convolutions(child)
