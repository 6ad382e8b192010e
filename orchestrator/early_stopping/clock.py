"""How far a run is, in the unit of a rule's durations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainables.configs.base import ENDLESS, Duration, steps_in
from trainables.configs.run import RunConfig, length


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """A run's own measure of training: batches of its first size, as schedules count them."""

    batch_size: int | None = None
    """None: the steps that a user's own function reports are all that is known."""
    per_epoch: int = 1
    total: int = ENDLESS

    @classmethod
    def of(cls, config: RunConfig, examples: int) -> Clock:
        """The clock of a run on a training set of so many examples."""
        per_epoch = max(1, examples // config.train.batch_size)
        return cls(
            batch_size=config.train.batch_size,
            per_epoch=per_epoch,
            total=length(config.train, per_epoch),
        )

    def steps(self, duration: Duration) -> int:
        """A duration in whole steps, at least one."""
        found = steps_in(duration, total_steps=self.total, steps_per_epoch=self.per_epoch)
        return max(1, found)

    def end(self, most: Duration | None) -> int:
        """The step at which a rule ends the run in any case: that of ``most``, or its last."""
        return self.total if most is None else min(self.total, self.steps(most))

    def at(self, row: Mapping[str, Any]) -> int:
        """The step of a history row."""
        if self.batch_size is None:
            return int(row["step"])
        return int(row["examples"]) // self.batch_size
