"""Optimizers. Fields that are floats vary from lane to lane; the others are shared by a pack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainables.configs.base import Config, Fraction, NonNegative, Positive


@dataclass(frozen=True, kw_only=True, slots=True)
class Sgd(Config):
    """Stochastic gradient descent with (Nesterov) momentum and coupled weight decay."""

    name: Literal["sgd"] = "sgd"
    lr: Positive
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Adam(Config):
    """Adam (Kingma & Ba 2015); weight decay is added to the gradient."""

    name: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01


Optimizer = Sgd | Adam | AdamW
OPTIMIZERS: dict[str, type[Sgd] | type[Adam] | type[AdamW]] = {
    "sgd": Sgd,
    "adam": Adam,
    "adamw": AdamW,
}
