"""Generalized Gauss–Newton steps, damped as Levenberg and Marquardt do."""

from __future__ import annotations

import torch

from trainables.configs.newton import GaussNewton
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature import matrices
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import Context, Hyper, Optimizer, shaped
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
    refuse_large,
    ridge,
    solved_positive,
    start_damping,
    with_decay,
    with_diagonal,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    refuse_large(params, config)
    return {"damping": start_damping(params)}


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """s = −η (G + λI)⁻¹ ∇f;  θ ← θ + s where f(θ + s) is no more than f(θ).

    G = Jᵀ H_f J, the generalized Gauss–Newton matrix of the batch (Schraudolph 2002), J the
    Jacobian of the outputs; for ``quadratic`` it is the classic one. λ is adapted by the
    reduction ratio ρ = (f(θ + s) − f(θ)) / q(s), q(s) = ∇fᵀs + ½ sᵀG s: λ ← λ/ω where ρ > 3/4,
    ωλ where ρ < 1/4 (Marquardt 1963; Martens 2010, section 4.1; Nocedal & Wright 2006, algorithm
    4.1, whose model has no damping in it, nor has q here). A step that raises the
    loss of its batch, or for which G + λI is not positive definite, is not taken, and raises λ
    (algorithm 4.1 with η = 0). λ stays within a factor of 10¹² of where it starts; there is
    nothing to conclude from a step too small for f to show it. λ = 0: neither damping nor refusal
    by curvature: then a singular G makes every step be refused.

    Weight decay ½δ|θ|² is part of f, δI of G. Biases and batch normalization's parameters are
    weights like others, and G sees the batch as a whole. Derivatives are in the weights' type,
    the solve in float64. A lane whose loss or derivatives are no numbers becomes NaN.
    """
    config = context.config
    assert isinstance(config, GaussNewton)
    matrix = matrices.gauss_newton(context.curvature, params)
    matrix = matrix + ridge(params, hyper, config).diag_embed()
    gradient = gradient_vector(grads, params, hyper, config).to(torch.float64)
    lam = damping(state, hyper).unsqueeze(1).expand_as(gradient)
    step = solved_positive(with_diagonal(matrix, lam), -gradient) * hyper["lr"].unsqueeze(1)
    new = moved(params, step, torch.ones_like(hyper["lr"]))
    before = loss_now(context, params, hyper)
    after = with_decay(context.loss_at, hyper, config)(new)
    model = (matrix @ step.unsqueeze(-1)).squeeze(-1)
    predicted = products(gradient, step) + products(step, model) / 2
    ratio = reduction_ratio(before, after, predicted, next(iter(params.values())).dtype)
    taken = (ratio > 0) | ratio.isnan()
    kept = {name: torch.where(shaped(taken, p).bool(), new[name], p) for name, p in params.items()}
    wrong = ~(before + gradient.sum(1) + matrix.sum((1, 2))).isfinite()
    return broken(kept, wrong), {"damping": adapted(state, ratio, hyper)}


gauss_newton = Optimizer(_init, _update, not_compiled=CURVATURE)
