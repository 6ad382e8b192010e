"""A user's own modules, as the engine meets them: nothing in them knows of lanes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Convolutional(nn.Module):
    """A 1-d convolution, batch norm, dropout and a residual connection."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(4)
        self.mix = nn.Conv1d(4, 4, 1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4 * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.convolution(x.unsqueeze(1))))
        hidden = hidden + self.mix(hidden)
        return self.head(self.drop(hidden.flatten(1)))  # type: ignore[no-any-return]


def convolutional(input_shape: Sequence[int], outputs: int, dropout: float = 0.0) -> nn.Module:
    return Convolutional(input_shape[0], outputs, dropout)


class Fragile(nn.Module):
    """Raises once its first weight exceeds a bound: one bad run among good ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 13 and not torch._C._functorch.is_batchedtensor(self.linear.weight):
            if self.linear.weight.abs().max() > 50:
                raise ValueError("weights exploded")
        elif self.training:
            raise RuntimeError("cannot be vmapped")
        return self.linear(x)  # type: ignore[no-any-return]


def fragile(input_shape: Sequence[int], outputs: int) -> nn.Module:
    return Fragile(input_shape[0], outputs)


def not_a_module() -> int:
    return 3


class Raising(nn.Linear):
    """Cannot be trained at all."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("not today")


def raising(input_shape: Sequence[int], outputs: int) -> nn.Module:
    return Raising(input_shape[0], outputs)


class Shared(nn.Module):
    """Two layers with one weight, and a buffer that no checkpoint keeps."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, inputs)
        self.second = nn.Linear(inputs, inputs)
        self.second.weight = self.first.weight
        self.head = nn.Linear(inputs, outputs)
        self.register_buffer("gain", torch.tensor(0.5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)) * self.gain)))


def shared(input_shape: Sequence[int], outputs: int) -> nn.Module:
    return Shared(input_shape[0], outputs)


class Branching(nn.Module):
    """Looks at its numbers to decide what to compute: ``torch.compile`` must go around it."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(features, 3), nn.Linear(3, outputs)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        hidden = hidden.tanh() if float(hidden.detach().sum()) > 0 else hidden.relu()
        return self.second(hidden)  # type: ignore[no-any-return]


def branching(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Branching(input_shape[0], outputs)
