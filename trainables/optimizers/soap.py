"""SOAP: Adam in the eigenbasis of Shampoo's statistics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.preconditioned import Soap
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers import factors
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    decoupled,
    is_matrix,
    root,
    shaped,
    value,
    zeros,
    zeros_like,
)

Bases = Sequence[Tensor | None]
"""One for each dimension; None keeps its own."""


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    assert isinstance(config, Soap)
    statistics: Tree = {}
    for name, param in params.items():
        for dim, size in _turned(param, config):
            statistics[factors.key(name, dim)] = param.new_zeros(len(param), size, size)
    return {
        "m": zeros_like(params),
        # Not weight by weight: a mask has no part in it, and must not find it.
        "v": {_slot(name, param): torch.zeros_like(param) for name, param in params.items()},
        "statistics": statistics,
        "basis": {
            key: torch.zeros_like(m) + torch.eye(m.shape[-1], dtype=m.dtype, device=m.device)
            for key, m in statistics.items()
        },
        "count": {"": zeros(params)},
    }


def _turned(tensor: Tensor, config: Soap) -> list[tuple[int, int]]:
    """Dimensions (lanes are 0) that have a basis, with their sizes."""
    if not is_matrix(tensor):
        return []
    sizes = factors.folded(tensor, config.kernels).shape
    return [(dim, s) for dim, s in enumerate(sizes) if dim and s <= config.max_dimension]


def _slot(name: str, tensor: Tensor) -> str:
    return factors.key(name, 0) if is_matrix(tensor) else name


def _bases(tensor: Tensor, name: str, basis: Tree, config: Soap) -> Bases:
    """Nothing for a vector."""
    if not is_matrix(tensor):
        return []
    dims = range(1, factors.folded(tensor, config.kernels).dim())
    return [basis.get(factors.key(name, dim)) for dim in dims]


def _into(tensor: Tensor, bases: Bases, config: Soap) -> Tensor:
    """In the eigenbases: Qᵀ x for each dimension."""
    if all(q is None for q in bases):
        return tensor
    return factors.along(factors.folded(tensor, config.kernels), bases).reshape(tensor.shape)


def _back(tensor: Tensor, bases: Bases, config: Soap) -> Tensor:
    return _into(tensor, [None if q is None else q.mT for q in bases], config)


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """m ← β₁m + (1−β₁)G;  v ← β₂v + (1−β₂)(G′)²;  θ ← (1−ηλ)(θ − η back(m̂′ / (√v̂ + ε)));
    then Mᵢ ← βMᵢ + (1−β)GᵢGᵢᵀ, and every so many steps Qᵢ ← QR(MᵢQᵢ).

    Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson & Kakade 2024, algorithm 3; x′ is
    x times Qᵢᵀ in every dimension, back its inverse. As the authors' code: the first step only
    sets Mᵢ and its eigenbases Qᵢ, and moves nothing; the step's own gradient enters the bases
    after its use; when a basis is renewed its columns are sorted by estimated eigenvalue and v is
    sorted with them; ε is not divided by the bias correction (η √(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + ε)); the
    decay follows the step; vectors (biases and norms) are Adam's, skip the first step, too.
    Dimensions above ``max_dimension`` keep their own basis. Deviations: bases are
    computed in float64; where M has no rank, as after one gradient, they are fixed ones
    (``factors.eigenbasis``, ``factors.iterated``), not whatever rounding makes of it.

    An optimizer that starts on the way, with its state reset, starts from the identity.
    """
    config = context.config
    assert isinstance(config, Soap)
    if context.updates == 0:
        return params, _first(grads, state, hyper, config)
    count = state["count"][""] + 1
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    rate = hyper["lr"] * (1 - beta2**count).sqrt() / (1 - beta1**count)
    new: State = {"m": {}, "v": {}, "count": {"": count}}
    new_params: Tree = {}
    for name, grad in grads.items():
        bases, slot = _bases(grad, name, state["basis"], config), _slot(name, grad)
        m = new["m"][name] = average(state["m"][name], grad, beta1)
        v = new["v"][slot] = average_square(state["v"][slot], _into(grad, bases, config), beta2)
        step = _into(m, bases, config) / (root(v) + shaped(hyper["eps"], v))
        moved = torch.addcmul(
            params[name], shaped(rate, step), _back(step, bases, config), value=-1
        )
        new_params[name] = decoupled(moved, hyper, config)
    new["statistics"] = _statistics(grads, state, hyper, config)
    new["basis"] = state["basis"]
    if context.due(config.precondition_every):
        new |= _renewed(grads, new, config)
    return new_params, new


def _first(grads: Tree, state: State, hyper: Hyper, config: Soap) -> State:
    statistics = _statistics(grads, state, hyper, config)
    basis = {key: factors.eigenbasis(matrix) for key, matrix in statistics.items()}
    return state | {"statistics": statistics, "basis": basis}


def _statistics(grads: Tree, state: State, hyper: Hyper, config: Soap) -> Tree:
    decay, found = value(hyper, "statistics_decay"), {}
    for name, grad in grads.items():
        for dim, _ in _turned(grad, config):
            key = factors.key(name, dim)
            gram = factors.gram(factors.folded(grad, config.kernels), dim)
            found[key] = average(state["statistics"][key], gram, decay)
    return found


def _renewed(grads: Tree, state: State, config: Soap) -> State:
    """Bases after one more iteration, and v in their order."""
    basis, v = {}, dict(state["v"])
    for name, grad in grads.items():
        slot = _slot(name, grad)
        for dim, _ in _turned(grad, config):
            key = factors.key(name, dim)
            basis[key], order = factors.iterated(state["statistics"][key], state["basis"][key])
            whole = factors.folded(v[slot], config.kernels)
            index = order.view(len(order), *(-1 if d == dim else 1 for d in range(1, whole.dim())))
            v[slot] = whole.gather(dim, index.expand_as(whole)).reshape(grad.shape)
    return {"basis": basis, "v": v}


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Into the eigenbases, divided by √v̂ + ε as in the last step, and back."""
    assert isinstance(config, Soap)
    correction = (1 - value(hyper, "beta2") ** state["count"][""].clamp_min(1)).sqrt()
    found = {}
    for name, tensor in vector.items():
        bases = _bases(tensor, name, state["basis"], config)
        size = root(state["v"][_slot(name, tensor)])
        size = (size + shaped(hyper["eps"], size)) / shaped(correction, size)
        found[name] = _back(_into(tensor, bases, config) / size, bases, config)
    return found


soap = Optimizer(
    _init,
    _update,
    not_compiled="it renews its bases in some steps only",
    precondition=_precondition,
)
