"""Studies on virtual time: learning curves replayed against searches and rules."""

from orchestrator.simulate.compare import Simulation as Simulation
from orchestrator.simulate.compare import compare as compare
from orchestrator.simulate.curve import SimulateError as SimulateError
from orchestrator.simulate.machine import Machine as Machine
from orchestrator.simulate.machine import machine_for as machine_for
from orchestrator.simulate.pace import Pace as Pace
from orchestrator.simulate.variants import named_rules as named_rules
from orchestrator.simulate.variants import named_searches as named_searches
