"""SPS: the stochastic Polyak step."""

from __future__ import annotations

import torch

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import Sps
from trainables.forward import Network
from trainables.lanes import State, Tree, dot
from trainables.optimizers.base import Context, Hyper, Optimizer, shaped, value, zeros


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"bound": {"": zeros(params)}, "count": {"": zeros(params)}}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """α = min((f − f*) / (c‖∇f‖²), bound);  θ ← θ − ηα∇f;  f the loss of the lane's batch.

    Loizou, Vaswani, Laradji & Lacoste-Julien 2021: SPS_max (eq. 3) with bound γ_b =
    ``max_step``. Smooth (their section 5, "smoothing"): bound = 2^(B/n) times the α before,
    ``max_step`` at first, so that steps grow at most twofold an epoch. η, which schedules
    move, is 1 in the paper. α is 0 where the loss is f* or below, or the gradient is 0. No
    weight decay. Where the engine clips gradients, ∇f is the clipped one.
    """
    config = context.config
    assert isinstance(config, Sps)
    bound = hyper["max_step"]
    count = state["count"][""]
    if config.smooth:
        bound = torch.where(count > 0, state["bound"][""] * 2.0**context.batch_share, bound)
    gap = context.loss.to(torch.float64) - value(hyper, "f_star")
    square = dot(grads, grads)
    step = gap.clamp(min=0) / (hyper["c"] * torch.where(square == 0, 1, square))
    step = torch.where(square == 0, 0, torch.minimum(step, bound))
    # A step of 0 would hold a smooth bound at 0 for ever.
    bound = torch.where(step > 0, step, bound)
    rate = hyper["lr"] * step
    new_params = {
        name: torch.addcmul(params[name], shaped(rate, grad), grad, value=-1)
        for name, grad in grads.items()
    }
    return new_params, {"bound": {"": bound}, "count": {"": count + 1}}


sps = Optimizer(_init, _update)
