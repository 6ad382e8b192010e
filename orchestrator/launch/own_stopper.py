"""Early stopping of a training of the user's own, by Tune's public way: a stopper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune

from orchestrator.early_stopping import Rules
from trainables.ray_function import FAILURE
from trainables.reports import has_diverged, numbers


class OwnStopper(tune.Stopper):  # type: ignore[misc]  # ray has no types
    """Is asked by Tune of each result, before the recorder sees it.

    A budget of the study ends the launch instead: what has not ended goes on where it is raised.
    """

    # Declared here, since the base class has no types.
    reasons: dict[str, str]
    """run_id → why it was stopped."""
    runs: dict[str, str]
    """trial_id → run_id, kept by the recorder."""

    def __init__(self, rules: Rules, metric: str) -> None:
        """
        Args:
            metric: the objective: a run diverges where it is no finite number.
        """
        self._rules = rules
        self._metric = metric
        self.reasons = {}
        self.runs = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles it for a restore, which Regatta does not use."""
        return {}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether the trial ends with this result."""
        if FAILURE in result:
            return False
        values = numbers(result)
        ended = bool(result.get("done")) or has_diverged(values, self._metric)
        row = {
            **values,
            "run_id": self.runs[trial_id],
            "step": int(values.get("step", result["training_iteration"])),
            "seconds": float(result["time_total_s"]),
        }
        reason = self._rules.observe(row, ended=ended)
        if reason is not None:
            self.reasons[self.runs[trial_id]] = reason
        return reason is not None

    def stop_all(self) -> bool:
        """Whether the study has used up its budget."""
        return self._rules.used_up() is not None
