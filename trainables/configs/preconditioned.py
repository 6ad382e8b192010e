"""Optimizers that precondition: Shampoo and SOAP by Kronecker factors of the gradients,
AdaHessian and Sophia by the diagonal of the curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from trainables.configs.base import (
    Bound,
    Config,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveFraction,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shampoo(Config):
    """Shampoo (Gupta et al. 2018; Anil et al. 2020), with decoupled weight decay."""

    name: Literal["shampoo"] = "shampoo"
    lr: Positive = 0.1
    momentum: Fraction = 0.9
    nesterov: bool = False
    decay: PositiveFraction = 1.0
    """Of the statistics; 1: they are summed, as in the paper."""
    eps: Positive = 1e-6
    """Added to the statistics' eigenvalues."""
    ridge: NonNegative = 0.0
    """Added to them as well, as a share of the largest."""
    statistics_every: Count = 1
    preconditioner_every: Count = 10
    """Steps from one computation of the inverse roots to the next."""
    start: Annotated[int, Bound(ge=0)] = 5
    """Steps of the grafted method alone at first, while statistics are gathered."""
    block_size: Count = 512
    """Larger dimensions are cut into blocks, which have statistics of their own."""
    kernels: Literal["tensor", "matrix"] = "tensor"
    """A convolution's kernel has statistics for each dimension, or is a matrix (out, rest)."""
    grafting: Literal["none", "sgd", "adagrad", "rmsprop", "adam"] = "adagrad"
    """Whose length each layer's step has."""
    diagonal_decay: Fraction = 0.999
    """Of the second moments of ``rmsprop`` and ``adam``."""
    diagonal_eps: Positive = 1e-10
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""

    def __post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Soap(Config):
    """SOAP (Vyas et al. 2024): Adam in Shampoo's eigenbasis, with decoupled weight decay."""

    name: Literal["soap"] = "soap"
    lr: Positive = 3e-3
    beta1: Fraction = 0.95
    beta2: Fraction = 0.95
    statistics_decay: Fraction = 0.95
    """Of the statistics whose eigenbasis it is."""
    eps: Positive = 1e-8
    precondition_every: Count = 10
    """Steps from one iteration of the eigenbases to the next."""
    max_dimension: Count = 10000
    """Larger dimensions keep their own basis."""
    kernels: Literal["tensor", "matrix"] = "tensor"
    """A convolution's kernel has a basis for each dimension, or is a matrix (out, rest)."""
    weight_decay: NonNegative = 0.01
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaHessian(Config):
    """AdaHessian (Yao et al. 2021), with decoupled weight decay."""

    name: Literal["adahessian"] = "adahessian"
    lr: Positive = 0.15
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-4
    hessian_power: PositiveFraction = 1.0
    """1 divides by the Hessian's diagonal, a half by its square root."""
    hessian_every: Count = 1
    """Steps from one estimate of the diagonal to the next."""
    samples: Count = 1
    """Random vectors an estimate."""
    average_kernels: bool = True
    """A convolution's kernels (height × width) have one number each."""
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sophia(Config):
    """Sophia (Liu et al. 2023), with decoupled weight decay."""

    name: Literal["sophia"] = "sophia"
    lr: Positive = 6e-4
    beta1: Fraction = 0.96
    beta2: Fraction = 0.99
    rho: Positive = 0.05
    """Factor on the curvature: the smaller, the more entries are clipped. γ in the paper."""
    eps: Positive = 1e-12
    estimator: Literal["gauss_newton_bartlett", "hutchinson"] = "gauss_newton_bartlett"
    """Of the curvature's diagonal: Sophia-G or Sophia-H."""
    hessian_every: Count = 10
    """Steps from one estimate of the diagonal to the next."""
    weight_decay: NonNegative = 0.2
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""
