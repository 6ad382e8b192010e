"""Models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.configs.base import Config, Count

Activation = Literal["relu", "tanh", "gelu", "sigmoid", "linear"]
Norm = Literal["none", "batch", "layer"]
Init = Literal["torch", "lecun", "xavier", "kaiming", "orthogonal"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mlp(Config):
    """A fully connected network: linear, normalization, activation, for each hidden layer."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Count, ...] = (64, 32)
    """Widths of the hidden layers; an empty list is a linear classifier."""
    activation: Activation = "relu"
    norm: Norm = "none"
    init: Init = "torch"
    skip: bool = False
    """Add a hidden layer's input to its output wherever the widths agree."""
    bias: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class UserModel(Config):
    """``module:callable`` that returns a ``torch.nn.Module``; it need not know about lanes."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


Model = Mlp | UserModel
MODELS: dict[str, type[Mlp]] = {"mlp": Mlp}
