"""States of stacks as plain data: lanes are taken out of one, and put together into one.

A state is what ``Stack.state_dict`` gives: tensors (L, …) and plain data. A lane's state is that
of a stack of one lane, so whatever copies, moves or keeps lanes is made of two functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.lanes import select

StackState = dict[str, Any]

_TREES = ("params", "buffers", "scale", "average", "masks", "noise")
"""A state from before there was ``noise`` has none."""
_LISTS = ("losses", "scores")
_SHARED = ("updates", "counts")
"""What lanes must have in common to train in one stack."""


def take(state: Mapping[str, Any], lanes: Sequence[int]) -> StackState:
    """The state of these lanes only, in that order; a lane may be named several times.

    Tensors are copies: what happens to the stack afterwards does not reach them.
    """
    index = torch.tensor(list(lanes), device=state["grad_norm"].device)
    return {
        **state,
        **{key: select(state.get(key, {}), index) for key in _TREES},
        **{key: [values.index_select(0, index) for values in state[key]] for key in _LISTS},
        "state": {name: select(tree, index) for name, tree in state["state"].items()},
        "grad_norm": state["grad_norm"].index_select(0, index),
        "plateaus": [state["plateaus"][lane] for lane in lanes],
    }


def join(states: Sequence[Mapping[str, Any]]) -> StackState:
    """One state with the lanes of all, in order, for runs of one fusion key.

    Hyperparameters in use in any of them are in use in all: as in a stack that had all lanes
    from the start.

    Raises:
        ValueError: they are not at the same step, or not of the same kind. Lanes with masks and
            lanes without are of different kinds: a dense lane among pruned ones has masks, too.
    """
    first, *others = states
    for other in others:
        for key in _SHARED:
            if other[key] != first[key]:
                raise ValueError(f"lanes differ in {key}: {first[key]} and {other[key]}")
        if _shape(other) != _shape(first):
            raise ValueError(
                "lanes of different models, optimizers or pruned layers have no stack in common"
            )
    return {
        **first,
        **{key: _joined([state.get(key, {}) for state in states]) for key in _TREES},
        **{
            key: [torch.cat(at) for at in zip(*(state[key] for state in states), strict=True)]
            for key in _LISTS
        },
        "state": {
            name: _joined([state["state"][name] for state in states]) for name in first["state"]
        },
        "grad_norm": torch.cat([state["grad_norm"] for state in states]),
        "plateaus": [follows for state in states for follows in state["plateaus"]],
        "hyper": sorted({name for state in states for name in state["hyper"]}),
    }


def moved(state: Mapping[str, Any], device: torch.device | str) -> StackState:
    """The state with its tensors on ``device``."""
    found: StackState = _mapped(state, lambda tensor: tensor.to(device))
    return found


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value


def _joined(trees: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([tree[name] for tree in trees]) for name in trees[0]}


def _shape(state: Mapping[str, Any]) -> dict[str, Any]:
    """Names, and sizes of one lane."""
    trees = {key: state.get(key, {}) for key in _TREES} | state["state"]
    return {
        key: {name: tuple(tensor.shape[1:]) for name, tensor in tree.items()}
        for key, tree in trees.items()
    }
