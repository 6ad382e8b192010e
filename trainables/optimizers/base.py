"""What an optimizer is: two pure functions on stacked trees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.lanes import State, Tree

Hyper = Mapping[str, Tensor]
"""Hyperparameter → its value in each lane (L,), float64. One that is 0 in every lane is left
out, so that the work it would ask for is left out, too. ``lr`` is this step's."""


class Optimizer(NamedTuple):
    """``init(params) → state``; ``update(grads, state, params, hyper, config) → (params, state)``.

    Both are pure: no tensor given is changed. ``config`` serves for what lanes share (flags
    such as ``nesterov``); whatever varies from lane to lane is in ``hyper``.
    """

    init: Callable[[Tree, OptimizerConfig], State]
    update: Callable[[Tree, State, Tree, Hyper, OptimizerConfig], tuple[Tree, State]]


def zeros_like(params: Tree) -> Tree:
    return {name: torch.zeros_like(param) for name, param in params.items()}


def shaped(values: Tensor, like: Tensor) -> Tensor:
    """(L,) float64 numbers as (L, 1, …, 1) in the dtype of ``like`` (L, …)."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
