"""Residual networks for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from trainables.configs.models import Resnet
from trainables.models.parts import WITH_BIAS, Skip, image_norm, initialize, start_at_zero
from trainables.models.weight_norm import normalize_convolutions


class Average(nn.Module):
    """Images (B, C, H, W) → the mean of each channel (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def resnet(config: Resnet, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Three stages of ``blocks`` residual blocks with 16, 32, 64 channels × ``width``.

    The shortcut into a stage with more channels is a 1×1 convolution with a norm (option B of
    He et al. 2016; their CIFAR networks pad with zeros: 2,752 parameters fewer).
    """
    widths = [max(1, round(config.width * channels)) for channels in (16, 32, 64)]
    layers = [*_convolution(config, input_shape[0], widths[0], 3, 1), nn.ReLU()]
    inputs = widths[0]
    for stage, channels in enumerate(widths):
        for index in range(config.blocks):
            stride = 2 if stage > 0 and index == 0 else 1
            layers += [_block(config, inputs, channels, stride), nn.ReLU()]
            inputs = channels
    module = nn.Sequential(*layers, Average(), nn.Linear(inputs, outputs))
    initialize(module, config.init, "relu", config.scale)
    if config.norm == "weight":
        normalize_convolutions(module)
    if config.zero_init:
        for layer in module:
            if isinstance(layer, Skip):
                start_at_zero(layer.inner[-1])  # type: ignore[index]
    return module


def _block(config: Resnet, inputs: int, channels: int, stride: int) -> nn.Module:
    inner = nn.Sequential(
        *_convolution(config, inputs, channels, 3, stride),
        nn.ReLU(),
        *_convolution(config, channels, channels, 3, 1),
    )
    if not config.skip:
        return inner
    same = inputs == channels and stride == 1
    around = None if same else nn.Sequential(*_convolution(config, inputs, channels, 1, stride))
    return Skip(inner, around)


def _convolution(
    config: Resnet, inputs: int, channels: int, size: int, stride: int
) -> list[nn.Module]:
    bias = config.norm in WITH_BIAS
    convolution = nn.Conv2d(inputs, channels, size, stride, padding=size // 2, bias=bias)
    return [convolution, *image_norm(config.norm, channels)]
