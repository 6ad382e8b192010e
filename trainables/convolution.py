"""Convolutions of a stack as batched matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def has_convolutions(module: nn.Module) -> bool:
    """Weight normalization's are none of PyTorch's; they say so by ``convolves``."""
    return any(
        isinstance(layer, nn.Conv2d) or getattr(layer, "convolves", False)
        for layer in module.modules()
    )


class Unfolded(TorchFunctionMode):
    """While active, ``F.conv2d`` unfolds its images and multiplies: y = W · unfold(x) + b.

    Under ``vmap`` over weights a convolution becomes one with a group for each lane, this one
    a batched product (L·B, out, in·k²) × (in·k², H·W): which is faster depends on device and
    shapes. Equal to the convolution up to rounding. Grouped and dilated convolutions, and
    padding by name, stay as they are.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        return _conv2d(*args, **options) if func is F.conv2d else func(*args, **options)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """x (B, in, H, W), weight (out, in, k, k') → (B, out, H', W'), as ``F.conv2d``."""
    if isinstance(padding, str) or groups != 1 or _pair(dilation) != (1, 1):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    size, step, around = tuple(weight.shape[-2:]), _pair(stride), _pair(padding)
    columns = F.unfold(x, size, padding=around, stride=step)  # (B, in·k·k', H'·W')
    product = torch.matmul(weight.flatten(1), columns)
    if bias is not None:
        product = product + bias.unsqueeze(-1)
    height, width = (
        (side + 2 * pad - kernel) // by + 1
        for side, pad, kernel, by in zip(x.shape[-2:], around, size, step, strict=True)
    )
    return product.view(*product.shape[:2], height, width)
