"""Optimizers. Fields that are floats vary from lane to lane; the others are shared by a pack."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from trainables.configs.base import Bound, Config, Count, Fraction, NonNegative, Positive
from trainables.configs.kronecker import Ekfac as Ekfac
from trainables.configs.kronecker import Kfac as Kfac
from trainables.configs.newton import GaussNewton, HessianFree, Lbfgs, NaturalGradient, Newton
from trainables.configs.preconditioned import AdaHessian, Shampoo, Soap, Sophia


@dataclass(frozen=True, kw_only=True, slots=True)
class Sgd(Config):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"] = "sgd"
    lr: Positive
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NonNegative = 0.0
    decoupled: bool = False
    """Weight decay apart from the gradient, as in AdamW."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""

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
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamW(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaGrad(Config):
    """AdaGrad (Duchi et al. 2011); weight decay is added to the gradient."""

    name: Literal["adagrad"] = "adagrad"
    lr: Positive = 0.01
    eps: Positive = 1e-10
    initial_accumulator: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RmsProp(Config):
    """RMSProp (Tieleman & Hinton 2012); weight decay is added to the gradient."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 0.01
    alpha: Fraction = 0.99
    """Decay rate of the mean square."""
    momentum: Fraction = 0.0
    centered: bool = False
    """Divide by the standard deviation instead (Graves 2013)."""
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaDelta(Config):
    """Adadelta (Zeiler 2012); weight decay is added to the gradient."""

    name: Literal["adadelta"] = "adadelta"
    lr: Positive = 1.0
    rho: Fraction = 0.9
    eps: Positive = 1e-6
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AmsGrad(Config):
    """AMSGrad (Reddi et al. 2018); weight decay is added to the gradient."""

    name: Literal["amsgrad"] = "amsgrad"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NAdam(Config):
    """Adam with Nesterov momentum (Dozat 2016); weight decay is added to the gradient, unless
    ``decoupled``."""

    name: Literal["nadam"] = "nadam"
    lr: Positive = 2e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    momentum_decay: NonNegative = 4e-3
    weight_decay: NonNegative = 0.0
    decoupled: bool = False
    """Weight decay apart from the gradient, as in AdamW."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RAdam(Config):
    """Rectified Adam (Liu et al. 2020); weight decay is added to the gradient, unless
    ``decoupled``."""

    name: Literal["radam"] = "radam"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    decoupled: bool = False
    """Weight decay apart from the gradient, as in AdamW."""
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adamax(Config):
    """Adam by the largest gradient (Kingma & Ba 2015); weight decay is added to the gradient."""

    name: Literal["adamax"] = "adamax"
    lr: Positive = 2e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lion(Config):
    """Lion, the sign of a momentum (Chen et al. 2023), with decoupled weight decay."""

    name: Literal["lion"] = "lion"
    lr: Positive = 1e-4
    beta1: Fraction = 0.9
    beta2: Fraction = 0.99
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lars(Config):
    """LARS (You et al. 2017): momentum with a rate for each layer."""

    name: Literal["lars"] = "lars"
    lr: Positive
    momentum: Fraction = 0.9
    trust: Positive = 1e-3
    """Trust coefficient: the size of a step, as a share of the layer's weights."""
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = True
    """Biases and norms (under two dimensions) take no weight decay and no trust ratio."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lamb(Config):
    """LAMB (You et al. 2020): Adam with a rate for each layer."""

    name: Literal["lamb"] = "lamb"
    lr: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-6
    weight_decay: NonNegative = 0.01
    skip_vectors: bool = True
    """Biases and norms (under two dimensions) take no weight decay and no trust ratio."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Muon(Config):
    """Muon (Jordan et al. 2024) for matrices, AdamW for vectors; decoupled weight decay."""

    name: Literal["muon"] = "muon"
    lr: Positive = 0.02
    momentum: Fraction = 0.95
    nesterov: bool = True
    weight_decay: NonNegative = 0.0
    """Of matrices; vectors take none."""
    ns_steps: Count = 5
    adjust_lr: Literal["original", "match_rms_adamw"] = "original"
    """How the rate depends on a matrix's shape, as in ``torch.optim.Muon``."""
    adam_ratio: Positive = 0.015
    """AdamW's rate for the vectors, as a multiple of ``lr``."""
    beta1: Fraction = 0.9
    beta2: Fraction = 0.95
    eps: Positive = 1e-8

    def __post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleFreeSgd(Config):
    """Schedule-free SGD (Defazio et al. 2024); weight decay is added to the gradient."""

    name: Literal["schedule_free_sgd"] = "schedule_free_sgd"
    lr: Positive
    momentum: Fraction = 0.9
    """Where between the last iterate (0) and the average (1) gradients are taken."""
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleFreeAdamW(Config):
    """Schedule-free AdamW (Defazio et al. 2024), with decoupled weight decay."""

    name: Literal["schedule_free_adamw"] = "schedule_free_adamw"
    lr: Positive = 2.5e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    skip_vectors: bool = False
    """Biases and norms (under two dimensions) take no weight decay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sps(Config):
    """Stochastic Polyak step (Loizou et al. 2021)."""

    name: Literal["sps"] = "sps"
    lr: Positive = 1.0
    """A factor on the step, for schedules; 1 in the paper."""
    c: Positive = 0.5
    max_step: Positive = 1.0
    """The largest step; with ``smooth``, the largest first step."""
    f_star: NonNegative = 0.0
    """The smallest loss a batch can have; 0 where the model can interpolate."""
    smooth: bool = True
    """The step grows at most twofold an epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sls(Config):
    """Stochastic line search by Armijo's rule (Vaswani et al. 2019)."""

    name: Literal["sls"] = "sls"
    lr: Positive = 1.0
    """The largest step; what schedules move."""
    c: Fraction = 0.1
    """Share of the decrease promised by the gradient that a step must bring."""
    backtrack: Annotated[float, Bound(gt=0, lt=1)] = 0.9
    """What a step that brings less is multiplied by."""
    growth: Annotated[float, Bound(ge=1)] = 2.0
    """The first step tried is the last one taken, grown at most this much an epoch."""
    trials: Count = 100
    """Steps tried at most; where none will do, the smallest is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BarzilaiBorwein(Config):
    """Barzilai–Borwein steps (1988), safeguarded; meant for full batches."""

    name: Literal["barzilai_borwein"] = "barzilai_borwein"
    lr: Positive = 1.0
    """A factor on the step, for schedules; 1 in the paper."""
    first_step: Positive = 1e-3
    min_step: Positive = 1e-10
    max_step: Positive = 1e3
    variant: Literal["long", "short"] = "long"
    """``long``: sᵀs / sᵀy; ``short``: sᵀy / yᵀy."""

    def __post_init__(self) -> None:
        if self.min_step > self.max_step:
            raise ValueError("min_step must not exceed max_step")


Optimizer = (
    Sgd
    | AdaGrad
    | RmsProp
    | AdaDelta
    | Adam
    | AdamW
    | AmsGrad
    | NAdam
    | RAdam
    | Adamax
    | Lion
    | Lars
    | Lamb
    | Muon
    | ScheduleFreeSgd
    | ScheduleFreeAdamW
    | Sps
    | Sls
    | BarzilaiBorwein
    | Shampoo
    | Soap
    | AdaHessian
    | Sophia
    | Kfac
    | Ekfac
    | Newton
    | NaturalGradient
    | GaussNewton
    | HessianFree
    | Lbfgs
)
OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adagrad": AdaGrad,
    "rmsprop": RmsProp,
    "adadelta": AdaDelta,
    "adam": Adam,
    "adamw": AdamW,
    "amsgrad": AmsGrad,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "lion": Lion,
    "lars": Lars,
    "lamb": Lamb,
    "muon": Muon,
    "schedule_free_sgd": ScheduleFreeSgd,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "sps": Sps,
    "sls": Sls,
    "barzilai_borwein": BarzilaiBorwein,
    "shampoo": Shampoo,
    "soap": Soap,
    "adahessian": AdaHessian,
    "sophia": Sophia,
    "kfac": Kfac,
    "ekfac": Ekfac,
    "newton": Newton,
    "natural_gradient": NaturalGradient,
    "gauss_newton": GaussNewton,
    "hessian_free": HessianFree,
    "lbfgs": Lbfgs,
}


def momentum_field(optimizer: Optimizer) -> str | None:
    """The field that a schedule can cycle: ``momentum``, or else ``beta1``."""
    names = {field.name for field in fields(optimizer)}
    return next((name for name in ("momentum", "beta1") if name in names), None)
