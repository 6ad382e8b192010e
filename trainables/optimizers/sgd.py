"""Stochastic gradient descent."""

from __future__ import annotations

import torch

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import Sgd
from trainables.lanes import State, Tree
from trainables.optimizers.base import Hyper, Optimizer, shaped, zeros_like


def _init(params: Tree, config: OptimizerConfig) -> State:
    return {"momentum": zeros_like(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, config: OptimizerConfig
) -> tuple[Tree, State]:
    """g ← ∇ + λθ;  m ← μm + g;  θ ← θ − η m, or with Nesterov θ ← θ − η (g + μm).

    As ``torch.optim.SGD`` with dampening 0 (heavy ball: Polyak 1964; Nesterov in the form of
    Sutskever et al. 2013). η, μ, λ are per lane.
    """
    assert isinstance(config, Sgd)
    momentum, decay = hyper.get("momentum"), hyper.get("weight_decay")
    new_params: Tree = {}
    buffers: Tree = {}
    for name, grad in grads.items():
        param = params[name]
        if decay is not None:
            grad = torch.addcmul(grad, shaped(decay, param), param)
        if momentum is not None:
            mu = shaped(momentum, param)
            buffers[name] = torch.addcmul(grad, mu, state["momentum"][name])
            grad = torch.addcmul(grad, mu, buffers[name]) if config.nesterov else buffers[name]
        new_params[name] = torch.addcmul(param, shaped(hyper["lr"], param), grad, value=-1)
    return new_params, {"momentum": buffers} if momentum is not None else state


sgd = Optimizer(_init, _update)
