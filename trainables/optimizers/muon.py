"""Muon for matrices, AdamW for everything else."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Muon
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.adam import adamw
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    decoupled,
    each,
    is_matrix,
    shaped,
    value,
    zeros_like,
)

_A, _B, _C = 3.4445, -4.7750, 2.0315


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    matrices = {name: param for name, param in params.items() if is_matrix(param)}
    if not matrices:
        raise ValueError("muon needs a model with matrices; this one has only vectors")
    others = {name: param for name, param in params.items() if name not in matrices}
    vectors = adamw.init(others, config, network) if others else {}
    return {"momentum": zeros_like(matrices)} | vectors


def orthogonalized(matrices: Tensor, steps: int) -> Tensor:
    """About U Vᵀ of each matrix U S Vᵀ in (L, A, B), by the quintic Newton–Schulz iteration.

    X ← aX + (bXXᵀ + c(XXᵀ)²)X from X = M/‖M‖: singular values end near 1, within about 0.3.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """m ← μm + (1−μ)g;  O = NS(μm + (1−μ)g with Nesterov, else m);  θ ← (1−ηλ)θ − ηs O.

    Jordan et al. 2024 (kellerjordan.github.io/posts/muon) as ``torch.optim.Muon``, with
    decoupled decay (Liu et al. 2025, arXiv 2502.16982). s = √max(1, A/B) (``original``) or
    0.2 √max(A, B) (``match_rms_adamw``) for A × B matrices. Deviations: Newton–Schulz runs in
    the parameters' precision, not in bfloat16; a tensor of more dimensions is taken as the
    matrix (A, rest), as the author's code does and torch refuses. Every tensor of two
    dimensions or more counts as a matrix, first and last layers too, which the author would
    give to AdamW. Vectors: AdamW at ``adam_ratio`` times this step's rate, without decay.
    """
    config = context.config
    assert isinstance(config, Muon)
    momentum = value(hyper, "momentum")

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        m = average(old["momentum"], grad, momentum)
        step = average(m, grad, momentum) if config.nesterov else m
        flat = step.flatten(2)
        rows, columns = flat.shape[1:]
        if config.adjust_lr == "original":
            scale = max(1.0, rows / columns) ** 0.5
        else:
            scale = 0.2 * max(rows, columns) ** 0.5
        step = orthogonalized(flat, config.ns_steps).view(param.shape)
        rate = shaped(hyper["lr"] * scale, param)
        return decoupled(param, hyper, context.config) - rate * step, {"momentum": m}

    matrices = {name: grad for name, grad in grads.items() if name in state["momentum"]}
    new_params, new_state = each(rule, params, matrices, {"momentum": state["momentum"]})
    vectors = {name: grad for name, grad in grads.items() if name not in matrices}
    if vectors:
        own = {name: tensor for name, tensor in hyper.items() if name != "weight_decay"}
        own["lr"] = hyper["lr"] * hyper["adam_ratio"]
        rest, adam_state = adamw.update(vectors, state, params, own, context)
        new_params |= rest
        new_state |= adam_state
    return {name: new_params[name] for name in params}, new_state


muon = Optimizer(_init, _update)
