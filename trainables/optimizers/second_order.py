"""What methods of second order share: the loss with its decay, damping, dense solves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature.vectors import flat, unflat
from trainables.lanes import State, Tree, dot
from trainables.optimizers.base import Context, Hyper, coupled, decays, shaped, value

LIMITS = 1e-12, 1e12
"""How far damping may move from where it starts, as a factor."""
_ROUNDINGS = 10
"""A decrease of the loss counts from so many roundings of the loss on."""


def ridge(params: Tree, hyper: Hyper, config: OptimizerConfig) -> Tensor:
    """The Hessian's diagonal of the weight decay ½λ|θ|², (L, P) float64."""
    decay = value(hyper, "weight_decay")
    parts = [
        torch.ones_like(param[0], dtype=torch.float64).flatten() * decays(param, config)
        for param in params.values()
    ]
    return decay.unsqueeze(1) * torch.cat(parts)


def with_decay(
    losses: Callable[[Tree], Tensor], hyper: Hyper, config: OptimizerConfig
) -> Callable[[Tree], Tensor]:
    """f(θ) + ½λ|θ|², (L,) float64; infinite where it is no number."""

    def whole(params: Tree) -> Tensor:
        return finite_or_infinite(losses(params).to(torch.float64) + penalty(params, hyper, config))

    return whole


def penalty(params: Tree, hyper: Hyper, config: OptimizerConfig) -> Tensor:
    """½λ|θ|², (L,) float64."""
    decayed = {name: param for name, param in params.items() if decays(param, config)}
    decay = value(hyper, "weight_decay")
    if "weight_decay" not in hyper or not decayed:
        return torch.zeros_like(decay)
    return decay * dot(decayed, decayed) / 2


def finite_or_infinite(losses: Tensor) -> Tensor:
    return torch.where(losses.isnan(), torch.inf, losses)


def products(a: Tensor, b: Tensor) -> Tensor:
    """aᵀb of (L, P), (L,) float64."""
    return (a.to(torch.float64) * b.to(torch.float64)).sum(1)


def moved(params: Tree, direction: Tensor, step: Tensor) -> Tree:
    """θ + step · direction: step (L,), direction (L, P)."""
    tree = unflat(direction, params)
    return {
        name: torch.addcmul(param, shaped(step, param), tree[name].to(param.dtype))
        for name, param in params.items()
    }


def broken(params: Tree, lanes: Tensor) -> Tree:
    """The weights, NaN in these lanes (L,) bool: they have diverged, and shall show it."""
    return {name: torch.where(shaped(lanes, p).bool(), torch.nan, p) for name, p in params.items()}


def start_damping(params: Tree) -> Tree:
    """What the configured damping is multiplied by, 1 at first, (L,) float64."""
    first = next(iter(params.values()))
    return {"": torch.ones(len(first), dtype=torch.float64, device=first.device)}


def damping(state: State, hyper: Hyper) -> Tensor:
    """λ as it has been adapted, (L,)."""
    return value(hyper, "damping") * state["damping"][""]


def reduction_ratio(before: Tensor, after: Tensor, predicted: Tensor, dtype: torch.dtype) -> Tensor:
    """ρ = (f(θ + s) − f(θ)) / q(s), (L,): the decrease, as a share of what was predicted.

    Where the step is beyond all numbers, or the model promises no decrease: −∞. Where the promise
    is too small for the loss to show it: NaN, of which nothing is concluded.
    """
    noise = _ROUNDINGS * torch.finfo(dtype).eps * before.abs()
    ratio = torch.where(predicted < 0, (after - before) / predicted, -torch.inf)
    ratio = torch.where(after.isfinite() & predicted.isfinite(), ratio, -torch.inf)
    small = (predicted.abs() <= noise) & ((after - before).abs() <= noise)
    return torch.where(small, torch.nan, ratio)


def adapted(state: State, ratio: Tensor, hyper: Hyper) -> Tree:
    """λ ← λ/ω where ρ > 3/4, λ ← ωλ where ρ < 1/4 (Martens 2010, section 4.1, with ω = 3/2)."""
    factor, by = state["damping"][""], hyper["damping_factor"]
    new = torch.where(ratio > 0.75, factor / by, torch.where(ratio < 0.25, factor * by, factor))
    return {"": new.clamp(*LIMITS)}


def refuse_large(params: Tree, config: OptimizerConfig) -> None:
    """
    Raises:
        ValueError: the model has more parameters than the method's matrix may.
    """
    count, most = sum(p[0].numel() for p in params.values()), getattr(config, "max_parameters", 0)
    if count > most:
        raise ValueError(
            f"{config.name} solves with a matrix of all parameters: the model has {count},"
            f" max_parameters allows {most}"
        )


def with_diagonal(matrix: Tensor, diagonal: Tensor) -> Tensor:
    """M + diag(d), d (L, P); where a weight has neither curvature nor d, 1.

    Such a weight (masked, or of a unit that is never active) has no gradient either, and stays.
    """
    idle = (matrix.abs().amax(-1) == 0) & (diagonal == 0)
    return matrix + torch.where(idle, 1, diagonal).diag_embed()


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """M⁻¹ b of symmetric M (L, P, P), b (L, P); NaN in lanes where M is singular."""
    found, info = torch.linalg.solve_ex(matrix, right.unsqueeze(-1))
    return torch.where((info == 0).unsqueeze(1), found.squeeze(-1), torch.nan)


def solved_positive(matrix: Tensor, right: Tensor) -> Tensor:
    """``solved`` by Cholesky's factors; NaN where M is not positive definite."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
    return torch.where((info == 0).unsqueeze(1), found, torch.nan)


def solved_absolute(matrix: Tensor, right: Tensor, damping: Tensor) -> Tensor:
    """(|M| + λI)⁻¹ b, |M| with the absolute eigenvalues of M; nothing along those that are 0.

    Eigenvalues of 0 are those up to P ε of the largest one. Lanes with no numbers are NaN, as
    ``eigh`` would raise for all of them.
    """
    count = matrix.shape[-1]
    good = matrix.isfinite().all(-1).all(-1)
    eye = torch.eye(count, dtype=matrix.dtype, device=matrix.device)
    safe = torch.where(good.view(-1, 1, 1), matrix, eye)
    scale = safe.abs().amax((-2, -1)).clamp_min(torch.finfo(matrix.dtype).tiny)
    values, vectors = torch.linalg.eigh(safe / scale.view(-1, 1, 1))
    sizes = values.abs() * scale.unsqueeze(1) + damping.unsqueeze(1)
    along = (vectors.mT @ right.unsqueeze(-1)).squeeze(-1)
    least = count * torch.finfo(matrix.dtype).eps * sizes.amax(1, keepdim=True)
    along = torch.where(sizes > least, along / sizes, 0)
    found = (vectors @ along.unsqueeze(-1)).squeeze(-1)
    return torch.where(good.unsqueeze(1), found, torch.nan)


def gradient_vector(grads: Tree, params: Tree, hyper: Hyper, config: OptimizerConfig) -> Tensor:
    """∇f + λθ, (L, P) in the weights' type."""
    return flat(coupled(grads, params, hyper, config), params)


def loss_now(context: Context, params: Tree, hyper: Hyper) -> Tensor:
    """f(θ) + ½λ|θ|² as the step found it, (L,) float64."""
    return context.loss.to(torch.float64) + penalty(params, hyper, context.config)
