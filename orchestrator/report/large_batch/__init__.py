"""Statistics of large-batch scaling: frames in, figures out. Nothing is drawn here."""

from orchestrator.report.large_batch.fit import Bound, Fit, fit, leaves_perfect
from orchestrator.report.large_batch.rates import Exponent, exponent, sensitivity
from orchestrator.report.large_batch.trials import best, points, trials

__all__ = [
    "Bound",
    "Exponent",
    "Fit",
    "best",
    "exponent",
    "fit",
    "leaves_perfect",
    "points",
    "sensitivity",
    "trials",
]
