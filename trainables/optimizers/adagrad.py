"""AdaGrad and Adadelta: steps divided by the size of past gradients."""

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
    average_square,
    coupled,
    each,
    root,
    shaped,
    value,
    zeros_like,
)


def _init_adagrad(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"sum": zeros_like(params)}


def _update_adagrad(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """s ← s + g²;  θ ← θ − η g / (√(s₀ + s) + ε);  g = ∇ + λθ.

    Duchi, Hazan & Singer 2011, Figure 1 (diagonal), with ε outside of the root as
    ``torch.optim.Adagrad`` has it; decay coupled. torch's ``lr_decay`` is left to schedules.
    """
    start = hyper.get("initial_accumulator")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        total = torch.addcmul(old["sum"], grad, grad)
        size = root(total if start is None else total + shaped(start, param))
        step = grad / (size + shaped(hyper["eps"], param))
        return param - shaped(hyper["lr"], param) * step, {"sum": total}

    return each(rule, params, coupled(grads, params, hyper, context.config), state)


def _init_adadelta(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"v": zeros_like(params), "steps": zeros_like(params)}


def _update_adadelta(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """v ← ρv + (1−ρ)g²;  Δ = √(u+ε)/√(v+ε) g;  u ← ρu + (1−ρ)Δ²;  θ ← θ − ηΔ.

    Zeiler 2012, Algorithm 1, with g = ∇ + λθ (decay coupled) and the factor η that
    ``torch.optim.Adadelta`` adds; the paper has η = 1, the default.
    """
    rho = value(hyper, "rho")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        eps = shaped(hyper["eps"], param)
        v = average_square(old["v"], grad, rho)
        step = (old["steps"] + eps).sqrt() / (v + eps).sqrt() * grad
        new = {"v": v, "steps": average_square(old["steps"], step, rho)}
        return param - shaped(hyper["lr"], param) * step, new

    return each(rule, params, coupled(grads, params, hyper, context.config), state)


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Divided by √(s₀ + s) + ε."""
    start, found = value(hyper, "initial_accumulator"), {}
    for name, tensor in vector.items():
        size = root(state["sum"][name] + shaped(start, tensor))
        found[name] = tensor / (size + shaped(hyper["eps"], tensor))
    return found


adagrad = Optimizer(_init_adagrad, _update_adagrad, precondition=_precondition)
adadelta = Optimizer(_init_adadelta, _update_adadelta)
