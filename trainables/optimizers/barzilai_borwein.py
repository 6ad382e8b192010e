"""Barzilai–Borwein steps."""

from __future__ import annotations

import torch

from trainables.configs.optimizers import BarzilaiBorwein
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.forward import Network
from trainables.lanes import State, Tree, dot
from trainables.optimizers.base import Context, Hyper, Optimizer, shaped, zeros, zeros_like


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {
        "params": dict(params),
        "grads": zeros_like(params),
        "step": {"": zeros(params)},
        "count": {"": zeros(params)},
    }


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """α = sᵀs / sᵀy (``long``) or sᵀy / yᵀy (``short``);  θ ← θ − ηα g.

    s = θₜ − θₜ₋₁, y = gₜ − gₜ₋₁; Barzilai & Borwein 1988, eq. 5 and 6. The first step is
    ``first_step``. Safeguards: where
    the curvature sᵀy is not positive the step before is kept; α is held within ``min_step``
    and ``max_step`` (Raydan 1997, without his line search). η, which schedules move, is 1 in
    the paper. No weight decay.

    For full-batch training (``batch_size`` = the training set). With stochastic gradients y
    also holds the change of batch, α is a noisy estimate of 1/curvature, and only
    ``max_step`` bounds it; the epoch-wise average of SGD-BB (Tan et al. 2016) is left out.
    """
    config = context.config
    assert isinstance(config, BarzilaiBorwein)
    count = state["count"][""]
    s = {name: params[name] - old for name, old in state["params"].items()}
    y = {name: grads[name] - old for name, old in state["grads"].items()}
    curvature = dot(s, y)
    usable = (count > 0) & (curvature > 0)
    top, bottom = (dot(s, s), curvature) if config.variant == "long" else (curvature, dot(y, y))
    found = (top / torch.where(usable, bottom, 1)).clamp(hyper["min_step"], hyper["max_step"])
    before = torch.where(count > 0, state["step"][""], hyper["first_step"])
    step = torch.where(usable, found, before)
    rate = hyper["lr"] * step
    new_params = {
        name: torch.addcmul(params[name], shaped(rate, grad), grad, value=-1)
        for name, grad in grads.items()
    }
    return new_params, {
        "params": dict(params),
        "grads": dict(grads),
        "step": {"": step},
        "count": {"": count + 1},
    }


barzilai_borwein = Optimizer(_init, _update)
