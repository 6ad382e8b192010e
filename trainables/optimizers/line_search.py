"""SLS: stochastic gradient descent whose steps are found by a line search."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import Sls
from trainables.forward import Network
from trainables.lanes import State, Tree, dot
from trainables.optimizers.base import Context, Hyper, Optimizer, shaped, zeros
from trainables.optimizers.lag import Over


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"step": {"": zeros(params)}}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """The largest α of α₀, βα₀, β²α₀, … with f(θ − α∇f) ≤ f(θ) − cα‖∇f‖²;  θ ← θ − α∇f.

    Vaswani, Mishkin, Laradji, Schmidt, Gidel & Lacoste-Julien 2019, algorithm 1, f the loss
    of the lane's batch; α₀ = min(η, α γ^(B/n)) of the α before (their reset option 2), η at
    first. Deviations: α₀ itself is tried first, as their code does, and η bounds it under every
    option, so that schedules have a say. Lanes that have found their step wait for the others.
    The search ends with the last of them, on a GPU two trials later (``lag``), which change
    nothing. Where no trial will do, the last one is taken. No weight
    decay. Where the engine clips gradients, ∇f is the clipped one.
    """
    config = context.config
    assert isinstance(config, Sls)
    square = dot(grads, grads)
    loss = context.loss.to(torch.float64)
    last = state["step"][""]
    step = torch.where(last > 0, last * hyper["growth"] ** context.batch_share, hyper["lr"])
    step = torch.minimum(step, hyper["lr"])
    found = torch.zeros_like(step, dtype=torch.bool)
    promised = hyper["c"] * square if "c" in hyper else torch.zeros_like(square)
    over = Over(step.device)
    for trial in range(config.trials):
        reached = context.loss_at(_moved(params, grads, step)).to(torch.float64)
        found |= reached <= loss - step * promised
        # A lane whose loss is no number would go on for ever: it has diverged.
        done = found | ~loss.isfinite()
        if trial == config.trials - 1 or over.says(done.all()):
            break
        step = torch.where(done, step, step * hyper["backtrack"])
    return _moved(params, grads, step), {"step": {"": step}}


def _moved(params: Tree, grads: Tree, step: Tensor) -> Tree:
    return {
        name: torch.addcmul(params[name], shaped(step, grad), grad, value=-1)
        for name, grad in grads.items()
    }


sls = Optimizer(_init, _update, not_compiled="a line search reads from the device")
