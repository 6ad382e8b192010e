"""NAdam, RAdam and Adamax: Adam with another momentum, another start, another norm."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import NAdam, RAdam
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.adam import init
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    coupled,
    decoupled,
    each,
    root,
    shaped,
    value,
    zeros,
)


def _init_nadam(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return init(params, config, network) | {"product": {"": zeros(params) + 1}}


def _update_nadam(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """θ ← θ − η [(1−μₜ)/(1−Πμ) g + μₜ₊₁/(1−μₜ₊₁Πμ) m] / (√v̂ + ε),  Πμ = μ₁…μₜ.

    μₜ = β₁(1 − ½·0.96^(tψ)), ψ the ``momentum_decay``; m, v, v̂ as Adam's. Dozat 2016,
    Algorithm 2, with his μ schedule, as ``torch.optim.NAdam``; decay coupled, or
    with ``decoupled`` θ ← (1−ηλ)θ before the step.
    """
    config = context.config
    assert isinstance(config, NAdam)
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    decay = value(hyper, "momentum_decay")
    mu, next_mu = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (count, count + 1))
    product = state["product"][""] * mu
    of_grad = hyper["lr"] * (1 - mu) / (1 - product)
    of_m = hyper["lr"] * next_mu / (1 - product * next_mu)
    correction2 = 1 - beta2**count

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        if config.decoupled:
            param = decoupled(param, hyper, config)
        m = average(old["m"], grad, beta1)
        v = average_square(old["v"], grad, beta2)
        denominator = root(v / shaped(correction2, param)) + shaped(hyper["eps"], param)
        step = shaped(of_grad, param) * grad + shaped(of_m, param) * m
        return param - step / denominator, {"m": m, "v": v}

    if not config.decoupled:
        grads = coupled(grads, params, hyper, config)
    new_params, slots = each(rule, params, grads, state)
    return new_params, slots | {"count": {"": count}, "product": {"": product}}


def _update_radam(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """θ ← θ − η m̂ rₜ √(1−β₂ᵗ) / (√v + ε) where ρₜ > 5, else θ ← θ − η m̂.

    ρ∞ = 2/(1−β₂) − 1, ρₜ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ),
    rₜ² = (ρₜ−4)(ρₜ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρₜ). Liu et al. 2020, Algorithm 2, whose bound is
    ρₜ > 4; 5 is the authors' code and ``torch.optim.RAdam``. Decay coupled, or
    with ``decoupled`` θ ← (1−ηλ)θ before the step.
    """
    config = context.config
    assert isinstance(config, RAdam)
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    power = beta2**count
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * count * power / (1 - power)
    ratio = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
    rectified = rho > 5
    factor = torch.where(rectified, (ratio * (1 - power)).sqrt(), 0)
    rate = hyper["lr"] / (1 - beta1**count)

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        if config.decoupled:
            param = decoupled(param, hyper, config)
        m = average(old["m"], grad, beta1)
        v = average_square(old["v"], grad, beta2)
        adapted = shaped(factor, param) / (root(v) + shaped(hyper["eps"], param))
        scale = torch.where(shaped(rectified, param).bool(), adapted, 1)
        return param - shaped(rate, param) * m * scale, {"m": m, "v": v}

    if not config.decoupled:
        grads = coupled(grads, params, hyper, config)
    new_params, slots = each(rule, params, grads, state)
    return new_params, slots | {"count": {"": count}}


def _update_adamax(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """v ← max(β₂v, |g| + ε);  θ ← θ − η/(1−β₁ᵗ) m / v;  m as Adam's.

    Kingma & Ba 2015, Algorithm 2, with the ε that ``torch.optim.Adamax`` adds (a gradient
    that is 0 from the start would divide 0 by 0); decay coupled.
    """
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    rate = hyper["lr"] / (1 - beta1**count)

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        m = average(old["m"], grad, beta1)
        size = grad.abs() + shaped(hyper["eps"], param)
        v = torch.maximum(old["v"] * shaped(beta2, param), size)
        return param - shaped(rate, param) * m / v, {"m": m, "v": v}

    new_params, slots = each(rule, params, coupled(grads, params, hyper, context.config), state)
    return new_params, slots | {"count": {"": count}}


nadam = Optimizer(_init_nadam, _update_nadam)
radam = Optimizer(init, _update_radam)
adamax = Optimizer(init, _update_adamax)
