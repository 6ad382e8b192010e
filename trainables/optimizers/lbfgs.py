"""L-BFGS: a Hessian's inverse from the last steps and what they did to the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.newton import Lbfgs
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature.vectors import flat, unflat
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import Context, Hyper, Optimizer, value, zeros_like
from trainables.optimizers.newton import CURVATURE
from trainables.optimizers.second_order import (
    broken,
    gradient_vector,
    loss_now,
    moved,
    penalty,
    products,
)
from trainables.optimizers.strong_wolfe import Point, strong_wolfe


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    assert isinstance(config, Lbfgs)
    names = [f"{letter}{age}" for age in range(config.history) for letter in "sy"]
    return {name: zeros_like(params) for name in names}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """p = −H_t ∇f by the two-loop recursion;  θ ← θ + α p;  s = α p, y = ∇f(θ + s) − ∇f(θ) + λs.

    Nocedal & Wright 2006, algorithms 7.4 and 7.5 (Liu & Nocedal 1989), H⁰ = (sᵀy / yᵀy) I of the
    newest pair. Both gradients of y are of the step's batch, with its dropout: with full batches
    the classic method, with small ones oLBFGS (Schraudolph, Yu & Günter 2007, whose λ is
    ``pair_damping``; deviation: H⁰ is of the newest pair, not a mean over pairs). A pair is kept
    where yᵀs > ε |y||s| (cautious updates, after Li & Fukushima 2001), in each lane for itself.
    ``strong_wolfe``: α by a line search from η on; ``fixed``: α = η. While there is no pair p is
    −∇f, and the first α min(1, 1/|∇f|₁) η, as in ``torch.optim.LBFGS``. Where the search finds no
    step, the lane's pairs are dropped. ``fixed`` takes two gradients a step, ``strong_wolfe`` one
    and one a trial, mostly one.

    Weight decay ½δ|θ|² is part of f. Biases and batch normalization's parameters are weights like
    others; running statistics move once a step. Inner products are in float64. ∇f(θ) is the
    clipped one where the engine clips, ∇f(θ + s) is not, so such a pair is wrong: leave clipping
    off. A lane whose loss or gradient is no number becomes NaN, and has no more pairs.
    """
    config = context.config
    assert isinstance(config, Lbfgs)
    gradient = gradient_vector(grads, params, hyper, config)
    pairs = [
        (flat(state[f"s{age}"], params), flat(state[f"y{age}"], params))
        for age in range(config.history)
    ]
    direction, bare = two_loops(gradient, pairs)
    short = 1 / gradient.abs().sum(1, dtype=torch.float64)
    first = hyper["lr"] * torch.where(bare, short.clamp(max=1), 1)
    before, slope = loss_now(context, params, hyper), products(gradient, direction)

    def at(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        new = moved(params, direction, step)
        losses, found = context.curvature.gradient(new)
        there = gradient_vector(found, new, hyper, config)
        whole = losses.to(torch.float64) + penalty(new, hyper, config)
        return whole, products(there, direction), there

    if config.line_search == "fixed":
        step = torch.where(gradient.abs().sum(1) > 0, first, 0)
        there = at(step)[2]
    else:
        origin = Point(torch.zeros_like(before), before, slope)
        c1, c2 = value(hyper, "c1"), hyper["c2"]
        step, there = strong_wolfe(at, origin, gradient, first, c1=c1, c2=c2, trials=config.trials)
    wrong = ~(before + gradient.sum(1)).isfinite()
    new = broken(moved(params, direction, step), wrong)
    s = direction * step.to(direction.dtype).unsqueeze(1)
    y = there - gradient
    if "pair_damping" in hyper:
        y = y + hyper["pair_damping"].to(y.dtype).unsqueeze(1) * s
    return new, _remembered(pairs, s, y, hyper, params)


def two_loops(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """−H ∇f, (L, P), and the lanes that have no pair, (L,) bool.

    Args:
        pairs: s and y (L, P) each, the newest first; those without sᵀy > 0 have no part in it, as
            where there is none yet.
    """
    q, scale = gradient, torch.ones(len(gradient), dtype=torch.float64, device=gradient.device)
    bare = scale > 0
    done: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for s, y in pairs:
        curve = products(s, y)
        good = curve > 0
        weight = torch.where(good, 1 / curve, 0)
        scale = torch.where(bare & good, curve / products(y, y), scale)
        bare = bare & ~good
        alpha = weight * products(s, q)
        q = q - _times(alpha, y)
        done.append((s, y, weight, alpha))
    r = _times(scale, q)
    for s, y, weight, alpha in reversed(done):
        r = r + _times(alpha - weight * products(y, r), s)
    return -r, bare


def _times(values: Tensor, vectors: Tensor) -> Tensor:
    return values.to(vectors.dtype).unsqueeze(1) * vectors


def _remembered(
    pairs: list[tuple[Tensor, Tensor]], s: Tensor, y: Tensor, hyper: Hyper, params: Tree
) -> State:
    """The pairs with a new one, where it is good; none where there was no step."""
    length = products(s, s)
    good = products(s, y) > hyper["eps"] * (length * products(y, y)).sqrt()
    good = good & y.isfinite().all(1)
    drop = ~(length > 0)
    state: State = {}
    newer = (s, y)
    for age, pair in enumerate(pairs):
        for letter, new, old in zip("sy", newer, pair, strict=True):
            kept = torch.where(drop.unsqueeze(1), 0, torch.where(good.unsqueeze(1), new, old))
            state[f"{letter}{age}"] = unflat(kept, params)
        newer = pair
    return state


lbfgs = Optimizer(_init, _update, not_compiled=CURVATURE)
