"""Hessian-free optimization: Newton-like steps by conjugate gradients, without a matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.configs.newton import HessianFree
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature import matrices
from trainables.curvature.vectors import flat, unflat
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import Context, Hyper, Optimizer, value, zeros_like
from trainables.optimizers.conjugate_gradients import conjugate_gradients
from trainables.optimizers.example_wise import refuse_batch_norm
from trainables.optimizers.lag import Over
from trainables.optimizers.newton import CURVATURE
from trainables.optimizers.second_order import (
    adapted,
    broken,
    damping,
    gradient_vector,
    loss_now,
    moved,
    products,
    reduction_ratio,
    ridge,
    start_damping,
    with_decay,
)

Along = Callable[[Tensor, Tensor], Tensor]
"""(direction (L, P), step (L,)) → the loss (L,) float64 so far along it."""


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    assert isinstance(config, HessianFree)
    if config.preconditioner == "empirical_fisher":
        refuse_batch_norm(network, "hessian_free's preconditioner", "preconditioner: none")
    return {"direction": zeros_like(params), "damping": start_damping(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """θ ← θ + α p, p ≈ −(G + λI)⁻¹ ∇f. Martens 2010, algorithm 2; Martens & Sutskever 2012.

    - p by conjugate gradients on products with G, the generalized Gauss–Newton matrix, from
      ``decay`` times the last p (their sections 4.5 and 20.7), until the quadratic model's
      relative progress is small (``conjugate_gradients``), preconditioned by
      (diag(F̂) + λ)^``exponent``, F̂ the empirical Fisher matrix (section 4.7; a mean over
      examples, as G is).
    - Backtracking: of the iterates kept, from the last one back as long as f(θ + p) does not rise
      (section 4.6).
    - α: the first of η, βη, β²η, … with f(θ + αp) ≤ f(θ) + cα ∇fᵀp; none: α = 0.
    - λ ← λ/ω where ρ > 3/4, ωλ where ρ < 1/4 (section 4.1), ρ = (f(θ + p) − f(θ)) / q(p) and
      q(p) = ∇fᵀp + ½ pᵀG p: the model without damping (Nocedal & Wright 2006, equation 4.4).

    Deviations: gradient, products and losses are all of the step's batch (Martens takes products
    of a part of it); a p that goes uphill may not raise f at all; after α = 0 the next p starts at
    0. All lanes are at the same iteration, and those that are done wait, unchanged. Weight decay
    ½δ|θ|² is part of f, δI of G and of the preconditioner. Biases and batch normalization's
    parameters are weights like others; G sees the batch as a whole, and batch normalization has no
    F̂ (``preconditioner: none``). Vectors are in the weights' type, inner products in float64. A
    lane whose loss or gradient is no number becomes NaN.
    """
    config = context.config
    assert isinstance(config, HessianFree)
    gradient = gradient_vector(grads, params, hyper, config)
    decay, lam = ridge(params, hyper, config), damping(state, hyper).unsqueeze(1)
    product = context.curvature.gauss_newton(params)

    def model(v: Tensor) -> Tensor:
        return flat(product(unflat(v, params)), params) + decay.to(v.dtype) * v

    at = with_decay(context.loss_at, hyper, config)
    inverse = _inverse(context, params, decay + lam, hyper)
    start = flat(state["direction"], params) * value(hyper, "decay").to(gradient.dtype).unsqueeze(1)
    found = conjugate_gradients(
        lambda v: model(v) + lam.to(v.dtype) * v,
        -gradient,
        start,
        inverse,
        iterations=config.cg_iterations,
        tolerance=hyper["cg_tolerance"],
    )
    before = loss_now(context, params, hyper)

    def along(direction: Tensor, step: Tensor) -> Tensor:
        return at(moved(params, direction, step))

    direction, reached = _backtracked(found.kept, along)
    slope = products(gradient, direction)
    predicted = slope + products(direction, model(direction)) / 2
    ratio = reduction_ratio(before, reached, predicted, gradient.dtype)
    wrong = ~(before + gradient.sum(1)).isfinite()
    step = _step(direction, before, slope, along, hyper, config, wrong)
    usable = direction.isfinite().all(1) & (step > 0)
    direction = torch.where(usable.unsqueeze(1), direction, 0)
    new = broken(moved(params, direction, step), wrong)
    return new, {"direction": unflat(direction, params), "damping": adapted(state, ratio, hyper)}


def _inverse(context: Context, params: Tree, diagonal: Tensor, hyper: Hyper) -> Tensor | None:
    """(diag(F̂) + d)^−exponent, (L, P); 1 where that is 0."""
    config = context.config
    assert isinstance(config, HessianFree)
    if config.preconditioner == "none":
        return None
    squares = flat(matrices.mean_squares(context.curvature, params), params)
    sizes = squares.to(torch.float64) + diagonal
    powers = sizes ** -hyper["exponent"].unsqueeze(1)
    return torch.where(sizes > 0, powers, 1).to(squares.dtype)


def _backtracked(kept: list[Tensor], along: Along) -> tuple[Tensor, Tensor]:
    """The iterate (L, P) from which on, going back, the loss rises; and its loss (L,)."""
    best = kept[-1]
    ones = torch.ones(len(best), dtype=torch.float64, device=best.device)
    reached = along(best, ones)
    going, over = ones > 0, Over(best.device)
    for iterate in reversed(kept[:-1]):
        losses = along(iterate, ones)
        going = going & (losses <= reached)
        best = torch.where(going.unsqueeze(1), iterate, best)
        reached = torch.where(going, losses, reached)
        if over.says(~going.any()):
            break
    return best, reached


def _step(
    direction: Tensor,
    before: Tensor,
    slope: Tensor,
    along: Along,
    hyper: Hyper,
    config: HessianFree,
    wrong: Tensor,
) -> Tensor:
    """α, (L,); 0 where no trial will do, and in lanes that are ``wrong``."""
    step, over = hyper["lr"], Over(before.device)
    promised = value(hyper, "c") * slope.clamp(max=0)
    found = torch.zeros_like(wrong)
    for trial in range(config.trials):
        found = found | (along(direction, step) <= before + step * promised)
        done = found | wrong
        if trial == config.trials - 1 or over.says(done.all()):
            break
        step = torch.where(done, step, step * hyper["backtrack"])
    return torch.where(found, step, 0)


hessian_free = Optimizer(_init, _update, not_compiled=CURVATURE)
