"""A batch in parts normalizes each part by itself: ghost batch normalization."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables import models
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig
from trainables.configs.optimizers import Sgd
from trainables.data import DataSet
from trainables.engine import Stack

GHOST = 5
"""Examples of a ghost batch."""


class _GhostBatchNorm(nn.Module):
    """Hoffer, Hubara & Soudry 2017, algorithm 1, written out: each ghost batch has a mean and a
    variance of its own, and the running ones are told of each in turn."""

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        ghosts = x.view(-1, GHOST, x.shape[1])
        mean = ghosts.mean(1, keepdim=True)
        centered = ghosts - mean
        squares = centered.square().sum(1, keepdim=True)
        with torch.no_grad():
            for own, square in zip(mean[:, 0], squares[:, 0], strict=True):
                self.running_mean += self.momentum * (own - self.running_mean)
                self.running_var += self.momentum * (square / (GHOST - 1) - self.running_var)
        normal = centered / (squares / GHOST + self.eps).sqrt()
        return normal.view_as(x) * self.weight + self.bias


def test_accumulate_is_ghost_batch_normalization(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """Trained on whole batches, with one backward pass each."""
    runs = [
        make_run(
            train={"steps": 7, "precision": "float64", "batch_size": 15, "accumulate": 3},
            model=Mlp(hidden=(11,), norm="batch"),
            optimizer=Sgd(lr=0.1, momentum=0.9),
            seed=seed,
        )
        for seed in (3, 4)
    ]
    stack = Stack(runs, Arrays.of(small_data, torch.device("cpu"), torch.float64))
    shape, classes = stack.arrays.input_shape, stack.arrays.outputs
    module = models.build(runs[0].model, shape, classes, runs[0].seed)
    for name, layer in [*module.named_modules()]:
        if isinstance(layer, nn.BatchNorm1d):
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, _GhostBatchNorm(layer.num_features))
    module = module.double()
    assert any(isinstance(layer, _GhostBatchNorm) for layer in module.modules())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for step in range(7):
        batch = stack.batch()
        optimizer.zero_grad()
        cross_entropy(module(batch.x[0]), batch.targets[0]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        stack.advance(step + 1)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        found = (stack.params | stack.buffers)[name][0]
        torch.testing.assert_close(found, tensor.detach(), rtol=1e-10, atol=1e-12)
