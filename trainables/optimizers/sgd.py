"""Stochastic gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import Sgd
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    coupled,
    each,
    rounded,
    shaped,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig) -> State:
    return {"momentum": zeros_like(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """g ← ∇ + λθ;  m ← μm + g;  θ ← θ − η m, or with Nesterov θ ← θ − η (g + μm).

    As ``torch.optim.SGD`` with dampening 0 (heavy ball: Polyak 1964; Nesterov in the form of
    Sutskever et al. 2013). η, μ, λ are per lane.
    """
    config = context.config
    assert isinstance(config, Sgd)
    hyper = rounded(hyper, params)
    momentum = hyper.get("momentum")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        if momentum is not None:
            mu = shaped(momentum, param)
            old = {"momentum": torch.addcmul(grad, mu, old["momentum"])}
            grad = torch.addcmul(grad, mu, old["momentum"]) if config.nesterov else old["momentum"]
        return torch.addcmul(param, shaped(hyper["lr"], param), grad, value=-1), old

    return each(rule, params, coupled(grads, params, hyper), state)


sgd = Optimizer(_init, _update)
