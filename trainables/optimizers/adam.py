"""Adam and AdamW."""

from __future__ import annotations

from functools import partial

import torch

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.lanes import State, Tree
from trainables.optimizers.base import Hyper, Optimizer, shaped, zeros_like


def _init(params: Tree, config: OptimizerConfig) -> State:
    first = next(iter(params.values()))
    count = torch.zeros(len(first), dtype=torch.float64, device=first.device)
    return {"m": zeros_like(params), "v": zeros_like(params), "count": {"": count}}


def _update(
    grads: Tree,
    state: State,
    params: Tree,
    hyper: Hyper,
    config: OptimizerConfig,
    *,
    decoupled: bool,
) -> tuple[Tree, State]:
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − η m̂ / (√v̂ + ε).

    m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). Weight decay λ: coupled, g ← ∇ + λθ (Kingma & Ba 2015,
    Algorithm 1), or decoupled, θ ← (1−ηλ)θ before the step (Loshchilov & Hutter 2019, with
    their schedule multiplier η_t folded into η, as ``torch.optim.AdamW`` does). Powers βᵗ are
    taken in float64 whatever the precision of the parameters.
    """
    count = state["count"][""] + 1
    zero = torch.zeros_like(count)
    beta1, beta2 = hyper.get("beta1", zero), hyper.get("beta2", zero)
    correction1 = 1 - beta1**count
    correction2 = (1 - beta2**count).sqrt()
    rate = -hyper["lr"] / correction1
    decay = hyper.get("weight_decay")
    new_params: Tree = {}
    m: Tree = {}
    v: Tree = {}
    for name, grad in grads.items():
        param = params[name]
        if decay is not None and not decoupled:
            grad = torch.addcmul(grad, shaped(decay, param), param)
        if decay is not None and decoupled:
            param = param * shaped(1 - hyper["lr"] * decay, param)
        m[name] = torch.lerp(state["m"][name], grad, shaped(1 - beta1, param))
        v[name] = torch.addcmul(
            state["v"][name] * shaped(beta2, param), grad * shaped(1 - beta2, param), grad
        )
        denominator = (v[name].sqrt() / shaped(correction2, param)).add_(
            shaped(hyper["eps"], param)
        )
        new_params[name] = param + shaped(rate, param) * (m[name] / denominator)
    return new_params, {"m": m, "v": v, "count": {"": count}}


adam = Optimizer(_init, partial(_update, decoupled=False))
adamw = Optimizer(_init, partial(_update, decoupled=True))
