"""Stacks of small modules and the curvature of a batch around their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.engine.models import Convolutional
from trainables.curvature.local import Curvature
from trainables.forward import Network
from trainables.gradients import Batch
from trainables.lanes import Tree, stack
from trainables.losses import training_loss

LANES, EXAMPLES, INPUTS, CLASSES = 3, 13, 5, 7
OUTPUTS = {"logistic": 1}
"""Of networks for a loss, where they are not ``CLASSES``."""


class Texts(nn.Module):
    """Tokens (B, T) → logits (B, T, classes)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 3)
        self.head = nn.Linear(3, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(x)))  # type: ignore[no-any-return]


MODULES: dict[str, Callable[[int], nn.Module]] = {
    "linear": lambda outputs: nn.Linear(INPUTS, outputs),
    "chain": lambda n: nn.Sequential(nn.Linear(INPUTS, 3), nn.Tanh(), nn.Linear(3, n)),
    "norm": lambda n: nn.Sequential(nn.Linear(INPUTS, 3), nn.BatchNorm1d(3), nn.Linear(3, n)),
    "convolution": lambda n: Convolutional(INPUTS, n, 0.0),
}


@dataclass(frozen=True)
class Around:
    """Lanes apart, as modules, and together."""

    modules: list[nn.Module]
    params: Tree
    curvature: Curvature

    @property
    def batch(self) -> Batch:
        return self.curvature.batch

    def alone(self, lane: int) -> Tree:
        return {name: tensor[lane] for name, tensor in self.params.items()}


def targets_for(loss: str, generator: torch.Generator, lanes: int, examples: int) -> Tensor:
    if loss == "quadratic":
        return torch.randn(lanes, examples, CLASSES, generator=generator, dtype=torch.float64)
    if loss == "bernoulli":
        return torch.rand(lanes, examples, CLASSES, generator=generator, dtype=torch.float64)
    count = 2 if loss == "logistic" else CLASSES
    return torch.randint(0, count, (lanes, examples), generator=generator)


def around(
    make: Callable[[int], nn.Module],
    loss: str = "cross_entropy",
    *,
    lanes: int = LANES,
    examples: int = EXAMPLES,
    smoothing: float = 0.0,
    masks: Tree | None = None,
    **more: Any,
) -> Around:
    """
    Args:
        masks: False where a weight is no part of the network; it is made 0.
        more: ``x`` and ``targets`` in place of random ones.
    """
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(7)
    modules = [make(OUTPUTS.get(loss, CLASSES)).double() for _ in range(lanes)]
    params = stack([{n: p.detach() for n, p in m.named_parameters()} for m in modules])

    def restrict(tree: Tree) -> Tree:
        kept = masks or {}
        return {n: torch.where(kept[n], t, 0) if n in kept else t for n, t in tree.items()}

    params = restrict(params)
    for lane, module in enumerate(modules):
        module.load_state_dict({n: p[lane] for n, p in params.items()}, strict=False)
    x = torch.randn(lanes, examples, INPUTS, generator=generator, dtype=torch.float64)
    targets = targets_for(loss, generator, lanes, examples)
    keys = torch.arange(lanes) + 1000
    batch = Batch(more.get("x", x), more.get("targets", targets), keys, None)
    curvature = Curvature(
        network=Network.of(copy.deepcopy(modules[0])),
        buffers=stack([dict(m.named_buffers()) for m in modules]),
        batch=batch,
        name=loss,
        label_smoothing=smoothing,
        loss=training_loss(loss, smoothing),
        parts=1,
        restrict=restrict,
    )
    return Around(modules, params, curvature)


def directions(params: Tree, seed: int = 11) -> Tree:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in params.items()
    }
