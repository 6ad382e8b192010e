"""Networks written out as plain functions of their tensors: oracles for the models.

Each takes its configuration, the module's parameters in order, and inputs x (B, …), and gives
the outputs in training mode (batch normalization by the batch, no dropout).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda z: z * (z > 0),
    "tanh": lambda z: 1 - 2 / (1 + (2 * z).exp()),
    "gelu": lambda z: z / 2 * (1 + torch.erf(z / math.sqrt(2))),
    "sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "linear": lambda z: z,
}


def _normalized(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    mean = x.mean(dims, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + 1e-5).sqrt()


def _groups(channels: int) -> int:
    """Up to 8 groups of 4 channels or more."""
    return max([g for g in range(1, 9) if channels % g == 0 and channels // g >= 4] or [1])


def _norm(kind: str, x: Tensor, p: Iterator[Tensor]) -> Tensor:
    """Of vectors (B, C) and images (B, C, H, W), whose layer norm is over C, H and W."""
    if kind in ("none", "weight"):
        return x
    scale, shift = (next(p).view(1, -1, *[1] * (x.dim() - 2)) for _ in range(2))
    if kind == "batch":
        unit = _normalized(x, (0, *range(2, x.dim())))
    else:
        groups = 1 if kind == "layer" else _groups(x.shape[1])
        unit = _normalized(x.reshape(len(x), groups, -1), (2,)).view(x.shape)
    return unit * scale + shift


def _linear(x: Tensor, p: Iterator[Tensor], *, bias: bool = True) -> Tensor:
    y = torch.einsum("...i,oi->...o", x, next(p))
    return y + next(p) if bias else y


def _convolution(
    x: Tensor, p: Iterator[Tensor], norm: str, padding: int, stride: int = 1
) -> Tensor:
    """Followed by its norm; it has a bias where there is none, or where weights are normalized."""
    weight = next(p)
    if norm == "weight":
        length = next(p)
        rows = [g * v / v.square().sum().sqrt() for g, v in zip(length, weight, strict=True)]
        weight = torch.stack(rows)
    y = F.conv2d(x, weight, stride=stride, padding=padding)
    if norm in ("none", "weight"):
        y = y + next(p).view(1, -1, 1, 1)
    return _norm(norm, y, p)


def _halved(x: Tensor) -> Tensor:
    """The largest of each 2×2 pixels; an odd last row or column is dropped."""
    h, w = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    corners = [x[:, :, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]
    return torch.stack(corners).max(0).values


def mlp(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    act = ACTIVATIONS[config.activation]
    x = x.reshape(len(x), -1)
    for width in config.hidden:
        if config.norm == "weight":
            direction, length = next(p), next(p)
            w = length * direction / direction.square().sum(1, keepdim=True).sqrt()
            y = act(x @ w.T + next(p))
        else:
            y = act(_norm(config.norm, _linear(x, p, bias=config.bias), p))
        x = x + y if config.skip and x.shape[1] == width else y
    return _linear(x, p, bias=config.bias)


def preset(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    return mlp(config.as_mlp(), p, x)


def _head(act: Callable[[Tensor], Tensor], hidden: int, p: Iterator[Tensor], x: Tensor) -> Tensor:
    x = x.reshape(len(x), -1)
    for _ in range(hidden):
        x = act(_linear(x, p))
    return _linear(x, p)


def lenet5(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    act = ACTIVATIONS[config.activation]
    x = _halved(act(_convolution(x, p, config.norm, padding=2)))
    x = _halved(act(_convolution(x, p, config.norm, padding=0)))
    return _head(act, 2, p, x)


PLAIN = {
    "conv2": "CCM",
    "conv4": "CCMCCM",
    "conv6": "CCMCCMCCM",
    "vgg11": "CMCMCCMCCMCCM",
    "vgg16": "CCMCCMCCCMCCCMCCCM",
}
"""C a convolution, M a halving."""


def plain(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    act = ACTIVATIONS[config.activation]
    for layer in PLAIN[config.name]:
        x = _halved(x) if layer == "M" else act(_convolution(x, p, config.norm, padding=1))
    return _head(act, 0 if config.name.startswith("vgg") else 2, p, x)


def resnet(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    """6n + 2 layers: a first convolution, 3 stages of n blocks of two, a linear layer."""
    relu, norm = ACTIVATIONS["relu"], config.norm
    x = relu(_convolution(x, p, norm, padding=1))
    for block in range((int(config.name.removeprefix("resnet")) - 2) // 2):
        per_stage = (int(config.name.removeprefix("resnet")) - 2) // 6
        stride = 2 if block in (per_stage, 2 * per_stage) else 1
        y = relu(_convolution(x, p, norm, padding=1, stride=stride))
        y = _convolution(y, p, norm, padding=1)
        if config.skip and stride == 2:
            x = _convolution(x, p, norm, padding=0, stride=2)
        x = relu(x + y) if config.skip else relu(y)
    return _linear(x.mean((2, 3)), p)


def _layer_norm(x: Tensor, p: Iterator[Tensor]) -> Tensor:
    scale, shift = next(p), next(p)
    return _normalized(x, (-1,)) * scale + shift


def _token_norm(config: Any, x: Tensor, p: Iterator[Tensor]) -> Tensor:
    return _layer_norm(x, p) if config.norm == "layer" else x


def vit(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    position, embedding, offset = next(p), next(p), next(p)
    side, d = config.patch, config.width // config.heads
    rows, columns = x.shape[2] // side, x.shape[3] // side
    patches = [
        x[:, :, i * side : (i + 1) * side, j * side : (j + 1) * side].flatten(1)
        for i in range(rows)
        for j in range(columns)
    ]
    x = torch.stack(patches, 1) @ embedding.flatten(1).T + offset + position
    for _ in range(config.depth):
        qkv = _linear(_token_norm(config, x, p), p)
        heads = []
        for head in range(config.heads):
            q, k, v = (
                qkv[..., i * config.width + head * d : i * config.width + (head + 1) * d]
                for i in range(3)
            )
            scores = (q @ k.mT / math.sqrt(d)).exp()
            heads.append(scores / scores.sum(-1, keepdim=True) @ v)
        around = 1 if config.skip else 0
        x = around * x + _linear(torch.cat(heads, -1), p)
        hidden = ACTIVATIONS["gelu"](_linear(_token_norm(config, x, p), p))
        x = around * x + _linear(hidden, p)
    return _linear(_token_norm(config, x, p).mean(1), p)


def _causal(qkv: Tensor, heads: int, at: int) -> Tensor:
    """What the token ``at`` gathers from itself and those before it, one head after another."""
    gathered = []
    for q, k, v in zip(*(part.chunk(heads, -1) for part in qkv.chunk(3, -1)), strict=True):
        scores = [(q[:, at] * k[:, j]).sum(-1) / math.sqrt(q.shape[-1]) for j in range(at + 1)]
        total = sum(score.exp() for score in scores)
        weights = [(score.exp() / total)[:, None] for score in scores]
        gathered.append(sum(w * v[:, j] for j, w in enumerate(weights)))
    return torch.cat(gathered, -1)


def gpt(config: Any, p: Iterator[Tensor], x: Tensor) -> Tensor:
    """Token by token; the module lists the positions before the embeddings."""
    position, embedding = next(p), next(p)
    x = torch.stack([embedding[x[:, t]] + position[t] for t in range(x.shape[1])], 1)
    for _ in range(config.depth):
        qkv = _linear(_token_norm(config, x, p), p)
        seen = [_causal(qkv, config.heads, t) for t in range(x.shape[1])]
        y = _linear(torch.stack(seen, 1), p)
        x = x + y if config.skip else y
        y = _linear(ACTIVATIONS["gelu"](_linear(_token_norm(config, x, p), p)), p)
        x = x + y if config.skip else y
    return _linear(_token_norm(config, x, p), p)


DENSE: dict[str, Callable[[Any, Iterator[Tensor], Tensor], Tensor]] = {
    "mlp": mlp,
    "linear": preset,
    "deep_linear": preset,
    "lenet_300_100": preset,
    "lenet5": lenet5,
    **dict.fromkeys(PLAIN, plain),
    **dict.fromkeys(("resnet20", "resnet32", "resnet44", "resnet56"), resnet),
    "vit": vit,
    "gpt": gpt,
}
