"""Lion."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    decoupled,
    each,
    shaped,
    value,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"m": zeros_like(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """c = β₁m + (1−β₁)g;  θ ← θ − η (sign c + λθ);  m ← β₂m + (1−β₂)g.

    Chen et al. 2023, Algorithm 2; decay decoupled, as there. A NaN stays
    one: ``torch.sign`` makes it 0, which would hold the parameter still and hide it.
    """
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        mixed = average(old["m"], grad, beta1)
        sign = torch.where(mixed.isnan(), mixed, mixed.sign())
        new = decoupled(param, hyper, context.config) - shaped(hyper["lr"], param) * sign
        return new, {"m": average(old["m"], grad, beta2)}

    return each(rule, params, grads, state)


lion = Optimizer(_init, _update)
