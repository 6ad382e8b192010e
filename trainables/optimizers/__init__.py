"""Optimizers by name. A new one is one file here and one class in ``configs.optimizers``."""

from trainables.optimizers.adagrad import adadelta, adagrad
from trainables.optimizers.adahessian import adahessian
from trainables.optimizers.adam import adam, adamw, amsgrad
from trainables.optimizers.adam_variants import adamax, nadam, radam
from trainables.optimizers.barzilai_borwein import barzilai_borwein
from trainables.optimizers.base import Context as Context
from trainables.optimizers.base import Hyper as Hyper
from trainables.optimizers.base import Optimizer as Optimizer
from trainables.optimizers.ekfac import ekfac
from trainables.optimizers.gauss_newton import gauss_newton
from trainables.optimizers.hessian_free import hessian_free
from trainables.optimizers.kfac import kfac
from trainables.optimizers.layerwise import lamb, lars
from trainables.optimizers.lbfgs import lbfgs
from trainables.optimizers.line_search import sls
from trainables.optimizers.lion import lion
from trainables.optimizers.muon import muon
from trainables.optimizers.newton import natural_gradient, newton
from trainables.optimizers.polyak import sps
from trainables.optimizers.rmsprop import rmsprop
from trainables.optimizers.schedule_free import schedule_free_adamw, schedule_free_sgd
from trainables.optimizers.sgd import sgd
from trainables.optimizers.shampoo import shampoo
from trainables.optimizers.soap import soap
from trainables.optimizers.sophia import sophia

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": sgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adadelta": adadelta,
    "adam": adam,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "nadam": nadam,
    "radam": radam,
    "adamax": adamax,
    "lion": lion,
    "lars": lars,
    "lamb": lamb,
    "muon": muon,
    "schedule_free_sgd": schedule_free_sgd,
    "schedule_free_adamw": schedule_free_adamw,
    "sps": sps,
    "sls": sls,
    "barzilai_borwein": barzilai_borwein,
    "shampoo": shampoo,
    "soap": soap,
    "adahessian": adahessian,
    "sophia": sophia,
    "kfac": kfac,
    "ekfac": ekfac,
    "newton": newton,
    "natural_gradient": natural_gradient,
    "gauss_newton": gauss_newton,
    "hessian_free": hessian_free,
    "lbfgs": lbfgs,
}
