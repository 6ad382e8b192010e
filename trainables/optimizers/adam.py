"""Adam, AdamW and AMSGrad."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    coupled,
    decoupled,
    each,
    shaped,
    value,
    zeros,
    zeros_like,
)


def init(params: Tree, config: OptimizerConfig, *, slots: tuple[str, ...] = ("m", "v")) -> State:
    """Moments of 0 and a count of steps, for Adam and its kin."""
    return {slot: zeros_like(params) for slot in slots} | {"count": {"": zeros(params)}}


def _update(
    grads: Tree,
    state: State,
    params: Tree,
    hyper: Hyper,
    context: Context,
    *,
    decouple: bool = False,
    amsgrad: bool = False,
) -> tuple[Tree, State]:
    """m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − η m̂ / (√v̂ + ε).

    m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ). Weight decay λ: coupled, g ← ∇ + λθ (Kingma & Ba 2015,
    Algorithm 1), or decoupled, θ ← (1−ηλ)θ before the step (Loshchilov & Hutter 2019, with
    their schedule multiplier η_t folded into η, as ``torch.optim.AdamW`` does). AMSGrad
    (Reddi, Kale & Kumar 2018, Algorithm 2) divides by the largest v so far; unlike the paper
    and like ``torch.optim.Adam(amsgrad=True)`` it corrects both biases and adds ε. Powers βᵗ
    are taken in float64 whatever the precision of the parameters.
    """
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    correction2 = (1 - beta2**count).sqrt()
    rate = -hyper["lr"] / (1 - beta1**count)

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        if decouple:
            param = decoupled(param, hyper, context.config)
        m = average(old["m"], grad, beta1)
        new = {"m": m, "v": average_square(old["v"], grad, beta2)}
        v = new["v"]
        if amsgrad:
            v = new["largest"] = torch.maximum(old["largest"], v)
        denominator = (v.sqrt() / shaped(correction2, param)).add_(shaped(hyper["eps"], param))
        return param + shaped(rate, param) * (m / denominator), new

    if not decouple:
        grads = coupled(grads, params, hyper, context.config)
    new_params, slots = each(rule, params, grads, state)
    return new_params, slots | {"count": {"": count}}


adam = Optimizer(init, _update)
adamw = Optimizer(init, partial(_update, decouple=True))
amsgrad = Optimizer(
    partial(init, slots=("m", "v", "largest")),
    partial(_update, amsgrad=True),
)
