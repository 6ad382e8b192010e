"""A stacked network: outputs, and gradients by the parameters, for L lanes at once.

Two ways lead there. A plain chain of linear layers and activations is differentiated by
hand with batched matrix products. Any other ``nn.Module``, a user's included, goes through
``vmap`` over ``functional_call``, and autograd differentiates the vmapped forward pass:
lanes share nothing, so the gradient of the sum over lanes is each lane's own gradient.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from trainables import chain
from trainables.convolution import Unfolded
from trainables.dropout import LaneDropout, has_dropout
from trainables.lanes import Tree, per_lane
from trainables.losses import Loss, LossValue
from trainables.precision import LaneAutocast


@dataclass(frozen=True, slots=True)
class Network:
    """The skeleton that L lanes share: a module whose own tensors are never read."""

    module: nn.Module
    links: tuple[chain.Link, ...] | None
    """The module as a chain, where it is one."""
    dropout: bool
    low: torch.dtype | None = None
    """The type of products, where it is not that of the weights."""
    unfold: bool = False
    """Whether convolutions are done as matrix products."""

    @classmethod
    def of(
        cls, module: nn.Module, low: torch.dtype | None = None, *, unfold: bool = False
    ) -> Network:
        links = chain.links(module) if low is None else None
        return cls(module, links, has_dropout(module), low, unfold)

    @contextlib.contextmanager
    def arithmetic(self) -> Iterator[None]:
        with contextlib.ExitStack() as modes:
            if self.unfold:
                modes.enter_context(Unfolded())
            if self.low is not None:
                modes.enter_context(LaneAutocast(self.low))
            yield


def outputs(network: Network, params: Tree, buffers: Tree, x: Tensor) -> Tensor:
    """Outputs (L, B, …) in evaluation mode for inputs x (B, …) that all lanes share."""
    lanes, dtype = len(next(iter(params.values()))), _dtype(params)
    if network.links is not None:
        return chain.outputs(network.links, params, x.expand(lanes, *x.shape))
    network.module.eval()
    if lanes == 1:
        tensors = {name: tensor[0] for name, tensor in (params | buffers).items()}
        with network.arithmetic():
            result: Tensor = functional_call(network.module, tensors, (x,))
        return result.unsqueeze(0).to(dtype)

    def one(params: Tree, buffers: Tree) -> Tensor:
        return functional_call(network.module, (params, buffers), (x,))  # type: ignore[no-any-return]

    with network.arithmetic():
        return vmap(one)(params, buffers).to(dtype)


def training_losses(
    network: Network,
    params: Tree,
    buffers: Tree,
    x: Tensor,
    targets: Tensor,
    loss: Loss,
    keys: Tensor,
) -> Tensor:
    """Each lane's mean loss (L,) of a training batch: a forward pass that leaves no trace."""
    if network.links is not None:
        return loss(chain.outputs(network.links, params, x), targets).losses.mean(1)
    predicted, _ = training_pass(network, params, buffers, x, keys)
    return loss(predicted.to(_dtype(params)), targets).losses.mean(1)


def loss_and_gradients(
    network: Network,
    params: Tree,
    buffers: Tree,
    x: Tensor,
    targets: Tensor,
    loss: Loss,
    keys: Tensor,
    scale: Tensor | None = None,
) -> tuple[LossValue, Tree, Tree]:
    """One training batch of every lane.

    Args:
        x: inputs (L, B, …); targets: (L, B), or (L, B, T) for sequences.
        keys: per-lane int64 (L,) from which this step's dropout masks derive.
        scale: what each lane's gradients are multiplied by on their way, (L,).

    Returns:
        What the loss says, gradients like ``params``, and the buffers after the pass (running
        statistics). Nothing given is changed.
    """
    if network.links is not None:
        value, gradients = chain.loss_and_gradients(network.links, params, x, targets, loss)
        return value, gradients, buffers
    alone = len(x) == 1  # its leaves are the lane's own tensors: no way back through a selection
    leaves = {
        name: (param[0] if alone else param).detach().requires_grad_()
        for name, param in params.items()
    }
    with torch.enable_grad():
        if alone:
            predicted, new_buffers = _only_lane(network, leaves, buffers, x, keys)
        else:
            predicted, new_buffers = training_pass(network, leaves, buffers, x, keys)
    value = loss(predicted.detach().to(_dtype(params)), targets)
    start = value.gradient if scale is None else value.gradient * per_lane(scale, value.gradient)
    found = torch.autograd.grad(
        predicted,
        list(leaves.values()),
        start.to(predicted.dtype),
        allow_unused=True,
        materialize_grads=True,
    )
    if alone:
        found = tuple(gradient.unsqueeze(0) for gradient in found)
    return value, dict(zip(leaves, found, strict=True)), new_buffers


def _dtype(params: Tree) -> torch.dtype:
    """The type of outputs that a loss sees: the weights', as tokens have none to give."""
    return next(iter(params.values())).dtype


def training_pass(
    network: Network, params: Tree, buffers: Tree, x: Tensor, keys: Tensor
) -> tuple[Tensor, Tree]:
    """Outputs (L, B, …) in training mode for inputs x (L, B, …), and the buffers after it."""
    if len(x) == 1:
        first = {name: param[0] for name, param in params.items()}
        return _only_lane(network, first, buffers, x, keys)
    network.module.train()
    with network.arithmetic():
        return vmap(functools.partial(lane_pass, network))(params, buffers, x, keys)


def _only_lane(
    network: Network, params: Tree, buffers: Tree, x: Tensor, keys: Tensor
) -> tuple[Tensor, Tree]:
    """``training_pass`` of one lane, given the lane's own parameters: one lane needs no vmap.

    This is the eager loop, and as fast.
    """
    network.module.train()
    first = {name: buffer[0] for name, buffer in buffers.items()}
    with network.arithmetic():
        result, own = lane_pass(network, params, first, x[0], keys[0])
    return result.unsqueeze(0), {name: buffer.unsqueeze(0) for name, buffer in own.items()}


def lane_pass(
    network: Network, params: Tree, buffers: Tree, x: Tensor, key: Tensor
) -> tuple[Tensor, Tree]:
    """Outputs (B, …) of one lane and its buffers after the pass; those given stay as they are."""
    own = {name: buffer.clone() for name, buffer in buffers.items()}
    if not network.dropout:
        return functional_call(network.module, (params, own), (x,)), own
    with LaneDropout(key):
        return functional_call(network.module, (params, own), (x,)), own
