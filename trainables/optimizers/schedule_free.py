"""Schedule-free SGD and AdamW: a running average in place of a schedule."""

from __future__ import annotations

from functools import partial

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
    average_square,
    coupled,
    each,
    root,
    shaped,
    value,
    zeros,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"x": dict(params), "z": dict(params), "total": {"": zeros(params)}}


def _init_adamw(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return _init(params, config, network) | {"v": zeros_like(params), "count": {"": zeros(params)}}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context, *, adaptive: bool
) -> tuple[Tree, State]:
    """z ← z − γ(d + λy);  x ← (1−c)x + cz, c = γ²/Σγ²;  y ← (1−β)z + βx.

    Defazio et al. 2024 ("The Road Less Scheduled"). The parameters that train are y, those
    that are evaluated x. SGD (eq. 3–5): d = ∇(y), γ = η. AdamW (Algorithm 1, its
    β₁ is β): d = ∇/(√v + ε), v ← β₂v + (1−β₂)∇², γ = η√(1−β₂ᵗ). Decay is on y: coupled in
    SGD, where that is the same, decoupled in AdamW. The authors' code corrects v instead of γ
    (ε weighs less) and weighs the average by the largest η so far; c = 1 while Σγ² = 0.
    Any schedule but warmup defeats the purpose. BatchNorm statistics are those of y: the
    paper's recomputation of them at x is left out.
    """
    rate, beta = hyper["lr"], value(hyper, "beta1" if adaptive else "momentum")
    numbers: State = {}
    if adaptive:
        count = state["count"][""] + 1
        beta2 = value(hyper, "beta2")
        rate = rate * (1 - beta2**count).sqrt()
        numbers = {"count": {"": count}}
    total = state["total"][""] + rate**2
    numbers["total"] = {"": total}
    weight = torch.where(total > 0, rate**2 / torch.where(total > 0, total, 1), 1)

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        new = {}
        if adaptive:
            new["v"] = average_square(old["v"], grad, beta2)
            grad = grad / (root(new["v"]) + shaped(hyper["eps"], param))
            grad = coupled({"": grad}, {"": param}, hyper, context.config)[""]
        new["z"] = old["z"] - shaped(rate, param) * grad
        new["x"] = torch.lerp(old["x"], new["z"], shaped(weight, param))
        return average(new["x"], new["z"], beta), new

    if not adaptive:
        grads = coupled(grads, params, hyper, context.config)
    new_params, slots = each(rule, params, grads, state)
    return new_params, slots | numbers


def _averaged(params: Tree, state: State) -> Tree:
    return state["x"]


schedule_free_sgd = Optimizer(_init, partial(_update, adaptive=False), _averaged)
schedule_free_adamw = Optimizer(_init_adamw, partial(_update, adaptive=True), _averaged)
