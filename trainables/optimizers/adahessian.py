"""AdaHessian: Adam whose second moment is that of the Hessian's diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.preconditioned import AdaHessian
from trainables.forward import Network
from trainables.lanes import State, Tree
from trainables.optimizers.base import (
    Context,
    Hyper,
    Optimizer,
    average,
    average_square,
    decoupled,
    each,
    shaped,
    value,
    zeros,
    zeros_like,
)
from trainables.optimizers.hutchinson import diagonal


def _init(params: Tree, config: OptimizerConfig, network: Network) -> State:
    state: State = {slot: zeros_like(params) for slot in ("m", "v")}
    return state | {"count": {"": zeros(params), "estimates": zeros(params)}}


def _averaged(estimate: Tree, signs: Tree) -> Tree:
    """The mean of |D| over what is left of each kernel (height × width, or length)."""
    found = {}
    for name, tensor in estimate.items():
        dims = tuple(range(3, tensor.dim()))
        if dims:
            left = signs[name].square().sum(dims, keepdim=True).clamp_min(1)
            tensor = (tensor.abs().sum(dims, keepdim=True) / left).expand_as(tensor)
        found[name] = tensor
    return found


def _update(
    grads: Tree, state: State, params: Tree, hyper: Hyper, context: Context
) -> tuple[Tree, State]:
    """D = mean of z ⊙ Hz;  v ← β₂v + (1−β₂)D²;  θ ← (1−ηλ)θ − η m̂ / (v̂^(k/2) + ε).

    Yao, Gholami, Shen, Mustafa, Keutzer & Mahoney 2021, algorithm 1 with equations 7 to 12:
    m as Adam's, z random signs (Hutchinson), H the Hessian of the lane's batch, k the
    ``hessian_power``. D of a convolution is averaged over each kernel (equation 9), as the
    authors' code has it, of |D|; matrices and vectors (biases and norms) are taken entry by entry.
    Where weights are masked the mean is of those that are left. v̂ = v/(1−β₂ⁿ), n the estimates
    so far: the same as the paper's where each step has one, and unlike in other codes right where
    not (``hessian_every``). Decay is decoupled. Nothing moves before the first estimate.
    """
    config = context.config
    assert isinstance(config, AdaHessian)
    count, estimates = state["count"][""] + 1, state["count"]["estimates"]
    beta1, beta2 = value(hyper, "beta1"), value(hyper, "beta2")
    second = state["v"]
    if context.due(config.hessian_every):
        estimate, signs = diagonal(context.curvature, params, config.samples)
        if config.average_kernels:
            estimate = _averaged(estimate, signs)
        second = {name: average_square(v, estimate[name], beta2) for name, v in second.items()}
        estimates = estimates + 1
    rate = torch.where(estimates > 0, hyper["lr"] / (1 - beta1**count), 0)

    def rule(param: Tensor, grad: Tensor, old: Tree) -> tuple[Tensor, Tree]:
        m = average(old["m"], grad, beta1)
        step = m / _size(old["v"], estimates, hyper)
        param = decoupled(param, hyper, config)
        return torch.addcmul(param, shaped(rate, param), step, value=-1), {"m": m, "v": old["v"]}

    slots = {"m": state["m"], "v": second}
    new_params, new = each(rule, params, grads, slots)
    return new_params, new | {"count": {"": count, "estimates": estimates}}


def _size(v: Tensor, estimates: Tensor, hyper: Hyper) -> Tensor:
    """v̂^(k/2) + ε."""
    corrected = v / shaped(1 - value(hyper, "beta2") ** estimates.clamp_min(1), v)
    return corrected ** shaped(hyper["hessian_power"] / 2, v) + shaped(hyper["eps"], v)


def _precondition(
    vector: Tree, state: State, hyper: Hyper, config: OptimizerConfig, network: Network
) -> Tree:
    """Divided by v̂^(k/2) + ε."""
    estimates = state["count"]["estimates"]
    return {
        name: tensor / _size(state["v"][name], estimates, hyper) for name, tensor in vector.items()
    }


adahessian = Optimizer(
    _init,
    _update,
    not_compiled="it asks for products with the Hessian",
    precondition=_precondition,
)
