"""Shampoo: gradients preconditioned by a matrix for each dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.preconditioned import Shampoo
from trainables.forward import Network
from trainables.lanes import State, Tree, square_norm
from trainables.optimizers import factors
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    decoupled,
    is_matrix,
    root,
    shaped,
    value,
    zeros,
    zeros_like,
)

_TINY = 1e-16
"""Beside a length that another is divided by."""


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    assert isinstance(config, Shampoo)
    statistics: Tree = {}
    matrices = {name: param for name, param in params.items() if is_matrix(param)}
    for name, param in matrices.items():
        number = 0
        for block in factors.blocks(factors.folded(param, config.kernels), config.block_size):
            for size in block.shape[1:]:
                statistics[factors.key(name, number)] = param.new_zeros(len(param), size, size)
                number += 1
    state: State = {"momentum": zeros_like(params), "count": {"": zeros(params)}}
    state["statistics"] = statistics
    state["roots"] = {key: torch.zeros_like(m) + _identity(m) for key, m in statistics.items()}
    state["diagonal"] = {
        name: torch.zeros_like(param)
        for name, param in params.items()
        if _has_diagonal(name in matrices, config)
    }
    if config.grafting != "none":
        state["ratio"] = {factors.key(name, 0): zeros(params) + 1 for name in matrices}
    return state


def _identity(matrix: Tensor) -> Tensor:
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def _has_diagonal(matrix: bool, config: Shampoo) -> bool:
    if config.grafting == "none":
        return not matrix
    return config.grafting != "sgd"


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """Mᵢ ← βMᵢ + w GᵢGᵢᵀ;  P = G ×₁ M₁^(−1/2k) … ×ₖ Mₖ^(−1/2k);  m ← μm + sP;  θ ← θ − ηm.

    Gupta, Koren & Singer 2018, algorithms 1 (k = 2: L^(−1/4) G R^(−1/4)) and 2 (tensors of order
    k, Gᵢ of shape (dᵢ, rest)); w = 1 where β = 1, a sum, else 1 − β. Roots are of
    M + (ε + ρλ_max)I, ε in place of the paper's M₀ = εI, which is the same for sums and does not
    fade where β < 1.
    With Nesterov θ ← θ − η(sP + μm). Weight decay: θ ← (1−ηλ)θ first.

    Anil, Gupta, Koren, Regan & Singer 2020: s = ‖d‖/‖P‖ for a layer as a whole, d the step of the
    grafted method: g (``sgd``), g/(√Σg² + ε′) (``adagrad``), g/(√v + ε′) with v ← β′v + (1−β′)g²
    (``rmsprop``), the same with v/(1−β′ᵗ) (``adam``); s = 1 with ``none``. Dimensions above
    ``block_size`` are cut into blocks (section 3.2), statistics and roots are computed every so
    many steps, and the first ``start`` steps take d itself (G itself with ``none``). Theirs keep
    a second momentum for d in that time; here there is one. Roots are exact, by eigenvalues in
    float64, not by Newton's iteration.

    Biases and norms (order 1): d; with ``none`` diagonal AdaGrad, s ← βs + w g², g/(√s + ε′).
    Where weights are masked P counts as 0, in ‖P‖ too.
    """
    config = context.config
    assert isinstance(config, Shampoo)
    count = state["count"][""] + 1
    statistics, roots = state["statistics"], state["roots"]
    if context.due(config.statistics_every):
        statistics = _statistics(grads, statistics, hyper, config)
    since = context.updates - config.start
    if since >= 0 and since % config.preconditioner_every == 0:
        roots = _roots(statistics, hyper, config, grads)
    diagonal = {
        name: _second_moment(old, grads[name], hyper, config)
        for name, old in state["diagonal"].items()
    }
    steps = {
        name: _grafted(grad, diagonal.get(name), count, hyper, config)
        for name, grad in grads.items()
    }
    ratio = state.get("ratio", {})
    if since >= 0:
        steps, ratio = _preconditioned(grads, steps, roots, ratio, context)
    new_params, momentum = _moved(params, steps, state["momentum"], hyper, config)
    new = {"momentum": momentum, "statistics": statistics, "roots": roots, "diagonal": diagonal}
    new["count"] = {"": count}
    return new_params, new | ({"ratio": ratio} if "ratio" in state else {})


def _weight(decay: Tensor) -> Tensor:
    """That of what is new: 1 in a sum."""
    return torch.where(decay < 1, 1 - decay, 1)


def _statistics(grads: Tree, old: Tree, hyper: Hyper, config: Shampoo) -> Tree:
    grams: Tree = {}
    for name, grad in grads.items():
        if not is_matrix(grad):
            continue
        number = 0
        for block in factors.blocks(factors.folded(grad, config.kernels), config.block_size):
            for dim in range(1, block.dim()):
                grams[factors.key(name, number)] = factors.gram(block, dim)
                number += 1
    decay = value(hyper, "decay")
    return {
        key: torch.addcmul(
            matrix * shaped(decay, matrix), grams[key], shaped(_weight(decay), matrix)
        )
        for key, matrix in old.items()
    }


def _roots(statistics: Tree, hyper: Hyper, config: Shampoo, grads: Tree) -> Tree:
    if not statistics:
        return {}
    orders = []
    for key in statistics:
        grad = grads[key.rsplit("/", 1)[0]]
        orders.append(2 * (factors.folded(grad, config.kernels).dim() - 1))
    found = factors.inverse_roots([*statistics.values()], orders, hyper["eps"], hyper.get("ridge"))
    return dict(zip(statistics, found, strict=True))


def _second_moment(old: Tensor, grad: Tensor, hyper: Hyper, config: Shampoo) -> Tensor:
    if config.grafting == "adagrad":
        return torch.addcmul(old, grad, grad)
    decay = value(hyper, "decay" if config.grafting == "none" else "diagonal_decay")
    return torch.addcmul(old * shaped(decay, grad), grad * shaped(_weight(decay), grad), grad)


def _grafted(
    grad: Tensor, moment: Tensor | None, count: Tensor, hyper: Hyper, config: Shampoo
) -> Tensor:
    """The grafted method's step."""
    if moment is None:
        return grad
    size = root(moment)
    if config.grafting == "adam":
        size = size / shaped(_correction(count, hyper), size)
    return grad / (size + shaped(hyper["diagonal_eps"], size))


