"""Stochastic gradient descent."""

from __future__ import annotations

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import Sgd
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    addcmul,
    decays,
    decoupled,
    rounded,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    return {"momentum": zeros_like(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """g ← ∇ + λθ;  m ← μm + g;  θ ← θ − η m, or with Nesterov θ ← θ − η (g + μm).

    As ``torch.optim.SGD`` with dampening 0 (heavy ball: Polyak 1964; Nesterov in the form of
    Sutskever et al. 2013). η, μ, λ are per lane. ``decoupled``: θ ← (1−ηλ)θ before the step in
    place of λθ in g (SGDW, Loshchilov & Hutter 2019, Algorithm 1, with their schedule
    multiplier folded into η, which does not enter m).
    """
    config = context.config
    assert isinstance(config, Sgd)
    weights, steps = list(params.values()), [grads[name] for name in params]
    if config.decoupled:
        weights = [decoupled(weight, hyper, config) for weight in weights]
    hyper = rounded(hyper, params)
    decaying = [i for i, weight in enumerate(weights) if decays(weight, config)]
    if "weight_decay" in hyper and decaying and not config.decoupled:
        some, theirs = ([of[i] for i in decaying] for of in (steps, weights))
        for i, step in zip(decaying, addcmul(some, hyper["weight_decay"], theirs), strict=True):
            steps[i] = step
    if "momentum" in hyper:
        memory = [state["momentum"][name] for name in params]
        memory = addcmul(steps, hyper["momentum"], memory)
        steps = addcmul(steps, hyper["momentum"], memory) if config.nesterov else memory
        state = {"momentum": dict(zip(params, memory, strict=True))}
    new = addcmul(weights, hyper["lr"], steps, value=-1)
    return dict(zip(params, new, strict=True)), state


sgd = Optimizer(_init, _update)
