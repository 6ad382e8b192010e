"""Optimizers by name. A new one is one file here and one class in ``configs.optimizers``."""

from trainables.optimizers.adam import adam, adamw
from trainables.optimizers.base import Hyper as Hyper
from trainables.optimizers.base import Optimizer as Optimizer
from trainables.optimizers.sgd import sgd

OPTIMIZERS: dict[str, Optimizer] = {"sgd": sgd, "adam": adam, "adamw": adamw}
