"""One YAML study → typed, validated configurations. Imports neither torch nor Ray."""

from orchestrator.spec.errors import Problem as Problem
from orchestrator.spec.errors import SpecError as SpecError
from orchestrator.spec.load import load_study as load_study
from orchestrator.spec.schema import json_schema as json_schema
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
