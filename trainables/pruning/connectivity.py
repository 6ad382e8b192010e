"""Weights that matter: those on some path from an input to an output.

A weight that is left is dead where nothing leads to it or nothing leads on. Effective sparsity
counts these as pruned (Vysogorets & Kempe 2023, "Connectivity matters").
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd, _MaxPoolNd

from trainables.lanes import Tree
from trainables.models.parts import ACTIVATIONS
from trainables.models.resnet import Average

_UNIT_BY_UNIT = (
    *ACTIVATIONS.values(),
    nn.Flatten,
    _BatchNorm,
    _DropoutNd,
    _MaxPoolNd,
    _AvgPoolNd,
    _AdaptiveAvgPoolNd,
    Average,
)
"""Layers that let each unit through on its own."""


def effective(module: nn.Module, masks: Tree) -> Tree | None:
    """Masks without the weights on dead paths, for plain sequences of layers.

    Units are features and channels. Forward, a unit is reached where a weight that is left leads
    to it from a unit that is reached; backward, it is needed where one leads from it to a unit that
    is needed. A weight counts where it comes from a reached unit and leads to a needed one. What a
    kernel has left connects its two channels, wherever in the kernel it is. Layers that are not
    masked connect everything.

    Biases make no path: a unit with nothing but its bias gives a constant, which the next biases
    could hold as well. Inputs all count as reached, also those that are 0 in all examples.

    Returns:
        None where it does not apply: skip connections, attention, weight normalization,
        convolutions in groups, layer and group normalization (they mix units), other modules.
    """
    weights = _weights(module)
    if weights is None:
        return None
    first = next(iter(masks.values()))
    joins = [
        masks[name].flatten(2).view(len(first), *weight.shape[:2], -1).any(3)
        if name in masks
        else torch.ones(len(first), *weight.shape[:2], dtype=torch.bool, device=first.device)
        for name, weight in weights.items()
    ]
    alive = dict(zip(weights, _alive(joins), strict=True))
    return {
        name: mask & alive[name].view(*alive[name].shape, *[1] * (mask.dim() - 3))
        for name, mask in masks.items()
    }


def _alive(joins: list[Tensor]) -> list[Tensor]:
    """Pairs of a reached unit and a needed one, (L, out, in), of each layer's (L, out, in)."""
    reached, needed = [], []
    units = torch.ones_like(joins[0][:, 0])
    for join in joins:
        # Flattened, a channel is as many features in a row as it has pixels.
        units = units.repeat_interleave(join.shape[2] // units.shape[1], 1)
        reached.append(units)
        units = (join & units.unsqueeze(1)).any(2)
    units = torch.ones_like(joins[-1][:, :, 0])
    for index in reversed(range(len(joins))):
        needed.append(units)
        units = (joins[index] & units.unsqueeze(2)).any(1)
        if index > 0:
            units = units.view(len(units), joins[index - 1].shape[1], -1).any(2)
    return [r.unsqueeze(1) & n.unsqueeze(2) for r, n in zip(reached, reversed(needed), strict=True)]


def _weights(module: nn.Module) -> dict[str, Tensor] | None:
    """Weights of a plain sequence by name, in order; None where it is anything else."""
    found: dict[str, Tensor] = {}
    for name, layer in _flat(module):
        plain = isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.groups == 1
        if plain or isinstance(layer, nn.Linear):
            found[f"{name}.weight"] = layer.get_parameter("weight")
        elif not isinstance(layer, _UNIT_BY_UNIT):
            return None
    return found or None


def _flat(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Layers in the order they are called in, sequences in sequences taken apart."""
    for name, layer in module.named_children() if type(module) is nn.Sequential else ():
        if type(layer) is nn.Sequential:
            yield from _flat(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer
