"""Floating-point operations of every model of the table, from its configuration alone."""

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


def layers(model: Model, input_shape: Sequence[int], outputs: int) -> list[Layer] | None:
    """The layers of ``model`` in order, or None where only its code could tell."""
    find = _LAYERS.get(type(model))
    return None if find is None else list(find(model, input_shape, outputs))


def backward(found: Sequence[Layer]) -> Iterator[int]:
    """Operations of each layer's backward pass: those of its forward pass for the gradient by
    its weights (or its first factor), and as many for that by its input, which the first layer
    does not need."""
    for index, layer in enumerate(found):
        yield layer.operations * (1 if index == 0 else 2)


def _linear(inputs: int, outputs: int, positions: int = 1) -> Layer:
    return Layer(2 * inputs * outputs * positions, outputs, positions)


def _convolution(inputs: int, channels: int, size: int, image: tuple[int, int]) -> Layer:
    """``size`` × ``size`` pixels to each of the output's (height, width)."""
    pixels = math.prod(image)
    return Layer(2 * inputs * channels * size**2 * pixels, channels, pixels, convolution=True)


def _head(widths: Sequence[int]) -> Iterator[Layer]:
    return (_linear(a, b) for a, b in itertools.pairwise(widths))


def _mlp(model: Mlp, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    return _head([math.prod(input_shape), *model.hidden, outputs])


def _preset(
    model: Linear | DeepLinear | Lenet300100, input_shape: Sequence[int], outputs: int
) -> Iterator[Layer]:
    return _mlp(model.as_mlp(), input_shape, outputs)


def _lenet5(model: Lenet5, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    channels, height, width = input_shape
    yield _convolution(channels, 6, 5, (height, width))
    image = (height // 2 - 4, width // 2 - 4)
    yield _convolution(6, 16, 5, image)
    yield from _head([16 * (image[0] // 2) * (image[1] // 2), 120, 84, outputs])


def _plain(model: Plain, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    inputs, height, width = input_shape
    for channels in model.channels:
        if channels == 0:
            height, width = height // 2, width // 2
            continue
        wide = max(1, round(model.width * channels))
        yield _convolution(inputs, wide, 3, (height, width))
        inputs = wide
    yield from _head([inputs * height * width, *model.hidden, outputs])


def _resnet(model: Resnet, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    inputs, height, width = input_shape
    stages = [max(1, round(model.width * channels)) for channels in (16, 32, 64)]
    yield _convolution(inputs, stages[0], 3, (height, width))
    inputs = stages[0]
    for stage, channels in enumerate(stages):
        if stage > 0:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        for index in range(model.blocks):
            yield _convolution(inputs, channels, 3, (height, width))
            yield _convolution(channels, channels, 3, (height, width))
            around = inputs != channels or (stage > 0 and index == 0)
            if model.skip and around:
                yield _convolution(inputs, channels, 1, (height, width))
            inputs = channels
    yield _linear(inputs, outputs)


def _vit(model: Vit, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    channels, height, width = input_shape
    image = (height // model.patch, width // model.patch)
    wide, tokens = model.width, math.prod(image)
    yield _convolution(channels, wide, model.patch, image)
    yield from _blocks(model, tokens)
    yield _linear(wide, outputs)


def _gpt(model: Gpt, input_shape: Sequence[int], outputs: int) -> Iterator[Layer]:
    (tokens,) = input_shape
    yield Layer(0, model.width, tokens)  # a look into a table
    yield from _blocks(model, tokens)
    yield _linear(model.width, outputs, tokens)


def _blocks(model: Vit | Gpt, tokens: int) -> Iterator[Layer]:
    wide = model.width
    for _ in range(model.depth):
        yield _linear(wide, 3 * wide, tokens)
        yield from [_linear(wide, tokens, tokens)] * 2  # q kᵀ, and the mean of v
        yield _linear(wide, wide, tokens)
        yield _linear(wide, 4 * wide, tokens)
        yield _linear(4 * wide, wide, tokens)


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
