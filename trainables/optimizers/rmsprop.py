"""RMSProp."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import RmsProp
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    coupled,
    each,
    root,
    shaped,
    value,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    assert isinstance(config, RmsProp)
    slots = ("v", "momentum", *(["mean"] if config.centered else []))
    return {slot: zeros_like(params) for slot in slots}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """v ← αv + (1−α)g²;  b ← μb + g / (√v + ε);  θ ← θ − ηb;  g = ∇ + λθ.

    Tieleman & Hinton 2012 (lecture 6.5), with momentum and ε as ``torch.optim.RMSprop`` has
    them; decay coupled. Centered (Graves 2013, eq. 38–45): the root is of v − ḡ², where
    ḡ ← αḡ + (1−α)g. Unlike torch, that difference is held at 0 or above: rounding can
    otherwise take the root of a negative number.
    """
    config = context.config
    assert isinstance(config, RmsProp)
    alpha, momentum = value(hyper, "alpha"), hyper.get("momentum")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        v = average_square(old["v"], grad, alpha)
        new = old | {"v": v}
        if config.centered:
            mean = new["mean"] = average(old["mean"], grad, alpha)
            v = torch.addcmul(v, mean, mean, value=-1).clamp_(min=0)
        step = grad / (root(v) + shaped(hyper["eps"], param))
        if momentum is not None:
            step = new["momentum"] = torch.addcmul(step, shaped(momentum, param), old["momentum"])
        return param - shaped(hyper["lr"], param) * step, new

    return each(rule, params, coupled(grads, params, hyper, context.config), state)


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Divided by √v + ε; centered, by √(v − ḡ²) + ε."""
    found = {}
    for name, tensor in vector.items():
        v = state["v"][name]
        if "mean" in state:
            mean = state["mean"][name]
            v = torch.addcmul(v, mean, mean, value=-1).clamp_(min=0)
        found[name] = tensor / (root(v) + shaped(hyper["eps"], tensor))
    return found


rmsprop = Optimizer(_init, _update, precondition=_precondition)
