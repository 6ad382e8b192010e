"""Plain convolutional networks: LeNet-5, Conv-2, 4 and 6, VGG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from trainables.configs.models import Lenet5, Plain
from trainables.models.parts import ACTIVATIONS, WITH_BIAS, image_norm, initialize
from trainables.models.weight_norm import normalize_convolutions


def lenet5(config: Lenet5, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Convolutions of 6 and 16 channels (5×5), each halved, then linear layers 120-84.

    Deviations from LeCun et al. 1998, all usual today: images of 28×28 are padded by the first
    convolution instead of beforehand; the second sees all channels; pooling takes the largest
    and has no weights; relu unless asked; a linear output layer. 61,706 parameters on MNIST.
    """
    channels, height, width = input_shape
    activation = ACTIVATIONS[config.activation]
    layers: list[nn.Module] = []
    for inputs, found, padding in ((channels, 6, 2), (6, 16, 0)):
        convolution = nn.Conv2d(inputs, found, 5, padding=padding, bias=config.norm in WITH_BIAS)
        layers += [convolution, *image_norm(config.norm, found), activation(), nn.MaxPool2d(2)]
    flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    module = nn.Sequential(*layers, *_head(config.activation, (flat, 120, 84), outputs))
    return _started(config, module)


def plain(config: Plain, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Convolution → norm → activation for each of ``channels``; a 0 halves the image (2×2, max).

    Conv-2 and Conv-4 have the 4.3 and 2.4 million parameters of Frankle & Carbin 2019. Conv-6
    has 2.3: the layers that they list make no fewer, though they count 1.7 (the 1.1 million in
    convolutions agree).
    """
    inputs, height, width = input_shape
    layers: list[nn.Module] = []
    for channels in config.channels:
        if channels == 0:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
            continue
        wide = max(1, round(config.width * channels))
        convolution = nn.Conv2d(inputs, wide, 3, padding=1, bias=config.norm in WITH_BIAS)
        norm = image_norm(config.norm, wide)
        layers += [convolution, *norm, ACTIVATIONS[config.activation]()]
        inputs = wide
    flat = (inputs * height * width, *config.hidden)
    module = nn.Sequential(*layers, *_head(config.activation, flat, outputs))
    return _started(config, module)


def _started(config: Lenet5 | Plain, module: nn.Module) -> nn.Module:
    initialize(module, config.init, config.activation, config.scale)
    if config.norm == "weight":
        normalize_convolutions(module)
    return module


def _head(activation: str, widths: Sequence[int], outputs: int) -> list[nn.Module]:
    """Linear layers of these widths with activations between them, on flattened images."""
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    return [*layers, nn.Linear(widths[-1], outputs)]
