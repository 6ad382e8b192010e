"""What an optimizer is, pure functions on stacked trees, and the arithmetic that many share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.curvature.local import Curvature
from trainables.forward import Network
from trainables.lanes import State, Tree, norm, per_lane

Hyper = Mapping[str, Tensor]
"""Hyperparameter → its value in each lane (L,), float64. One that is 0 in every lane is left
out, so that the work it would ask for is left out, too. ``lr`` is this step's."""


class Context(NamedTuple):
    """What a step knows beside gradients and hyperparameters."""

    config: OptimizerConfig
    """For what lanes share (flags such as ``nesterov``)."""
    loss: Tensor
    """Each lane's loss on this batch, before the step, (L,)."""
    batch_share: float
    """Batch size / training examples."""
    loss_at: Callable[[Tree], Tensor]
    """(params) → each lane's loss on this batch with other weights, (L,): a forward pass."""
    updates: int = 0
    """Steps that the optimizer has taken before this one, in all lanes."""
    around: Curvature | None = None
    """None only where there is no network, as in a test."""

    @property
    def curvature(self) -> Curvature:
        """The loss of this batch around the weights, for methods of second order."""
        assert self.around is not None
        return self.around

    def due(self, every: int) -> bool:
        """Whether what is done every so many steps is done in this one; it is in the first."""
        return self.updates % every == 0


Precondition = Callable[[Tree, State, Hyper, OptimizerConfig, Network], Tree]


def _same(params: Tree, state: State) -> Tree:
    return params


class Optimizer(NamedTuple):
    """``init(params, config, network) → state``; ``update(grads, state, params, hyper, context)
    → (params, state)``; ``evaluated(params, state) → params``, the weights to evaluate where
    they are not those that train.

    All are pure: no tensor given is changed. Whatever varies from lane to lane is in ``hyper``.
    ``init`` may refuse a network with a ``ValueError``.
    """

    init: Callable[[Tree, OptimizerConfig, Network], State]
    update: Callable[[Tree, State, Tree, Hyper, Context], tuple[Tree, State]]
    evaluated: Callable[[Tree, State], Tree] = _same
    not_compiled: str | None = None
    """Why its step cannot be compiled, if it cannot: it reads from the device, does not do the
    same in all steps, or asks for more than gradients."""
    precondition: Precondition | None = None
    """``(vector, state, hyper, config, network) → P⁻¹ vector``: what takes a gradient's place, as
    far as that is linear with the state held fixed (no momentum, rate, decay or clipping)."""


Rule = Callable[[Tensor, Tensor, Tree], tuple[Tensor, Tree]]
"""``(param, grad, slots) → (param, slots)``: an update that sees one tensor at a time."""


def each(rule: Rule, params: Tree, grads: Tree, slots: State) -> tuple[Tree, State]:
    """Applies ``rule`` to every parameter with its entries of ``slots`` (slot → parameter → …)."""
    new_params: Tree = {}
    new_slots: State = {}
    for name, grad in grads.items():
        old = {slot: tree[name] for slot, tree in slots.items() if name in tree}
        new_params[name], new = rule(params[name], grad, old)
        for slot, tensor in new.items():
            new_slots.setdefault(slot, {})[name] = tensor
    return new_params, new_slots


def zeros_like(params: Tree) -> Tree:
    return {name: torch.zeros_like(param) for name, param in params.items()}


def zeros(params: Tree) -> Tensor:
    """A number for each lane, 0 at first: (L,) float64."""
    first = next(iter(params.values()))
    return torch.zeros(len(first), dtype=torch.float64, device=first.device)


def shaped(values: Tensor, like: Tensor) -> Tensor:
    """(L,) float64 numbers as (L, 1, …, 1) in the dtype of ``like`` (L, …)."""
    return per_lane(values.to(like.dtype), like)


def rounded(hyper: Hyper, params: Tree) -> Hyper:
    """Hyperparameters in the type of the parameters: rounded once, not once a tensor."""
    dtype = next(iter(params.values())).dtype
    return {name: values.to(dtype) for name, values in hyper.items()}


def addcmul(
    tensors: list[Tensor], factors: Tensor, others: list[Tensor], *, value: float = 1
) -> list[Tensor]:
    """t + value · f · o for each tensor (L, …) with its other, and f (L,) in their type.

    One call from Python for all of them: many small tensors are quicker so.
    """
    wide = per_tensor(factors, tensors)
    return list(torch._foreach_addcmul(tensors, wide, others, value=value))


def per_tensor(values: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """(L,) as (L, 1, …, 1) for each of the tensors (L, …)."""
    shapes = {dims: values.view(-1, *[1] * (dims - 1)) for dims in {t.dim() for t in tensors}}
    return [shapes[tensor.dim()] for tensor in tensors]


def root(moment: Tensor) -> Tensor:
    """√v of a second moment, v ≥ 0; of 0, that of the smallest normal number, 10⁻¹⁹ in float32.

    Beside an ε of 10⁻¹¹ or more that is the same to the last bit. Square roots of 0 take four times
    as long on CPUs, and v is 0 wherever a weight is masked or its input always 0.
    """
    return moment.clamp_min(torch.finfo(moment.dtype).tiny).sqrt()


def roots(moments: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """``root`` of several tensors of one type."""
    floor = torch.finfo(moments[0].dtype).tiny
    return list(torch._foreach_sqrt(torch._foreach_clamp_min(moments, floor)))


def value(hyper: Hyper, name: str) -> Tensor:
    """A hyperparameter (L,), 0 where every lane has 0."""
    return hyper[name] if name in hyper else torch.zeros_like(hyper["lr"])


def decays(param: Tensor, config: OptimizerConfig) -> bool:
    """Whether weight decay is for this tensor (L, …): with ``skip_vectors`` only for matrices."""
    return is_matrix(param) or not getattr(config, "skip_vectors", False)


def coupled(grads: Tree, params: Tree, hyper: Hyper, config: OptimizerConfig) -> Tree:
    """g + λθ: weight decay as the gradient of ½λ|θ|²."""
    decay = hyper.get("weight_decay")
    if decay is None:
        return grads
    return {
        name: torch.addcmul(grad, shaped(decay, grad), params[name])
        if decays(grad, config)
        else grad
        for name, grad in grads.items()
    }


def decoupled(param: Tensor, hyper: Hyper, config: OptimizerConfig) -> Tensor:
    """(1 − ηλ)θ: weight decay apart from the gradient."""
    decay = hyper.get("weight_decay")
    if decay is None or not decays(param, config):
        return param
    return param * shaped(1 - hyper["lr"] * decay, param)


def average(old: Tensor, new: Tensor, beta: Tensor) -> Tensor:
    """β·old + (1 − β)·new, with β (L,)."""
    return torch.lerp(old, new, shaped(1 - beta, new))


def average_square(old: Tensor, new: Tensor, beta: Tensor) -> Tensor:
    """β·old + (1 − β)·new², with β (L,)."""
    return torch.addcmul(old * shaped(beta, new), new * shaped(1 - beta, new), new)


def tensor_norm(tensor: Tensor) -> Tensor:
    """Each lane's Euclidean norm of one tensor (L, …), (L,) float64."""
    return norm({"": tensor})


def is_matrix(tensor: Tensor) -> bool:
    """Whether a lane's tensor has two dimensions or more: a weight, neither bias nor norm."""
    return tensor.dim() >= 3
