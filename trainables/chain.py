"""Chains of linear layers and activations, differentiated by hand for L lanes at once.

Small fully connected networks spend most of a step outside matrix products: in autograd, in
vmap's rules, in copies. Here a step is the batched products and one pointwise pass a layer,
in place where the mathematics allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.lanes import Tree
from trainables.losses import Loss, LossValue

aten = torch.ops.aten

Pointwise = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]
"""(forward(z), backward(gradient by the output, z, output)); forward may work in place where
backward reads only the output."""

_ACTIVATIONS: dict[type[nn.Module], Pointwise] = {
    nn.ReLU: (torch.relu_, lambda g, z, a: aten.threshold_backward(g, a, 0)),
    nn.Tanh: (torch.tanh_, lambda g, z, a: aten.tanh_backward(g, a)),
    nn.Sigmoid: (torch.sigmoid_, lambda g, z, a: aten.sigmoid_backward(g, a)),
    nn.Identity: (lambda z: z, lambda g, z, a: g),
}


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x Wᵀ + b, by the names of its parameters."""

    weight: str
    bias: str | None


Link = Linear | type[nn.Module]
"""A linear layer, or the type of an activation; ``nn.Flatten`` may come first."""


def links(module: nn.Module) -> tuple[Link, ...] | None:
    """``module`` as a chain, or None where it is anything else (hooks and subclasses too)."""
    if type(module) is not nn.Sequential or _has_hooks(module):
        return None
    found: list[Link] = []
    for index, (name, layer) in enumerate(module.named_children()):
        kind = type(layer)
        if kind is nn.Linear:
            found.append(
                Linear(f"{name}.weight", f"{name}.bias" if layer.bias is not None else None)
            )
        elif kind in _ACTIVATIONS or (
            isinstance(layer, nn.Flatten)
            and index == 0
            and (layer.start_dim, layer.end_dim) == (1, -1)
        ):
            found.append(kind)
        else:
            return None
    return tuple(found) if isinstance(found[-1] if found else None, Linear) else None


def _has_hooks(module: nn.Module) -> bool:
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in module.modules()
    )


def outputs(chain: Sequence[Link], params: Tree, x: Tensor) -> Tensor:
    """x (L, B, …) → outputs (L, B, C)."""
    for link in chain:
        x = _forward(link, params, x)
    return x


def loss_and_gradients(
    chain: Sequence[Link], params: Tree, x: Tensor, targets: Tensor, loss: Loss
) -> tuple[LossValue, Tree]:
    """What the loss says, and the gradient of each lane's mean loss by ``params``.

    With a linear layer y = x Wᵀ + b and the gradient δ by its output (L, B, out):
    ∂W = δᵀ x, ∂b = Σ_B δ, ∂x = δ W.
    """
    values = _values(chain, params, x)
    value = loss(values[-1], targets)
    gradients = dict.fromkeys(params, value.gradient)
    for link, before, delta in _backward(chain, params, values, value.gradient):
        gradients[link.weight] = delta.mT @ before
        if link.bias is not None:
            gradients[link.bias] = delta.sum(1)
    return value, gradients


def passes(
    chain: Sequence[Link], params: Tree, x: Tensor, starts: Callable[[Tensor], list[Tensor]]
) -> dict[str, tuple[Tensor, list[Tensor]]]:
    """What passes through each linear layer, by its weight's name: inputs (L, B, in), and the
    gradients by its outputs (L, B, out) for each of those by the chain's.

    Args:
        starts: outputs → gradients by them.
    """
    values = _values(chain, params, x)
    found: dict[str, tuple[Tensor, list[Tensor]]] = {}
    for start in starts(values[-1]):
        for link, before, delta in _backward(chain, params, values, start):
            found.setdefault(link.weight, (before, []))[1].append(delta)
    return found


def _values(chain: Sequence[Link], params: Tree, x: Tensor) -> list[Tensor]:
    values = [x]
    for link in chain:
        values.append(_forward(link, params, values[-1]))
    return values


def _backward(
    chain: Sequence[Link], params: Tree, values: Sequence[Tensor], delta: Tensor
) -> Iterator[tuple[Linear, Tensor, Tensor]]:
    """Each linear layer from the last to the first, its inputs and the gradient by its outputs."""
    for index in reversed(range(len(chain))):
        link, before, after = chain[index], values[index], values[index + 1]
        if isinstance(link, Linear):
            yield link, before, delta
            if index > 0 and chain[index - 1] is not nn.Flatten:
                delta = delta @ params[link.weight]
        elif link is not nn.Flatten:
            delta = _ACTIVATIONS[link][1](delta, before, after)


def _forward(link: Link, params: Tree, x: Tensor) -> Tensor:
    if not isinstance(link, Linear):
        return x.flatten(2) if link is nn.Flatten else _ACTIVATIONS[link][0](x)
    weight = params[link.weight].mT  # (L, in, out)
    if link.bias is None:
        return x @ weight
    return torch.baddbmm(params[link.bias].unsqueeze(1), x, weight)
