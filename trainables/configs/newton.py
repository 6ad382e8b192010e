"""Optimizers that solve with a curvature matrix of all weights, or with estimates of one.

Fields that are floats vary from lane to lane; the others are shared by a pack.
"""

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

AtLeastOne = Annotated[float, Bound(ge=1)]
Shrinking = Annotated[float, Bound(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Newton(Config):
    """Newton's method with the exact Hessian, damped; small models only."""

    name: Literal["newton"] = "newton"
    lr: Positive = 1.0
    """A share of Newton's step."""
    damping: NonNegative = 1e-3
    """Added to the Hessian's diagonal (ours: Newton's method has none)."""
    saddle: Literal["plain", "free"] = "plain"
    """``free``: the Hessian's eigenvalues without their signs (Dauphin et al. 2014)."""
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0
    """Part of the loss and of its Hessian."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""
    max_parameters: Count = 5000
    """Larger models are refused: a lane holds the square of that many numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NaturalGradient(Config):
    """Natural gradient with the Fisher matrix of all weights (Amari 1998); small models only."""

    name: Literal["natural_gradient"] = "natural_gradient"
    lr: Positive
    fisher: Literal["exact", "empirical"] = "exact"
    """``exact``: targets as the model expects them; ``empirical``: those of the data."""
    damping: NonNegative = 1e-3
    """Added to the matrix's diagonal (ours: Amari has none)."""
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0
    """Part of the loss and of the matrix."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""
    max_parameters: Count = 5000
    """Larger models are refused: a lane holds the square of that many numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussNewton(Config):
    """Generalized Gauss–Newton with Levenberg–Marquardt damping; small models only."""

    name: Literal["gauss_newton"] = "gauss_newton"
    lr: Positive = 1.0
    """A share of the step."""
    damping: NonNegative = 1.0
    """Where the damping starts (ours); 0: none at all."""
    damping_factor: AtLeastOne = 1.5
    """What it is multiplied or divided by (Martens 2010: 3/2); 1: it stays."""
    weight_decay: NonNegative = 0.0
    """Part of the loss and of the matrix."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""
    max_parameters: Count = 5000
    """Larger models are refused: a lane holds the square of that many numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HessianFree(Config):
    """Hessian-free optimization (Martens 2010): truncated conjugate gradients."""

    name: Literal["hessian_free"] = "hessian_free"
    lr: Positive = 1.0
    """The first step that the line search tries, as a share of the direction."""
    damping: NonNegative = 1.0
    """Where the damping starts (ours); 0: none at all."""
    damping_factor: AtLeastOne = 1.5
    """What it is multiplied or divided by (Martens 2010: 3/2); 1: it stays."""
    decay: Fraction = 0.95
    """Conjugate gradients start at so much of the last direction."""
    cg_iterations: Count = 250
    """At most."""
    cg_tolerance: Positive = 5e-4
    """They end where the relative progress an iteration is below that (Martens 2010)."""
    preconditioner: Literal["empirical_fisher", "none"] = "empirical_fisher"
    """``empirical_fisher``: by its diagonal; not with batch normalization."""
    exponent: PositiveFraction = 0.75
    """Of the preconditioner (Martens 2010: 3/4)."""
    c: Fraction = 0.01
    """Share of the decrease promised by the gradient that a step must bring."""
    backtrack: Shrinking = 0.8
    """What a step that brings less is multiplied by."""
    trials: Count = 60
    """Steps tried at most; where none will do, none is taken."""
    weight_decay: NonNegative = 0.0
    """Part of the loss and of the matrix."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lbfgs(Config):
    """Limited-memory BFGS (Liu & Nocedal 1989), of full batches or of many (oLBFGS)."""

    name: Literal["lbfgs"] = "lbfgs"
    lr: Positive = 1.0
    """The step, or the first one that the line search tries, as a share of the direction."""
    history: Count = 10
    """Pairs kept."""
    line_search: Literal["strong_wolfe", "fixed"] = "strong_wolfe"
    c1: Fraction = 1e-4
    """Share of the decrease promised by the gradient that a step must bring."""
    c2: PositiveFraction = 0.9
    """Share of the slope that a step may leave."""
    trials: Count = 25
    """Steps tried at most; then the best one so far is taken."""
    eps: Positive = 1e-10
    """A pair counts where yᵀs is above this share of |y||s|."""
    pair_damping: NonNegative = 0.0
    """λ of y + λs (Schraudolph et al. 2007), for small batches."""
    weight_decay: NonNegative = 0.0
    """Part of the loss."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""

    def __post_init__(self) -> None:
        if self.c1 >= self.c2:
            raise ValueError("c1 must be below c2")


Dense = Newton | NaturalGradient | GaussNewton
"""Methods with a matrix of all weights of a lane."""
