"""Operations and parameters of every model of the table, from its configuration alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from trainables.configs.models import (
    Conv2,
    Conv4,
    Conv6,
    DeepLinear,
    Gpt,
    Lenet5,
    Lenet300100,
    Linear,
    Mlp,
    Model,
    Plain,
    Resnet,
    Resnet20,
    Resnet32,
    Resnet44,
    Resnet56,
    Vgg11,
    Vgg16,
    Vit,
)


class Layer(NamedTuple):
    """A matrix product or a convolution of one example."""

    operations: int
    """Multiplications and additions of its forward pass."""
    channels: int
    positions: int
    """Its output is (channels, positions): pixels, tokens, or 1."""
    convolution: bool = False
    parameters: int = 0
    """Its own, with those of the normalization around it."""
    kernel: int = 1
    """Side of a convolution's kernels."""


def layers(model: Model, input_shape: Sequence[int], outputs: int) -> list[Layer] | None:
    """The layers of ``model`` in order, or None where only its code could tell."""
    find = _LAYERS.get(type(model))
    return None if find is None else list(find(model, input_shape, outputs))


def inputs_of(layer: Layer) -> int:
    """Numbers that each of its outputs is a product with: of a convolution those of a patch."""
    return layer.operations // (2 * layer.channels * layer.positions)


def is_chain(model: Model) -> bool:
    """Whether it is differentiated by hand (``trainables.chain``), in types of full width."""
    if isinstance(model, Linear | DeepLinear | Lenet300100):
        model = model.as_mlp()
    if not isinstance(model, Mlp):
        return False
    return model.norm == "none" and not model.skip and model.activation != "gelu"


def backward(found: Sequence[Layer]) -> Iterator[int]:
    """Operations of each layer's backward pass: those of its forward pass for the gradient by
    its weights (or its first factor), and as many for that by its input, which the first layer
    does not need."""
    for index, layer in enumerate(found):
        yield layer.operations * (1 if index == 0 else 2)


_NORMS = {"none": 0, "weight": 1, "batch": 2, "layer": 2, "group": 2}
"""Numbers that a normalization has for each channel."""


def _linear(inputs: int, outputs: int, positions: int = 1, *, vectors: int = 1) -> Layer:
    """
    Args:
        vectors: numbers for each output, beside the weights: 1 is a bias.
    """
    operations, own = 2 * inputs * outputs * positions, (inputs + vectors) * outputs
    return Layer(operations, outputs, positions, parameters=own)


def _convolution(inputs: int, channels: int, size: int, image: tuple[int, int], norm: str) -> Layer:
    """``size`` × ``size`` pixels to each of the output's (height, width)."""
    pixels, weights = math.prod(image), inputs * size**2
    own = (weights + _NORMS[norm] + (norm in _WITH_BIAS)) * channels
    return Layer(2 * weights * channels * pixels, channels, pixels, True, own, size)


_WITH_BIAS = ("none", "weight")
"""Normalizations that leave the convolution before them its bias (``trainables.models.parts``)."""


def _head(widths: Sequence[int]) -> Iterator[Layer]:
    return (_linear(a, b) for a, b in itertools.pairwise(widths))


def _mlp(model: Mlp, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    inputs = math.prod(input_shape)
    for wide in model.hidden:
        yield _linear(inputs, wide, vectors=model.bias + _NORMS[model.norm])
        inputs = wide
    yield _linear(inputs, outputs, vectors=int(model.bias))


def _preset(
    model: Linear | DeepLinear | Lenet300100, input_shape: Sequence[int], outputs: int
) -> Iterator[Layer]:
    return _mlp(model.as_mlp(), input_shape, outputs)


def _lenet5(model: Lenet5, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    channels, height, width = input_shape
    yield _convolution(channels, 6, 5, (height, width), model.norm)
    image = (height // 2 - 4, width // 2 - 4)
    yield _convolution(6, 16, 5, image, model.norm)
    yield from _head([16 * (image[0] // 2) * (image[1] // 2), 120, 84, outputs])


def _plain(model: Plain, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    inputs, height, width = input_shape
    for channels in model.channels:
        if channels == 0:
            height, width = height // 2, width // 2
            continue
        wide = max(1, round(model.width * channels))
        yield _convolution(inputs, wide, 3, (height, width), model.norm)
        inputs = wide
    yield from _head([inputs * height * width, *model.hidden, outputs])


def _resnet(model: Resnet, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    inputs, height, width = input_shape
    stages = [max(1, round(model.width * channels)) for channels in (16, 32, 64)]
    yield _convolution(inputs, stages[0], 3, (height, width), model.norm)
    inputs = stages[0]
    for stage, channels in enumerate(stages):
        if stage > 0:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        for index in range(model.blocks):
            yield _convolution(inputs, channels, 3, (height, width), model.norm)
            yield _convolution(channels, channels, 3, (height, width), model.norm)
            around = inputs != channels or (stage > 0 and index == 0)
            if model.skip and around:
                yield _convolution(inputs, channels, 1, (height, width), model.norm)
            inputs = channels
    yield _linear(inputs, outputs)


def _vit(model: Vit, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    channels, height, width = input_shape
    image = (height // model.patch, width // model.patch)
    wide, tokens = model.width, math.prod(image)
    patches = _convolution(channels, wide, model.patch, image, "none")
    yield patches._replace(parameters=patches.parameters + tokens * wide)  # their positions
    yield from _blocks(model, tokens)
    yield _normalized(model, _linear(wide, outputs))


def _gpt(model: Gpt, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    (tokens,) = input_shape
    wide = model.width
    yield Layer(0, wide, tokens, parameters=(outputs + tokens) * wide)  # a look into two tables
    yield from _blocks(model, tokens)
    yield _normalized(model, _linear(wide, outputs, tokens))


def _blocks(model: Vit | Gpt, tokens: int) -> Iterator[Layer]:
    wide = model.width
    for _ in range(model.depth):
        yield _normalized(model, _linear(wide, 3 * wide, tokens))
        yield from [_linear(wide, tokens, tokens)._replace(parameters=0)] * 2  # q kᵀ, mean of v
        yield _linear(wide, wide, tokens)
        yield _normalized(model, _linear(wide, 4 * wide, tokens))
        yield _linear(4 * wide, wide, tokens)


def _normalized(model: Vit | Gpt, layer: Layer) -> Layer:
    """With the norm of the tokens that it is given."""
    return layer._replace(parameters=layer.parameters + _NORMS[model.norm] * model.width)


_LAYERS: dict[type, Callable[[Any, Sequence[int], int], Iterator[Layer]]] = {
    Mlp: _mlp,
    Linear: _preset,
    DeepLinear: _preset,
    Lenet300100: _preset,
    Lenet5: _lenet5,
    Conv2: _plain,
    Conv4: _plain,
    Conv6: _plain,
    Vgg11: _plain,
    Vgg16: _plain,
    Resnet20: _resnet,
    Resnet32: _resnet,
    Resnet44: _resnet,
    Resnet56: _resnet,
    Vit: _vit,
    Gpt: _gpt,
}
