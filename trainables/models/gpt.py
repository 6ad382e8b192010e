"""A small causal transformer of tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainables.configs.models import Gpt
from trainables.models.parts import initialize, start_at_zero
from trainables.models.transformer import block, ends

_STD = 0.02


class Tokens(nn.Module):
    """Tokens (B, T), whole numbers → embeddings with their positions, (B, T, width)."""

    def __init__(self, vocabulary: int, context: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(_STD * torch.randn(context, width))
        nn.init.normal_(self.embed.weight, std=_STD)

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x) + self.position  # type: ignore[no-any-return]


def gpt(config: Gpt, input_shape: Sequence[int], outputs: int) -> nn.Module:
    """Embeddings, ``depth`` blocks of causal attention and a perceptron, norm, linear.

    From tokens (B, T) to logits of the next one at each place, (B, T, vocabulary); the
    vocabulary is ``outputs``. Deviations from GPT-2 (Radford et al. 2019): the head has weights
    of its own and a bias, attention weights have no dropout, and gelu is exact.
    """
    if len(input_shape) != 1:
        raise ValueError(f"gpt takes tokens (T,), got examples of the shape {tuple(input_shape)}")
    wide = config.width
    layers: list[nn.Module] = [Tokens(outputs, input_shape[0], wide), nn.Dropout(config.dropout)]
    norm = config.norm == "layer"
    for _ in range(config.depth):
        layers += block(
            wide, config.heads, config.dropout, causal=True, skip=config.skip, norm=norm
        )
    last = [nn.LayerNorm(wide)] if norm else []
    module = nn.Sequential(*layers, *last, nn.Linear(wide, outputs))
    if config.init == "gpt2":
        _as_gpt2(module, config)
    else:
        initialize(module, config.init, "linear", config.scale)
    if config.zero_init:
        for end in ends(module):
            start_at_zero(end)
    return module


def _as_gpt2(module: nn.Sequential, config: Gpt) -> None:
    """Weights N(0, 0.02²), over √(2 depth) where a part ends, times ``scale``; zero biases.

    Radford et al. 2019, section 2.3: the residual stream is a sum of 2 depth parts.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=_STD * config.scale)
            nn.init.zeros_(layer.bias)
    with torch.no_grad():
        for last in ends(module):
            last.weight.mul_((2 * config.depth) ** -0.5)
