"""Layers whose curvature is a Kronecker product, and what passed through them as rows."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.forward import Network
from trainables.lanes import Tree

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer or convolution: a matrix, by which every row of its inputs is multiplied.

    Its weight and bias together are (out, in), a bias being the weight of an input that is 1
    (Martens & Grosse 2015, section 2).
    """

    name: str
    """The module's in the network: never that of a parameter."""
    weight: str
    bias: str | None
    module: nn.Linear | nn.Conv1d | nn.Conv2d

    @property
    def inputs(self) -> int:
        """Of a convolution the numbers of a patch; with a bias one more."""
        return math.prod(self.module.weight.shape[1:]) + (self.bias is not None)

    @property
    def outputs(self) -> int:
        return self.module.weight.shape[0]

    def matrix(self, tree: Tree) -> Tensor:
        """The layer's entries of a tree like the parameters as (L, out, in)."""
        weight = tree[self.weight].flatten(2)
        if self.bias is None:
            return weight
        return torch.cat([weight, tree[self.bias].unsqueeze(-1)], -1)

    def entries(self, matrix: Tensor) -> Tree:
        """The way back from ``matrix``: views of it, where the weight is a matrix."""
        shape = self.module.weight.shape
        if self.bias is None:
            return {self.weight: matrix.reshape(-1, *shape)}
        weight = matrix[..., :-1].reshape(-1, *shape) if len(shape) > 2 else matrix[..., :-1]
        return {self.weight: weight, self.bias: matrix[..., -1]}

    def input_rows(self, x: Tensor) -> Tensor:
        """What the layer's matrix is multiplied by, (L, N, T, in).

        N is the examples, T the places where the matrix is used in each: 1, the tokens of a
        sequence, or the pixels of a convolution's output, whose rows are patches.

        Args:
            x: the layer's inputs in all lanes, (L, N, …).
        """
        rows = _patches(self.module, x) if _convolves(self.module) else _rows(x)
        if self.bias is None:
            return rows
        return torch.cat([rows, rows.new_ones(*rows.shape[:-1], 1)], -1)

    def output_rows(self, g: Tensor) -> Tensor:
        """Gradients by the layer's outputs (L, N, …) as (L, N, T, out)."""
        if not _convolves(self.module):
            return _rows(g)
        batched = g if g.dim() == self.module.weight.dim() + 1 else g.unsqueeze(1)
        return batched.flatten(3).mT


@functools.lru_cache(maxsize=32)
def factored(network: Network) -> tuple[Layer, ...]:
    """The layers of a network that are ``Layer``, in its order.

    Linear layers and convolutions of PyTorch's own, wherever they stand. Not: a weight that
    several modules share (an embedding and the outputs, say), a layer under weight normalization
    or a parametrization, groups, padding with anything but zeros, projections of
    ``nn.MultiheadAttention``. Those, embeddings and normalizations have no Kronecker factors.

    Remembered, as every step asks for them: a network's skeleton never changes.
    """
    named = {id(param): name for name, param in network.module.named_parameters()}
    used = Counter(id(p) for _, p in network.module.named_parameters(remove_duplicate=False))
    found = []
    for name, module in network.module.named_modules():
        if type(module) not in _KINDS:
            continue
        assert isinstance(module, _KINDS)
        own = [p for p in (module.weight, module.bias) if p is not None]
        if all(used[id(p)] == 1 for p in own) and _is_plain(module):
            weight, *bias = (named[id(p)] for p in own)
            found.append(Layer(name, weight, bias[0] if bias else None, module))
    return tuple(found)


def _is_plain(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv1d | nn.Conv2d):
        return True
    return module.groups == 1 and module.padding_mode == "zeros"


def _convolves(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv1d | nn.Conv2d)


def _rows(x: Tensor) -> Tensor:
    """(L, N, …, C) → (L, N, T, C); (L, C) → (L, 1, 1, C)."""
    if x.dim() == 2:
        return x[:, None, None]
    return x.flatten(2, -2) if x.dim() > 3 else x.unsqueeze(2)


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    """The patches that a convolution multiplies by its weights, (L, N, T, in·k·k')."""
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    if x.dim() == module.weight.dim():
        x = x.unsqueeze(1)  # one example without its dimension
    images = x.flatten(0, 1)
    kernel, stride, dilation = module.kernel_size, module.stride, module.dilation
    images = F.pad(images, _padding(module))
    if isinstance(module, nn.Conv1d):
        images = images.unsqueeze(-2)
        kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
    columns = F.unfold(images, kernel, dilation=dilation, stride=stride)
    return columns.mT.reshape(*x.shape[:2], columns.shape[-1], columns.shape[-2])


def _padding(module: nn.Conv1d | nn.Conv2d) -> list[int]:
    """As ``F.pad`` takes it: the last dimension first, before and behind each."""
    sides: list[int] = []
    for dim in reversed(range(len(module.kernel_size))):
        if module.padding == "same":
            whole = module.dilation[dim] * (module.kernel_size[dim] - 1)
            sides += [whole // 2, whole - whole // 2]
        elif module.padding == "valid":
            sides += [0, 0]
        else:
            sides += [int(module.padding[dim])] * 2
    return sides
