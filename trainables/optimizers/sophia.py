"""Sophia: momentum divided by the curvature's diagonal, and clipped."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.preconditioned import Sophia
from trainables.curvature.local import Curvature
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
from trainables.optimizers.hutchinson import diagonal


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {slot: zeros_like(params) for slot in ("m", "h")}


def _estimate(curvature: Curvature, params: Tree, estimator: str) -> Tree:
    if estimator == "hutchinson":
        return diagonal(curvature, params)[0]
    targets = curvature.batch.targets
    predictions = targets.shape[1] if targets.is_floating_point() else targets[0].numel()
    sampled = curvature.sampled_gradient(params)
    return {name: predictions * grad * grad for name, grad in sampled.items()}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """m ← β₁m + (1−β₁)g;  h ← β₂h + (1−β₂)ĥ every so many steps;
    θ ← (1−ηλ)θ − η clip(m / max(ρh, ε), 1).

    Liu, Li, Hall, Liang & Ma 2023, algorithm 3 (their γ is ρ), ĥ by algorithm 1 (z ⊙ Hz, random
    signs in place of normal numbers, which has less variance) or algorithm 2 (B ĝ ⊙ ĝ, ĝ the
    mean gradient of a batch of B predictions whose targets are drawn from the model's own; of a
    sequence every token is a prediction). No bias corrections, as in the paper. Negative curvature
    counts as ε: the step is then the sign of m. Biases and norms are treated as weights are.
    """
    config = context.config
    assert isinstance(config, Sophia)
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    curvature = state["h"]
    if context.due(config.hessian_every):
        estimate = _estimate(context.curvature, params, config.estimator)
        curvature = {name: average(h, estimate[name], beta2) for name, h in curvature.items()}

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        m = average(old["m"], grad, beta1)
        step = (m / _size(old["h"], hyper)).clamp(-1, 1)
        param = decoupled(param, hyper, config)
        moved = torch.addcmul(param, shaped(hyper["lr"], param), step, value=-1)
        return moved, {"m": m, "h": old["h"]}

    return each(rule, params, grads, {"m": state["m"], "h": curvature})


def _size(h: Tensor, hyper: Hyper) -> Tensor:
    """max(ρh, ε)."""
    return torch.maximum(h * shaped(hyper["rho"], h), shaped(hyper["eps"], h))


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Divided by max(ρh, ε), and not clipped."""
    return {name: tensor / _size(state["h"][name], hyper) for name, tensor in vector.items()}


sophia = Optimizer(
    _init,
    _update,
    not_compiled="it estimates the Hessian in some steps only",
    precondition=_precondition,
)
