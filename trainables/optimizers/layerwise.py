"""LARS and LAMB: steps scaled by the norm of each layer's weights, for large batches."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Lamb, Lars
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    each,
    is_matrix,
    root,
    shaped,
    tensor_norm,
    value,
    zeros,
    zeros_like,
)


def _trust(weights: Tensor, size: Tensor) -> Tensor:
    """‖θ‖ / size in each lane, 1 where either is 0; (L,) each."""
    positive = (weights > 0) & (size > 0)
    return torch.where(positive, weights / torch.where(positive, size, 1), 1)


def _init_lars(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"momentum": zeros_like(params)}


def _update_lars(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """q = τ ‖θ‖ / (‖g‖ + λ‖θ‖);  m ← μm + ηq (g + λθ);  θ ← θ − m;  for each layer.

    You, Gitman & Ginsburg 2017, Algorithm 1; decay coupled. η is inside of the momentum as
    there (pytorch_optimizer has it outside, which differs where η changes). q = 1 where a
    norm is 0. ``skip_vectors`` (true): tensors of fewer than two dimensions (biases, norms)
    take q = 1 and λ = 0, as practice has it; the paper scales every layer.
    """
    config = context.config
    assert isinstance(config, Lars)
    momentum, decay = value(hyper, "momentum"), value(hyper, "weight_decay")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        rate = hyper["lr"]
        if is_matrix(param) or not config.skip_vectors:
            weights = tensor_norm(param)
            trust = _trust(hyper["trust"] * weights, tensor_norm(grad) + decay * weights)
            rate = rate * trust
            grad = torch.addcmul(grad, shaped(decay, param), param)
        m = old["momentum"] * shaped(momentum, param) + shaped(rate, param) * grad
        return param - m, {"momentum": m}

    return each(rule, params, grads, state)


def _init_lamb(params: Tree, config: OptimizerConfig, network: Network) -> State:
    count = {"": zeros(params)}
    return {"m": zeros_like(params), "v": zeros_like(params), "count": count}


def _update_lamb(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """u = m̂ / (√v̂ + ε) + λθ;  θ ← θ − η ‖θ‖/‖u‖ u;  for each layer; m̂, v̂ as Adam's.

    You et al. 2020, Algorithm 2 with φ(z) = z; the ratio is 1 where a norm is 0. Decay is
    decoupled from the moments, and inside of the ratio. ``skip_vectors`` (true) as the
    authors' code: biases and norms take neither decay nor the ratio. pytorch_optimizer
    corrects no bias of v, adds ε to the ratio and shrinks θ apart: not the paper's.
    """
    config = context.config
    assert isinstance(config, Lamb)
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    decay = value(hyper, "weight_decay")
    correction1, correction2 = 1 - beta1**count, 1 - beta2**count

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        m = average(old["m"], grad, beta1)
        v = average_square(old["v"], grad, beta2)
        size = root(v / shaped(correction2, param))
        step = m / shaped(correction1, param) / (size + shaped(hyper["eps"], param))
        rate = hyper["lr"]
        if is_matrix(param) or not config.skip_vectors:
            step = torch.addcmul(step, shaped(decay, param), param)
            rate = rate * _trust(tensor_norm(param), tensor_norm(step))
        return param - shaped(rate, param) * step, {"m": m, "v": v}

    new_params, slots = each(rule, params, grads, state)
    return new_params, slots | {"count": {"": count}}


lars = Optimizer(_init_lars, _update_lars)
lamb = Optimizer(_init_lamb, _update_lamb)
