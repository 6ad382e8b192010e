"""Newton's method and the natural gradient: steps with a matrix of all weights."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.newton import NaturalGradient, Newton
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature import matrices
from trainables.curvature.vectors import unflat
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    addcmul,
    rounded,
    value,
    zeros_like,
)
from trainables.optimizers.example_wise import refuse_batch_norm
from trainables.optimizers.second_order import (
    gradient_vector,
    refuse_large,
    ridge,
    solved,
    solved_absolute,
    solved_positive,
    with_diagonal,
)

CURVATURE = "it asks for curvature, and looks at more than gradients"


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    refuse_large(params, config)
    if isinstance(config, NaturalGradient) and config.fisher == "empirical":
        refuse_batch_norm(network, "natural_gradient's empirical Fisher matrix", "fisher: exact")
    return {"momentum": zeros_like(params)}


def _newton(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """d = (H + λI)⁻¹ ∇f;  m ← μm + d;  θ ← θ − η m. Nocedal & Wright 2006, equation 3.38.

    f is the lane's loss of the batch with its weight decay, ½δ|θ|²; H its exact Hessian (P, P),
    made of P products. ``saddle: free``: d = (|H| + λI)⁻¹ ∇f, |H| with the absolute values
    of H's eigenvalues, so that saddles repel (Dauphin, Pascanu, Gulcehre, Cho, Ganguli & Bengio
    2014, algorithm 1; deviation: of the whole Hessian, not in a Krylov subspace, and λ is fixed).
    ``plain`` goes to where the gradient is 0, saddles and maxima included. λ and μ are ours; there
    is no line search. Biases and batch normalization's parameters are weights like others, and the
    Hessian sees the batch as a whole. Derivatives are in the weights' type, the solve in float64;
    in float32 H has no eigenvalues below 10⁻⁷ of its largest one. A lane whose H + λI
    is singular becomes NaN under ``plain``; under ``free`` nothing moves along what has
    no curvature.
    """
    config = context.config
    assert isinstance(config, Newton)
    hessian = matrices.hessian(context.curvature, params)
    gradient = gradient_vector(grads, params, hyper, config).to(torch.float64)
    decay, damping = ridge(params, hyper, config), value(hyper, "damping")
    if config.saddle == "free":
        direction = solved_absolute(hessian + decay.diag_embed(), gradient, damping)
    else:
        direction = solved(with_diagonal(hessian, decay + damping.unsqueeze(1)), gradient)
    return _moved(direction, state, params, hyper)


def _natural_gradient(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """d = (F + λI)⁻¹ ∇f;  m ← μm + d;  θ ← θ − η m. Amari 1998, equation 3 with λ = μ = 0.

    ``exact``: F = E[∇log p ∇log pᵀ] over the batch's inputs and targets y ~ p(y | x, θ), without
    drawing any: for the losses here it is the generalized Gauss–Newton matrix Jᵀ H_f J (Martens
    2020, section 9.2), for ``quadratic`` with unit variance. Label smoothing has no part in it.
    ``empirical``: (1/B) Σ_i g_i g_iᵀ of the examples' gradients, with the data's targets; a
    sequence is one example. Weight decay ½δ|θ|² is part of f, and δI of F, as of a prior. Biases
    and batch normalization's parameters are weights like others; ``exact`` sees the batch as a
    whole, ``empirical`` refuses batch normalization. λ is fixed; λ and μ are ours. Derivatives are
    in the weights' type, the solve in float64. A lane whose F + λI is singular becomes NaN.
    """
    config = context.config
    assert isinstance(config, NaturalGradient)
    exact = config.fisher == "exact"
    fisher = (matrices.gauss_newton if exact else matrices.empirical_fisher)(
        context.curvature, params
    )
    gradient = gradient_vector(grads, params, hyper, config).to(torch.float64)
    diagonal = ridge(params, hyper, config) + value(hyper, "damping").unsqueeze(1)
    direction = solved_positive(with_diagonal(fisher, diagonal), gradient)
    return _moved(direction, state, params, hyper)


def _moved(direction: Tensor, state: State, params: Tree, hyper: Hyper) -> tuple[Tree, State]:
    """m ← μm + d;  θ ← θ − η m."""
    low = rounded(hyper, params)
    tree = unflat(direction.to(next(iter(params.values())).dtype), params)
    steps = [*tree.values()]
    if "momentum" in hyper:
        steps = addcmul(steps, low["momentum"], [state["momentum"][name] for name in params])
        state = {"momentum": dict(zip(params, steps, strict=True))}
    new = addcmul([*params.values()], low["lr"], steps, value=-1)
    return dict(zip(params, new, strict=True)), state


newton = Optimizer(_init, _newton, not_compiled=CURVATURE)
natural_gradient = Optimizer(_init, _natural_gradient, not_compiled=CURVATURE)
