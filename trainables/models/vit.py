"""A small vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.configs.models import Vit
from trainables.models.parts import initialize, start_at_zero
from trainables.models.transformer import block, ends


class Patches(nn.Module):
    """Images (B, C, H, W) → embedded patches with their positions, (B, tokens, width)."""

    def __init__(self, channels: int, patch: int, width: int, tokens: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x).flatten(2).mT + self.position  # type: ignore[no-any-return]


class Pool(nn.Module):
    """The mean of all tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def vit(config: Vit, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Patches, ``depth`` blocks of attention and a perceptron (4 × width, gelu), mean, linear.

    Each part is x + dropout(part(norm(x))), or that without x where there is no ``skip``.
    Deviation from Dosovitskiy et al. 2021: the tokens' mean is classified, not a class token.
    """
    channels, height, width = input_shape
    if height % config.patch or width % config.patch:
        raise ValueError(f"patch {config.patch} does not divide images of {height}×{width}")
    tokens = (height // config.patch) * (width // config.patch)
    wide = config.width
    layers: list[nn.Module] = [Patches(channels, config.patch, wide, tokens)]
    norm = config.norm == "layer"
    for _ in range(config.depth):
        layers += block(wide, config.heads, config.dropout, skip=config.skip, norm=norm)
    last = [nn.LayerNorm(wide)] if norm else []
    module = nn.Sequential(*layers, *last, Pool(), nn.Linear(wide, outputs))
    initialize(module, config.init, "linear", config.scale)
    if config.zero_init:
        for end in ends(module):
            start_at_zero(end)
    return module
