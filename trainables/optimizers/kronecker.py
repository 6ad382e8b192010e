"""What K-FAC and E-KFAC share: running averages, damping, clipping by divergence, the descent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainables.configs.kronecker import Ekfac, Kfac
from trainables.curvature.layers import Layer, factored
from trainables.forward import Network
from trainables.lanes import Tree, per_lane
from trainables.optimizers.base import (
    Context,
    Hyper,
    addcmul,
    coupled,
    decoupled,
    rounded,
    value,
)


def layers_of(network: Network, name: str) -> tuple[Layer, ...]:
    """
    Raises:
        ValueError: the network has parameters, but no layer with Kronecker factors.
    """
    layers = factored(network)
    if not layers and next(network.module.parameters(), None) is not None:
        raise ValueError(
            f"{name} needs a model with a linear layer or convolution of its own weights;"
            " this one has none (weight normalization's are no such layers)"
        )
    return layers


def layers_around(context: Context) -> tuple[Layer, ...]:
    return () if context.around is None else factored(context.around.network)


def identities(layers: Sequence[Layer], params: Tree, side: str) -> Tree:
    """A unit matrix for each layer, (L, n, n) with n its ``side``: inputs or outputs."""
    found = {}
    for layer in layers:
        weight, size = params[layer.weight], getattr(layer, side)
        unit = torch.eye(size, dtype=weight.dtype, device=weight.device)
        found[layer.name] = unit.repeat(len(weight), 1, 1)
    return found


def renews(context: Context) -> bool:
    """Whether inverses or eigenbases are found anew in this step: every ``inverse_every`` steps,
    and in the first so many steps whenever the factors have changed, which then they do most."""
    config = context.config
    assert isinstance(config, Kfac | Ekfac)
    early = context.updates < config.inverse_every and context.due(config.statistics_every)
    return early or context.due(config.inverse_every)


def kept_share(count: Tensor, hyper: Hyper) -> Tensor:
    """What a running average keeps of itself in its k-th update: min(1 − 1/k, decay), (L,).

    Martens & Grosse 2015, section 5: a plain mean at first, so that nothing of the start stays.

    Args:
        count: k − 1.
    """
    return torch.minimum(1 - 1 / (count + 1), value(hyper, "stat_decay"))


def averaged(old: Tree, new: Tree, share: Tensor) -> Tree:
    """share · old + (1 − share) · new, with share (L,)."""
    weights = per_lane(1 - share, next(iter(new.values())))  # all are (L, n, m)
    return {n: torch.lerp(old[n], t, weights.to(t.dtype)) for n, t in new.items()}


def floor(matrix: Tensor) -> Tensor:
    """The least that is added to the eigenvalues of M ⪰ 0 (L, n, n), (L,) float64.

    It is of the size of M's own rounding, so that a singular factor without damping has an inverse.
    """
    numbers = torch.finfo(matrix.dtype)
    least: Tensor = 8 * numbers.eps * trace(matrix) + numbers.tiny**0.5
    return least


def trace(matrix: Tensor) -> Tensor:
    """(L, n, n) → (L,) float64."""
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)


Product = Callable[[Layer, Tensor], Tensor]
"""(layer, its matrix of a vector (L, out, in)) → that of F̂⁻¹ times the vector, a tensor of its
own."""


def preconditioned(vector: Tree, layers: Sequence[Layer], product: Product) -> Tree:
    """F̂⁻¹ times a tree like the parameters; what has no factors stays as it is."""
    found = dict(vector)
    for layer in layers:
        found |= layer.entries(product(layer, layer.matrix(vector)))
    return found


def clip_factor(pairs: Sequence[tuple[Tensor, Tensor]], hyper: Hyper) -> Tensor | None:
    """ν = min(1, √(2κ / (η² Δᵀ g))): ην Δ changes predictions by a divergence of κ at most.

    Ba, Grosse & Martens 2017, section 5. To second order the Kullback–Leibler divergence is
    ½ η² Δᵀ F Δ; with the damped F̂ of which Δ = F̂⁻¹ g it is ½ η² Δᵀ g. Over all parameters, those
    without factors (F̂ = I) included. Other implementations leave the 2 out, and look at layers with
    factors only.

    Args:
        pairs: g and Δ, together all of them.

    Returns:
        (L,) float64, 1 in lanes with κ = 0; None where all lanes have that.
    """
    bound = hyper.get("kl_clip")
    if bound is None:
        return None
    products = [torch.linalg.vecdot(a.flatten(1), b.flatten(1)) for a, b in pairs]
    product = torch.stack(products).sum(0, dtype=torch.float64).clamp_min(0)
    factor = (2 * bound / (hyper["lr"].square() * product)).sqrt().clamp_max(1)
    return torch.where(bound > 0, factor, 1)


def clipped_steps(grads: Tree, layers: Sequence[Layer], product: Product, hyper: Hyper) -> Tree:
    """ν F̂⁻¹ g, a tree like the gradients."""
    before = [layer.matrix(grads) for layer in layers]
    after = [product(layer, matrix) for layer, matrix in zip(layers, before, strict=True)]
    taken = {name for layer in layers for name in (layer.weight, layer.bias)}
    rest = {name: g for name, g in grads.items() if name not in taken}
    pairs = [*zip(before, after, strict=True), *((g, g) for g in rest.values())]
    factor = clip_factor(pairs, hyper)
    if factor is not None:
        factor = factor.to(pairs[0][0].dtype)
        for matrix in after:  # of our own making
            matrix.mul_(per_lane(factor, matrix))
        rest = {name: g * per_lane(factor, g) for name, g in rest.items()}
    for layer, matrix in zip(layers, after, strict=True):
        rest |= layer.entries(matrix)
    return rest


def descend(
    params: Tree, grads: Tree, product: Product, momentum: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, Tree]:
    """g ← ∇ + wθ;  Δ = F̂⁻¹ g;  m ← μ m + ν Δ;  θ ← θ − η m. Returns θ and m.

    With ``decoupled``, g = ∇ and the last is θ ← (1 − ηw) θ − η m.
    """
    config = context.config
    assert isinstance(config, Kfac | Ekfac)
    whole = grads if config.decoupled else coupled(grads, params, hyper, config)
    steps = clipped_steps(whole, layers_around(context), product, hyper)
    if context.around is not None:
        steps = context.around.restrict(steps)
    weights, moves = list(params.values()), [steps[name] for name in params]
    if config.decoupled:
        weights = [decoupled(weight, hyper, config) for weight in weights]
    used = rounded({n: hyper[n] for n in ("lr", "momentum") if n in hyper}, params)
    if "momentum" in used:
        moves = addcmul(moves, used["momentum"], [momentum[name] for name in params])
        momentum = dict(zip(params, moves, strict=True))
    new = addcmul(weights, used["lr"], moves, value=-1)
    return dict(zip(params, new, strict=True)), momentum
