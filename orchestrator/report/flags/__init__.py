"""What to doubt in a study's results: one function a doubt, each silent where there is none.

After the Deep Learning Tuning Playbook (Godbole, Dahl, Gilmer, Shallue & Nado 2023), "Extracting
insight from experimental results".
"""

from collections.abc import Callable

from orchestrator.report.flags.courses import noisy, overfitting, still_improving
from orchestrator.report.flags.model import Flag as Flag
from orchestrator.report.flags.ranges import at_an_edge, near_divergence
from orchestrator.report.flags.seeds import too_few_seeds
from orchestrator.report.results import Results

FLAGS: dict[str, Callable[[Results], list[Flag] | None]] = {
    "the best lies inside what was tried": at_an_edge,
    "the best learning rate keeps away from divergence": near_divergence,
    "training was long enough": still_improving,
    "no overfitting": overfitting,
    "evaluations are steady": noisy,
    "seeds are enough to tell the best from the next": too_few_seeds,
}
"""What holds where a function has nothing to say, and the function; None: it cannot judge."""
