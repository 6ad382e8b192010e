"""Adam, AdamW and AMSGrad."""

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
    coupled,
    decoupled,
    per_tensor,
    root,
    roots,
    shaped,
    value,
    zeros,
    zeros_like,
)


def init(
    params: Tree, config: OptimizerConfig, network: Network, *, slots: tuple[str, ...] = ("m", "v")
) -> State:
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

    config, weights = context.config, [params[name] for name in grads]
    if decouple:
        weights = [decoupled(weight, hyper, config) for weight in weights]
    else:
        grads = coupled(grads, params, hyper, config)
    steps, dtype = list(grads.values()), weights[0].dtype
    names = ("m", "v", "largest") if amsgrad else ("m", "v")
    old = {slot: [state[slot][name] for name in grads] for slot in names}

    # One call from Python for all tensors: many small ones are quicker so. What is changed in
    # place was made here.
    def wide(values: Tensor) -> list[Tensor]:
        return per_tensor(values.to(dtype), weights)

    m = torch._foreach_lerp(old["m"], steps, wide(1 - beta1))
    v = torch._foreach_mul(old["v"], wide(beta2))
    torch._foreach_addcmul_(v, torch._foreach_mul(steps, wide(1 - beta2)), steps)
    new = {"m": m, "v": v}
    if amsgrad:
        new["largest"] = torch._foreach_maximum(old["largest"], v)
    denominator = roots(new["largest"] if amsgrad else v)
    torch._foreach_div_(denominator, wide(correction2))
    torch._foreach_add_(denominator, wide(hyper["eps"]))
    moved = torch._foreach_addcmul(weights, wide(rate), torch._foreach_div(m, denominator))
    trees = {slot: dict(zip(grads, tensors, strict=True)) for slot, tensors in new.items()}
    return dict(zip(grads, moved, strict=True)), trees | {"count": {"": count}}


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Divided by √v̂ + ε, v̂ of the last step."""
    correction = (1 - value(hyper, "beta2") ** state["count"][""].clamp_min(1)).sqrt()
    found = {}
    for name, tensor in vector.items():
        size = root(state["v"][name]) / shaped(correction, tensor)
        found[name] = tensor / (size + shaped(hyper["eps"], tensor))
    return found


adam = Optimizer(init, _update, precondition=_precondition)
adamw = Optimizer(init, partial(_update, decouple=True), precondition=_precondition)
amsgrad = Optimizer(
    partial(init, slots=("m", "v", "largest")),
    partial(_update, amsgrad=True),
)
