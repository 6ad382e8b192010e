"""Rules that end runs early, asked after every evaluation of a run."""

from orchestrator.early_stopping.clock import Clock as Clock
from orchestrator.early_stopping.rules import Rules as Rules
from orchestrator.early_stopping.rules import make_rules as make_rules
