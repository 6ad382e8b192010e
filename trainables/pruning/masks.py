"""Masks: which weights of every lane are left, and how many.

A tree of masks has some of the names of the parameters, bool tensors like these, (L, …); True is
a weight that is left. Names that it lacks are never pruned. A dense lane beside pruned ones has
masks that are True throughout.

Bool, not the parameters' type: a quarter of the memory and of the checkpoint, and what is masked
is +0 to the last bit. A product with 0 would make −0 of a negative weight, NaN of an infinite one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from trainables.lanes import Tree
from trainables.stack_state import StackState

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By their bytes."""
_OF_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


def prunable(module: nn.Module, exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the parameters that are pruned, in the order of the module's parameters.

    Weights of linear layers and convolutions, those of attention among them (``nn.Linear`` in
    the models here, ``in_proj_weight`` in PyTorch's own). Not biases, normalizations, embeddings,
    positions, or a weight that an embedding shares. Nor layers under weight normalization, whose
    mask would change the length of what is left and divide 0 by 0 where nothing is.

    Args:
        exclude: patterns (``fnmatch``) of names that are left whole, e.g. ``"0.*"``.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left to prune.
    """
    layers = [*module.modules()]
    spared = {id(layer.weight) for layer in layers if isinstance(layer, nn.Embedding)}
    weights = {id(weight) for layer in layers for weight in _weights(layer)} - spared
    names = [name for name, param in module.named_parameters() if id(param) in weights]
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"exclude: {pattern!r} matches none of {', '.join(names)}")
    found = [name for name in names if not any(fnmatchcase(name, p) for p in exclude)]
    if not found:
        raise ValueError("nothing to prune: no weight of a linear layer or convolution is left")
    return tuple(found)


def _weights(layer: nn.Module) -> list[Tensor]:
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        return [layer.weight]
    if isinstance(layer, nn.MultiheadAttention):
        found = [getattr(layer, name) for name in _OF_ATTENTION]
        return [weight for weight in found if weight is not None]
    return []


def ones(params: Mapping[str, Tensor], names: Sequence[str]) -> Tree:
    """Masks that leave everything."""
    return {name: torch.ones_like(params[name], dtype=torch.bool) for name in names}


def masked(tree: Tree, masks: Mapping[str, Tensor]) -> Tree:
    """The tree with +0 where a mask is False; the tree itself where there are no masks.

    Args:
        masks: bool, or ``bits`` of that.
    """
    if not masks:
        return tree
    return {
        name: _masked(tensor, masks[name]) if name in masks else tensor
        for name, tensor in tree.items()
    }


def _masked(tensor: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.where(mask, tensor, 0)
    return tensor.view(mask.dtype).bitwise_and(mask).view(tensor.dtype)


def bits(masks: Mapping[str, Tensor], params: Mapping[str, Tensor]) -> Tree:
    """Masks as integers as wide as the parameters, all bits set where a weight is left.

    For the training step: on a CPU, a bitwise "and" takes a tenth of the time of ``torch.where``,
    and gives the same +0.
    """
    return {
        name: mask.to(_INTEGERS[params[name].element_size()]).neg() for name, mask in masks.items()
    }


def with_masks(state: StackState, masks: Tree) -> StackState:
    """A stack's state in which these weights alone are left, and train from now on.

    What is masked becomes 0 in the parameters, in the averages of them (``ema``, ``swa``) and in
    whatever the optimizer keeps for each weight (momenta, second moments, the weights before, the
    averages of schedule-free methods). So nothing of the past brings a weight back, or has a part
    in a norm. ``Stack.put`` and ``Stack.load_state_dict`` take the state.

    Args:
        masks: of all lanes; they replace those that the state has. A weight that was masked and
            no longer is goes on from 0.

    Raises:
        ValueError: a mask is of no parameter, of another shape, or not bool.
    """
    params = state["params"]
    for name, mask in masks.items():
        if name not in params:
            raise ValueError(f"mask of {name}: no such parameter; there are {', '.join(params)}")
        if mask.dtype != torch.bool or mask.shape != params[name].shape:
            found, wanted = tuple(mask.shape), tuple(params[name].shape)
            raise ValueError(f"mask of {name}: {mask.dtype} {found} where bool {wanted} is needed")
    own = {slot: masked(tree, _like(tree, masks)) for slot, tree in state["state"].items()}
    return {
        **state,
        "masks": dict(masks),
        "params": masked(params, masks),
        "average": masked(state["average"], masks),
        "state": own,
    }


def _like(tree: Tree, masks: Tree) -> Tree:
    """The masks of what the optimizer keeps weight by weight."""
    return {n: m for n, m in masks.items() if n in tree and tree[n].shape == m.shape}


def remaining(masks: Mapping[str, Tensor]) -> Tree:
    """Weights left in each layer, (L,) int64 each."""
    return {name: mask.flatten(1).sum(1) for name, mask in masks.items()}


def density(masks: Mapping[str, Tensor]) -> Tree:
    """The share of weights left in each layer, (L,) float64 each; sparsity is 1 − density."""
    return {
        name: left.to(torch.float64) / masks[name][0].numel()
        for name, left in remaining(masks).items()
    }


def density_in_all(masks: Mapping[str, Tensor]) -> Tensor:
    """The share of prunable weights left in all layers together, (L,) float64."""
    left = torch.stack([*remaining(masks).values()]).sum(0)
    return left.to(torch.float64) / sum(mask[0].numel() for mask in masks.values())


def collapsed(masks: Mapping[str, Tensor]) -> Tensor:
    """Whether some layer has no weight left (layer collapse, Tanaka et al. 2020), (L,) bool."""
    return torch.stack([left == 0 for left in remaining(masks).values()]).any(0)


def overlap(masks: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Tensor:
    """|A ∩ B| / |A ∪ B| of the weights left (Jaccard), lane by lane, (L,) float64.

    Over all layers; of one layer where both have just that one. 1 where nothing is left in both.
    """
    both = torch.stack([(m & others[n]).flatten(1).sum(1) for n, m in masks.items()]).sum(0)
    either = torch.stack([(m | others[n]).flatten(1).sum(1) for n, m in masks.items()]).sum(0)
    return torch.where(either > 0, both.to(torch.float64) / either.clamp(min=1), 1)
