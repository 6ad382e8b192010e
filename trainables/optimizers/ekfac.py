"""E-KFAC: K-FAC's eigenbasis with the second moments of gradients in place of its eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from trainables.configs.kronecker import Ekfac
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature.factors import factors, projected_squares
from trainables.curvature.layer_passes import layer_passes
from trainables.curvature.layers import Layer
from trainables.forward import Network
from trainables.lanes import State, Tree, per_lane
from trainables.optimizers import kronecker
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    value,
    zeros,
    zeros_like,
)

_SMALL = 512
"""Up to this size eigenvectors are found in float64, whatever the type of the weights."""


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    layers = kronecker.layers_of(network, "ekfac")
    inputs, outputs = (kronecker.identities(layers, params, s) for s in ("inputs", "outputs"))
    moments = {}
    for layer in layers:
        weight = params[layer.weight]
        moments[layer.name] = weight.new_ones(len(weight), layer.outputs, layer.inputs)
    return {
        "momentum": zeros_like(params),
        "count": {"": zeros(params)},
        "inputs": inputs,
        "outputs": outputs,
        "basis_inputs": dict(inputs),
        "basis_outputs": dict(outputs),
        "moments": moments,
    }


def eigenvectors(matrix: Tensor) -> Tensor:
    """Orthonormal eigenvectors of each symmetric M (L, n, n), in columns.

    NaN in a lane that is not finite, whose matrix ``eigh`` would refuse for all lanes. (On a GPU
    ``eigh`` waits for the device: there is no way to it that does not.)
    """
    finite = matrix.isfinite().flatten(1).all(1)[:, None, None]
    unit = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    safe = torch.where(finite, matrix, unit)
    if matrix.shape[-1] <= _SMALL:
        safe = safe.to(torch.float64)
    found = torch.linalg.eigh(safe).eigenvectors.to(matrix.dtype)
    return torch.where(finite, found, torch.nan)


def _turned(state: State) -> State:
    """The eigenbases of the factors, and the second moments S as they are in these.

    The diagonal in the basis Q' of the matrix whose diagonal in Q is S, and which is 0 elsewhere:
    (Q'_Gᵀ Q_G)∘² S (Q_Aᵀ Q'_A)∘², with squares taken entry by entry. Its trace is that of S.
    """
    bases: tuple[Tree, Tree] = ({}, {})
    for found, side in zip(bases, ("inputs", "outputs"), strict=True):
        found |= {name: eigenvectors(matrix) for name, matrix in state[side].items()}
    moments = {}
    for name, old in state["moments"].items():
        left = (bases[1][name].mT @ state["basis_outputs"][name]).square()
        right = (state["basis_inputs"][name].mT @ bases[0][name]).square()
        moments[name] = left @ old @ right
    return {**state, "basis_inputs": bases[0], "basis_outputs": bases[1], "moments": moments}


def _measured(
    state: State, params: Tree, hyper: Hyper, context: Context, layers: Sequence[Layer]
) -> State:
    """The state with this batch's factors and moments, and new eigenbases, where these are due."""
    config = context.config
    assert isinstance(config, Ekfac)
    looks = context.due(config.statistics_every)
    parts = layer_passes(context.curvature, params, config.fisher, layers) if looks else []
    count = state["count"][""]
    share = kronecker.kept_share(count, hyper)
    if looks:
        found = zip(("inputs", "outputs"), factors(parts, layers, params), strict=True)
        state = state | {side: kronecker.averaged(state[side], new, share) for side, new in found}
    if kronecker.renews(context):
        state = _turned(state)
    if looks:
        bases = state["basis_inputs"], state["basis_outputs"]
        squares = projected_squares(parts, layers, bases)
        moments = kronecker.averaged(state["moments"], squares, share)
        state = {**state, "moments": moments, "count": {"": count + 1}}
    return state


def _product(state: State, damping: Tensor, layer: Layer, matrix: Tensor) -> Tensor:
    """Q_G ((Q_Gᵀ V Q_A) / (S + λ)) Q_Aᵀ of the layer's V (L, out, in)."""
    q_in, q_out = state["basis_inputs"][layer.name], state["basis_outputs"][layer.name]
    moments = state["moments"][layer.name]
    numbers = torch.finfo(moments.dtype)
    least = damping + 8 * numbers.eps * moments.mean((1, 2)) + numbers.tiny**0.5
    turned = q_out.mT @ matrix @ q_in
    turned /= moments + per_lane(least.to(moments.dtype), moments)
    return q_out @ turned @ q_in.mT


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    layers = kronecker.layers_of(network, "ekfac")
    product = partial(_product, state, value(hyper, "damping"))
    return kronecker.preconditioned(vector, layers, product)


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """Δ = Q_G ((Q_Gᵀ g Q_A) / (S + λ)) Q_Aᵀ of a layer, the rest as K-FAC.

    George et al. 2018 (arXiv 1806.03884), algorithm 1. Q_A and Q_G are the eigenvectors of K-FAC's
    running factors, found every ``inverse_every`` steps (``renews``); S is the running average of
    the second moments of single examples' gradients along them (``projected_squares``: the paper's
    EKFAC, not EKFAC-ra, which squares the gradients of batches), taken every ``statistics_every``
    steps. Where the paper has S of the last batch alone, here it has the factors' average
    (``kept_share``), and is carried from one eigenbasis to the next (``_turned``). λ is added to S
    as it is: there are no two factors to divide it among.

    Weight decay, momentum, ``clip_factor``, parameters without factors, and sequences: as ``kfac``.
    Eigenvectors of factors up to 512 × 512 are found in float64, which takes 1.5 times as long.
    """
    config = context.config
    assert isinstance(config, Ekfac)
    layers = kronecker.layers_around(context)
    if layers:
        state = _measured(state, params, hyper, context, layers)
    product = partial(_product, state, value(hyper, "damping"))
    new, momentum = kronecker.descend(params, grads, product, state["momentum"], hyper, context)
    return new, {**state, "momentum": momentum}


ekfac = Optimizer(
    _init,
    _update,
    not_compiled="its factors are not of every step",
    precondition=_precondition,
)
