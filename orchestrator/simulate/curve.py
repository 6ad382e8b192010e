"""What a run would report, had it been trained: known beforehand, to be replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.early_stopping import Clock
from trainables.configs.function_run import Run


class SimulateError(Exception):
    """What was asked for cannot be simulated. The message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One entry an evaluation, in order."""

    batches: Sequence[int]
    """Batches of the first size until then; the steps that are reported, of a user's training."""
    steps: Sequence[int]
    epochs: Sequence[float]
    examples: Sequence[int]
    values: Mapping[str, Sequence[float]]
    """Metric → its values; what was not measured is NaN."""
    status: str = "completed"
    """How the run ends by itself."""
    reason: str = "trained to the end"

    def row(self, run_id: str, index: int, seconds: float) -> dict[str, Any]:
        """The history row of an evaluation."""
        row: dict[str, Any] = {
            "run_id": run_id,
            "level": 0,
            "step": self.steps[index],
            "epoch": self.epochs[index],
            "examples": self.examples[index],
            "seconds": seconds,
        }
        return row | self.measured(index)

    def measured(self, index: int) -> dict[str, float]:
        """Metric → value at an evaluation, as far as it was measured."""
        found = {name: column[index] for name, column in self.values.items()}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def final(self, metric: str) -> float:
        """The value at the end; NaN where the run diverges."""
        return self.values[metric][-1] if self.status == "completed" else math.nan


class Curves(Protocol):
    """Gives each run its curve."""

    def of(self, run_id: str, run: Run) -> Curve: ...

    def clock(self, run: Run) -> Clock:
        """The run's own measure of training."""

    def notes(self) -> list[str]:
        """What a reader of the results should know of the curves that were asked for."""
