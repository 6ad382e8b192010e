"""Frozen dataclasses of every configurable thing, and the tables that name them."""

from trainables.configs.base import Config as Config
from trainables.configs.base import Duration as Duration
from trainables.configs.base import steps_in as steps_in
from trainables.configs.base import to_plain as to_plain
from trainables.configs.data import DATA as DATA
from trainables.configs.data import Data as Data
from trainables.configs.data import Digits as Digits
from trainables.configs.data import UserData as UserData
from trainables.configs.models import MODELS as MODELS
from trainables.configs.models import Mlp as Mlp
from trainables.configs.models import Model as Model
from trainables.configs.models import UserModel as UserModel
from trainables.configs.optimizers import OPTIMIZERS as OPTIMIZERS
from trainables.configs.optimizers import Optimizer as Optimizer
from trainables.configs.run import HIGHER_IS_BETTER as HIGHER_IS_BETTER
from trainables.configs.run import SCORES as SCORES
from trainables.configs.run import Metric as Metric
from trainables.configs.run import RunConfig as RunConfig
from trainables.configs.run import Target as Target
from trainables.configs.run import Train as Train
from trainables.configs.run import evaluation_interval as evaluation_interval
from trainables.configs.run import fusion_key as fusion_key
from trainables.configs.run import length as length
from trainables.configs.run import run_id as run_id
from trainables.configs.schedules import SCHEDULES as SCHEDULES
from trainables.configs.schedules import Schedule as Schedule
