"""K-FAC: the natural gradient with a Kronecker product in place of each layer's Fisher matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from trainables.configs.kronecker import Kfac
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature.factors import factors
from trainables.curvature.layer_passes import layer_passes
from trainables.curvature.layers import Layer
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers import kronecker
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    value,
    zeros,
    zeros_like,
)


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    layers = kronecker.layers_of(network, "kfac")
    inputs, outputs = (kronecker.identities(layers, params, s) for s in ("inputs", "outputs"))
    return {
        "momentum": zeros_like(params),
        "count": {"": zeros(params)},
        "inputs": inputs,
        "outputs": outputs,
        "inverse_inputs": dict(inputs),
        "inverse_outputs": dict(outputs),
    }


def damping_parts(
    inputs: Tensor, outputs: Tensor, damping: Tensor, *, pi: bool
) -> tuple[Tensor, Tensor]:
    """What is added to the factors A (L, in, in) and G (L, out, out): π √λ and √λ / π, (L,).

    π = √((tr A / in) / (tr G / out)) makes the two additions equally large beside the factors'
    mean eigenvalues (Martens & Grosse 2015, section 6.3, with the trace norm). 1 without ``pi``,
    and where a factor is 0.
    """
    root = damping.sqrt()
    if not pi:
        return root, root
    mean_in, mean_out = (kronecker.trace(m) / m.shape[-1] for m in (inputs, outputs))
    both = (mean_in > 0) & (mean_out > 0)
    ratio = torch.where(both, (mean_in / mean_out).sqrt(), 1)
    return ratio * root, root / ratio


def damped_inverse(matrix: Tensor, more: Tensor) -> Tensor:
    """(M + m I)⁻¹ of each M (L, n, n) with its m (L,), by a Cholesky factor.

    NaN in a lane where M + m I is not positive definite, as where it is not finite.
    """
    damped = matrix.clone()
    extra = (more + kronecker.floor(matrix)).to(matrix.dtype)
    damped.diagonal(dim1=-2, dim2=-1).add_(extra.unsqueeze(-1))
    # An upper factor is found and inverted a quarter faster than a lower one.
    root, failed = torch.linalg.cholesky_ex(damped, upper=True)
    inverse = torch.cholesky_inverse(root, upper=True)
    return inverse.add_(torch.where(failed == 0, 0.0, torch.nan)[:, None, None])


def _inverted(state: State, damping: Tensor, *, pi: bool) -> State:
    inputs, outputs = {}, {}
    for name, a in state["inputs"].items():
        g = state["outputs"][name]
        parts = damping_parts(a, g, damping, pi=pi)
        inputs[name], outputs[name] = damped_inverse(a, parts[0]), damped_inverse(g, parts[1])
    return {**state, "inverse_inputs": inputs, "inverse_outputs": outputs}


def _measured(
    state: State, params: Tree, hyper: Hyper, context: Context, layers: Sequence[Layer]
) -> State:
    """The state with the factors of this batch, and inverses of them, where these are due."""
    config = context.config
    assert isinstance(config, Kfac)
    if context.due(config.statistics_every):
        parts = layer_passes(context.curvature, params, config.fisher, layers)
        count = state["count"][""]
        share = kronecker.kept_share(count, hyper)
        found = zip(("inputs", "outputs"), factors(parts, layers, params), strict=True)
        new = {side: kronecker.averaged(state[side], tree, share) for side, tree in found}
        state = {**state, **new, "count": {"": count + 1}}
    if kronecker.renews(context):
        state = _inverted(state, value(hyper, "damping"), pi=config.pi)
    return state


def _product(state: State, layer: Layer, matrix: Tensor) -> Tensor:
    """G⁻¹ V A⁻¹ of the layer's V (L, out, in)."""
    left, right = state["inverse_outputs"][layer.name], state["inverse_inputs"][layer.name]
    return torch.bmm(torch.bmm(left, matrix), right)


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    layers = kronecker.layers_of(network, "kfac")
    return kronecker.preconditioned(vector, layers, partial(_product, state))


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """g ← ∇ + wθ;  Δ = (G + √λ/π I)⁻¹ g (A + π√λ I)⁻¹ of a layer;  m ← μm + νΔ;  θ ← θ − η m.

    Martens & Grosse 2015 (arXiv 1503.05671), block-diagonal; convolutions after Grosse & Martens
    2016, sequences as KFAC-expand (Eschenhagen et al. 2023). A and G are ``curvature.factors``: a
    layer's bias is a column of its matrix, with an input that is 1. Every ``statistics_every``
    steps the factors of the batch enter their running averages (``kept_share``), every
    ``inverse_every`` steps these are inverted (``renews``), with π of ``damping_parts``. ν is
    ``clip_factor``.
    ``fisher`` says whose targets G is of; with ``sampled``, one draw for an example.

    Parameters of other layers (normalizations, embeddings, shared weights, attention's own
    projections) have F = I: Δ = g, momentum SGD with the same η and ν. Batch normalization sees
    the batch as in training; its running statistics are the training pass's.

    Deviations from Martens & Grosse: η, μ and λ are given, not found by a quadratic model and the
    reduction ratio (their sections 6.4, 6.5 and 7); momentum is heavy-ball, as in Ba et al. 2017;
    the weight decay w is in g, not in λ as well, or ``decoupled`` (Zhang et al. 2019). Factors and
    inverses are in the type of the weights: in float64 inversions take 1.7 times as long. Until
    the first inversion of a state that begins on the way, the inverses are I.
    """
    config = context.config
    assert isinstance(config, Kfac)
    layers = kronecker.layers_around(context)
    if layers:
        state = _measured(state, params, hyper, context, layers)
    product = partial(_product, state)
    new, momentum = kronecker.descend(params, grads, product, state["momentum"], hyper, context)
    return new, {**state, "momentum": momentum}


kfac = Optimizer(
    _init,
    _update,
    not_compiled="its factors are not of every step",
    precondition=_precondition,
)
