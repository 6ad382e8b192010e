"""Optimizers with Kronecker-factored curvature: K-FAC and E-KFAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainables.configs.base import Config, Count, Fraction, NonNegative, Positive

Fisher = Literal["sampled", "empirical", "exact"]
"""Whose targets the gradients are of that a Fisher matrix is made of: drawn from the model's own
predictions; those of the training set; or all that the model could draw, by their chances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kfac(Config):
    """K-FAC (Martens & Grosse 2015, Grosse & Martens 2016).

    Rate, damping, decay of averages, clipping and how often factors are looked at are as in the
    implementation of Pauloski et al. 2020 (kfac-pytorch).
    """

    name: Literal["kfac"] = "kfac"
    lr: Positive = 0.1
    damping: NonNegative = 1e-3
    """λ, what is added to the curvature."""
    pi: bool = True
    """The damping is divided among the two factors by their mean eigenvalues; without, equally."""
    stat_decay: Fraction = 0.95
    """Of the running averages of the factors, once they are of enough batches."""
    fisher: Fisher = "sampled"
    statistics_every: Count = 10
    """Steps from one look at the factors to the next."""
    inverse_every: Count = 50
    """Steps from one inversion to the next; in the first so many, whenever the factors change."""
    kl_clip: NonNegative = 1e-3
    """What a step may change the predictions by, as a Kullback–Leibler divergence; 0: anything."""
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    decoupled: bool = False
    """Weight decay apart from the gradient, as in AdamW."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ekfac(Config):
    """E-KFAC, K-FAC with measured eigenvalues (George et al. 2018)."""

    name: Literal["ekfac"] = "ekfac"
    lr: Positive = 0.1
    damping: NonNegative = 1e-3
    """λ, what is added to the eigenvalues."""
    stat_decay: Fraction = 0.95
    """Of the running averages of factors and eigenvalues, once they are of enough batches."""
    fisher: Fisher = "sampled"
    statistics_every: Count = 10
    """Steps from one look at factors and eigenvalues to the next."""
    inverse_every: Count = 100
    """Steps from one eigenbasis to the next; in the first so many, whenever the factors change."""
    kl_clip: NonNegative = 1e-3
    """What a step may change the predictions by, as a Kullback–Leibler divergence; 0: anything."""
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    decoupled: bool = False
    """Weight decay apart from the gradient, as in AdamW."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""
