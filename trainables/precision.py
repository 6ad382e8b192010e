"""Arithmetic in fewer bits: mixed precision in lanes, its loss scaling, and TF32.

``torch.autocast`` has no effect under ``vmap``, so its rules are applied here to the same
functions, one level up, where Python calls them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainables.configs.base import Precision
from trainables.lanes import State, Tree, per_lane

STORED: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "tf32": torch.float32,
    "bfloat16": torch.float32,
    "float16": torch.float32,
}
"""The type of weights, inputs, gradients and optimizer state."""
LOW: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""The type of products, where it is another."""

_FIRST_SCALE, _GROWTH, _BACKOFF, _GOOD_STEPS = 65536.0, 2.0, 0.5, 2000

_TO_LOW = frozenset(
    {
        F.linear,
        F.bilinear,
        F.conv1d,
        F.conv2d,
        F.conv3d,
        F.conv_transpose1d,
        F.conv_transpose2d,
        F.scaled_dot_product_attention,
        torch.matmul,
        torch.mm,
        torch.bmm,
        torch.addmm,
        torch.baddbmm,
        Tensor.matmul,
        Tensor.mm,
        Tensor.bmm,
        Tensor.__matmul__,
        Tensor.__rmatmul__,
    }
)
_TO_FLOAT = frozenset(
    {
        F.softmax,
        F.log_softmax,
        F.batch_norm,
        F.layer_norm,
        F.group_norm,
        F.softplus,
        F.mse_loss,
        F.cross_entropy,
        F.nll_loss,
        F.normalize,
        torch.softmax,
        torch.log_softmax,
        torch.exp,
        torch.log,
        torch.pow,
        torch.sum,
        torch.norm,
        Tensor.softmax,
        Tensor.log_softmax,
        Tensor.exp,
        Tensor.log,
        Tensor.pow,
        Tensor.sum,
        Tensor.norm,
    }
)


class LaneAutocast(TorchFunctionMode):
    """Products in ``low``, what loses by it in float32, the rest as it comes.

    The lists are those of ``torch.autocast`` for CUDA, as far as networks here use them. One
    deviation: batch normalization, which autocast leaves in whatever type it meets, is done in
    float32, since ``vmap`` cannot mix types in it.
    """

    def __init__(self, low: torch.dtype) -> None:
        super().__init__()
        self._low = low

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        kind = self._low if func in _TO_LOW else torch.float32 if func in _TO_FLOAT else None
        if kind is None:
            return func(*args, **kwargs)
        return func(
            *(_cast(value, kind) for value in args),
            **{name: _cast(value, kind) for name, value in kwargs.items()},
        )


def _cast(value: Any, kind: torch.dtype) -> Any:
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float16, torch.bfloat16):
        return value.to(kind)
    return value


@contextlib.contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Float32 products on a GPU in full, or by its TF32 units where the runs say ``tf32``.

    By default PyTorch lets convolutions use TF32, which is not float32.
    """
    if not torch.cuda.is_available():
        yield
        return
    cudnn: Any = torch.backends.cudnn
    backends: tuple[Any, Any] = (torch.backends.cuda.matmul, cudnn.conv)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def first_scale(precision: Precision, lanes: int, device: torch.device) -> Tree:
    """Loss scale and good steps of each lane, (L,) float32; nothing where none is needed."""
    if precision != "float16":
        return {}
    scale = torch.full((lanes,), _FIRST_SCALE, device=device)
    return {"scale": scale, "good": torch.zeros_like(scale)}


def unscaled(gradients: Tree, scale: Tree) -> Tree:
    """Gradients of a scaled loss as those of the loss."""
    if not scale:
        return gradients
    return {name: g / per_lane(scale["scale"], g) for name, g in gradients.items()}


def finite(gradients: Tree) -> Tensor:
    """Whether a lane's gradients are all numbers, (L,) bool."""
    return torch.stack([g.isfinite().flatten(1).all(1) for g in gradients.values()]).all(0)


def next_scale(scale: Tree, good: Tensor) -> Tree:
    """Halved after a step without numbers; doubled after 2,000 steps with them in a row.

    As ``torch.amp.GradScaler``, lane by lane.
    """
    count = torch.where(good, scale["good"] + 1, 0)
    grown = count == _GOOD_STEPS
    factor = torch.where(good, torch.where(grown, _GROWTH, 1.0), _BACKOFF)
    return {"scale": scale["scale"] * factor, "good": torch.where(grown, 0, count)}


def kept_where(good: Tensor, new: Tree, old: Tree) -> Tree:
    """``new`` in lanes whose step counts, ``old`` in the others."""
    return {
        name: torch.where(per_lane(good, tensor), tensor, old[name]) for name, tensor in new.items()
    }


def kept_states(good: Tensor, new: State, old: State) -> State:
    return {name: kept_where(good, tree, old.get(name, tree)) for name, tree in new.items()}
