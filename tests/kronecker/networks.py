"""Small networks for tests of Kronecker factors, and the curvature of their lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from trainables.curvature.local import Curvature
from trainables.forward import Network
from trainables.gradients import Batch
from trainables.lanes import Tree, stack
from trainables.losses import LOSSES

LANES, EXAMPLES, INPUTS, CLASSES, TOKENS = 3, 23, 7, 5, 11


def chain() -> nn.Module:
    """Differentiated by hand."""
    return nn.Sequential(
        nn.Linear(7, 13), nn.Tanh(), nn.Linear(13, 3, bias=False), nn.Tanh(), nn.Linear(3, 5)
    )


def perceptron() -> nn.Module:
    """Not a chain: the outputs' gradients come through taps."""
    return nn.Sequential(
        nn.Linear(7, 13), nn.GELU(), nn.Linear(13, 3, bias=False), nn.GELU(), nn.Linear(3, 5)
    )


def convolutional() -> nn.Module:
    """Stride, padding, dilation, with and without bias; inputs (2, 11, 7)."""
    return nn.Sequential(
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.Tanh(),
        nn.Conv2d(3, 5, 2, dilation=(2, 1), bias=False),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(5 * 4 * 5, 5),
    )


class Tokens(nn.Module):
    """Predicts a class at each of 11 places: the layers see sequences (B, 11, …)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(7, 13)
        self.last = nn.Linear(13, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        return self.last(hidden + hidden.mean(1, keepdim=True))  # type: ignore[no-any-return]


INPUT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "chain": (chain, (7,)),
    "perceptron": (perceptron, (7,)),
    "convolutional": (convolutional, (2, 11, 7)),
    "tokens": (Tokens, (11, 7)),
}


def lanes_of(
    build: Callable[[], nn.Module], count: int = LANES
) -> tuple[list[nn.Module], Network, Tree, Tree]:
    """A network in each lane, in float64; their skeleton, parameters and buffers."""
    modules = []
    for lane in range(count):
        torch.manual_seed(lane)
        modules.append(build().double())
    params, buffers = (
        stack([dict(tensors(module)) for module in modules])
        for tensors in (_params, nn.Module.named_buffers)
    )
    return modules, Network.of(build().double()), params, buffers


def _params(module: nn.Module) -> Any:
    return ((name, param.detach()) for name, param in module.named_parameters())


def batch_of(
    shape: tuple[int, ...], places: tuple[int, ...] = (), lanes: int = LANES, seed: int = 5
) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(lanes, EXAMPLES, *shape, generator=generator, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (lanes, EXAMPLES, *places), generator=generator)
    return Batch(x, y, torch.arange(lanes) * 7919 + seed, None)


def curvature_of(
    network: Network, buffers: Tree, batch: Batch, loss: str = "cross_entropy", parts: int = 1
) -> Curvature:
    return Curvature(network, buffers, batch, loss, 0.0, LOSSES[loss], parts, lambda tree: tree)
