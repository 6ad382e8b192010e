"""One YAML study → typed, validated configurations. Imports neither torch nor Ray."""

from orchestrator.spec.errors import Problem as Problem
from orchestrator.spec.errors import SpecError as SpecError
from orchestrator.spec.load import load_study as load_study
from orchestrator.spec.ranges import Range as Range
from orchestrator.spec.schema import json_schema as json_schema
from orchestrator.spec.searches import Grid as Grid
from orchestrator.spec.searches import Optuna as Optuna
from orchestrator.spec.searches import Pbt as Pbt
from orchestrator.spec.searches import Random as Random
from orchestrator.spec.searches import Searcher as Searcher
from orchestrator.spec.searches import Sobol as Sobol
from orchestrator.spec.space import Condition as Condition
from orchestrator.spec.space import Dimension as Dimension
from orchestrator.spec.space import PointError as PointError
from orchestrator.spec.space import Space as Space
from orchestrator.spec.study import Execution as Execution
from orchestrator.spec.study import Minutes as Minutes
from orchestrator.spec.study import Objective as Objective
from orchestrator.spec.study import OwnExecution as OwnExecution
from orchestrator.spec.study import OwnObjective as OwnObjective
from orchestrator.spec.study import Report as Report
from orchestrator.spec.study import Resources as Resources
from orchestrator.spec.study import Study as Study
from orchestrator.spec.study import Tracking as Tracking
from orchestrator.spec.template import template as template
