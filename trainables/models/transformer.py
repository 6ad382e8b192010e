"""What transformers share: attention, and the parts of a block."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainables.models.parts import Skip


class Attention(nn.Module):
    """softmax(q kᵀ/√d) v for each head, on x (B, tokens, width).

    Where it is causal, a token sees itself and those before it: the rest weighs nothing.
    """

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        parts = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, tokens, d)
        scores = q @ k.mT / q.shape[-1] ** 0.5
        if self.causal:
            later = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        weights = scores.softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))  # type: ignore[no-any-return]


def block(
    width: int,
    heads: int,
    dropout: float,
    *,
    causal: bool = False,
    skip: bool = True,
    norm: bool = True,
) -> list[nn.Module]:
    """Attention, then a perceptron (4 × width, gelu), each normalized before and added after."""
    attention = Attention(width, heads, causal=causal)
    perceptron = (nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    layers: list[nn.Module] = []
    for part in ((attention,), perceptron):
        before = [nn.LayerNorm(width)] if norm else []
        inner = nn.Sequential(*before, *part, nn.Dropout(dropout))
        layers.append(Skip(inner) if skip else inner)
    return layers


def ends(module: nn.Sequential) -> Iterator[nn.Linear]:
    """The linear layer that each part of a transformer's blocks ends with."""
    for layer in module:
        part = layer.inner if isinstance(layer, Skip) else layer
        if isinstance(part, nn.Sequential):
            end = part[-2]  # before its dropout
            last = end.out if isinstance(end, Attention) else end
            assert isinstance(last, nn.Linear)
            yield last