def _correction(count: Tensor, hyper: Hyper) -> Tensor:
    """√(1 − β′ᵗ), of the first step before that."""
    return (1 - value(hyper, "diagonal_decay") ** count.clamp_min(1)).sqrt()


def _applied(tensor: Tensor, matrices: list[Tensor], config: Shampoo) -> Tensor:
    """Every dimension times its inverse root."""
    whole = factors.folded(tensor, config.kernels)
    order = whole.dim() - 1
    parts = [
        factors.along(block, matrices[order * i : order * (i + 1)])
        for i, block in enumerate(factors.blocks(whole, config.block_size))
    ]
    return factors.joined(parts, whole.shape, config.block_size).reshape(tensor.shape)


def _preconditioned(
    grads: Tree, steps: Tree, roots: Tree, ratio: Tree, context: Context
) -> tuple[Tree, Tree]:
    """Shampoo's step for matrices, and by what it was multiplied."""
    config = context.config
    assert isinstance(config, Shampoo)
    found = {
        name: _applied(grad, factors.of(roots, name), config)
        for name, grad in grads.items()
        if is_matrix(grad)
    }
    if context.around is not None:
        found = context.around.restrict(found)
    if config.grafting != "none":
        ratio = {
            factors.key(name, 0): _length(steps[name]) / (_length(step) + _TINY)
            for name, step in found.items()
        }
        found = {
            name: step * shaped(ratio[factors.key(name, 0)], step) for name, step in found.items()
        }
    return steps | found, ratio


def _length(tensor: Tensor) -> Tensor:
    return square_norm({"": tensor}).sqrt()


def _moved(
    params: Tree, steps: Tree, old: Tree, hyper: Hyper, config: Shampoo
) -> tuple[Tree, Tree]:
    """The weights after momentum, rate and decay; and the momentum."""
    momentum, factor = old, hyper.get("momentum")
    if factor is not None:
        momentum = {
            name: torch.addcmul(step, shaped(factor, step), old[name])
            for name, step in steps.items()
        }
        steps = (
            momentum
            if not config.nesterov
            else {
                name: torch.addcmul(step, shaped(factor, step), momentum[name])
                for name, step in steps.items()
            }
        )
    new = {
        name: torch.addcmul(
            decoupled(param, hyper, config), shaped(hyper["lr"], param), steps[name], value=-1
        )
        for name, param in params.items()
    }
    return new, momentum


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """The last roots, times the last ratio of lengths; of vectors what is grafted.

    Before the first roots they are the identity.
    """
    assert isinstance(config, Shampoo)
    found: Tree = {}
    for name, tensor in vector.items():
        if is_matrix(tensor):
            found[name] = _applied(tensor, factors.of(state["roots"], name), config)
            if "ratio" in state:
                ratio = state["ratio"][factors.key(name, 0)]
                found[name] = found[name] * shaped(ratio, tensor)
        else:
            moment = state["diagonal"].get(name)
            found[name] = _grafted(tensor, moment, state["count"][""], hyper, config)
    return found


shampoo = Optimizer(
    _init,
    _update,
    not_compiled="it computes inverse roots in some steps only",
    precondition=_precondition,
)
