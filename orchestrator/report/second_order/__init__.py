"""Statistics of optimizers compared at equal tuning: frames in, figures out. Nothing is drawn."""

from orchestrator.report.second_order.profile import performance_profile, score
from orchestrator.report.second_order.to_target import Tuned, bootstrap, tuned
from orchestrator.report.second_order.trials import trials
from orchestrator.report.second_order.tuning import best_of, reach_of

__all__ = [
    "Tuned",
    "best_of",
    "bootstrap",
    "performance_profile",
    "reach_of",
    "score",
    "trials",
    "tuned",
]
