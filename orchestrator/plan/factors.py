"""Kronecker factors that an optimizer keeps beside tensors of a parameter's size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.plan.flops import Layer, inputs_of
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.configs.optimizers import Optimizer
from trainables.configs.preconditioned import Shampoo, Soap

_TWO = 2
"""Statistics, and the roots or bases made of them."""


def factor_numbers(optimizer: Optimizer, found: Sequence[Layer]) -> int:
    """Numbers in the factors of a network with these layers; 0 for methods that have none."""
    if isinstance(optimizer, Kfac | Ekfac):
        return sum(_of_products(optimizer, layer) for layer in found)
    if not isinstance(optimizer, Shampoo | Soap):
        return 0
    return _TWO * sum(_of_sides(optimizer, _sides(layer, optimizer.kernels)) for layer in found)


def _of_products(optimizer: Kfac | Ekfac, layer: Layer) -> int:
    """Factors, inverses or bases, and of E-KFAC second moments; as if every layer had a bias."""
    if layer.parameters == 0 or layer.operations == 0:
        return 0
    inputs = inputs_of(layer) + 1
    moments = inputs * layer.channels if isinstance(optimizer, Ekfac) else 0
    return _TWO * (inputs**2 + layer.channels**2) + moments


def _sides(layer: Layer, kernels: str) -> tuple[int, ...]:
    """Of the layer's weights; nothing where it has none."""
    if layer.parameters == 0:
        return ()
    if layer.operations == 0:  # a table
        return layer.channels, layer.parameters // layer.channels
    inputs = inputs_of(layer)
    if layer.convolution and kernels == "tensor":
        return layer.channels, inputs // layer.kernel**2, layer.kernel, layer.kernel
    return layer.channels, inputs


def _of_sides(optimizer: Shampoo | Soap, sides: tuple[int, ...]) -> int:
    if isinstance(optimizer, Soap):
        return sum(side**2 for side in sides if side <= optimizer.max_dimension)
    size = optimizer.block_size
    counts = [math.ceil(side / size) for side in sides]
    squares = [(side // size) * size**2 + (side % size) ** 2 for side in sides]
    return sum(
        square * math.prod(counts) // count for square, count in zip(squares, counts, strict=True)
    )
