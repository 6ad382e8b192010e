"""The learning rate of a lane that follows its own metric: ``ReduceLROnPlateau``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from trainables.configs.base import steps_in
from trainables.configs.run import RunConfig, length
from trainables.configs.schedules import Plateau
from trainables.schedules import Probe

_KEPT = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")


class LanePlateau:
    """PyTorch's own scheduler for one lane, stepped at its evaluations after warmup.

    Deviation: PyTorch leaves out reductions below 10⁻⁸ in absolute terms; here there is no such
    limit, so that a study's unit of learning rate does not matter.
    """

    def __init__(self, schedule: Plateau, run: RunConfig, steps_per_epoch: int) -> None:
        total = length(run.train, steps_per_epoch)
        self._warmup = steps_in(schedule.warmup, total_steps=total, steps_per_epoch=steps_per_epoch)
        self._metric = schedule.metric
        self._probe = Probe(run.optimizer.lr)
        self._scheduler = ReduceLROnPlateau(
            self._probe,
            factor=schedule.factor,
            patience=schedule.patience,
            threshold=schedule.threshold,
            cooldown=schedule.cooldown,
            min_lr=schedule.final * run.optimizer.lr,
            eps=0.0,
        )

    @property
    def lr(self) -> float:
        """The rate of the steps to come, once warmup is over."""
        return float(self._probe.param_groups[0]["lr"])

    def observe(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Shows it the metrics after ``step`` steps; whether the rate has changed."""
        if step <= self._warmup:
            return False
        before = self.lr
        self._scheduler.step(metrics[self._metric])
        return self.lr != before

    def state_dict(self) -> dict[str, Any]:
        kept = {name: getattr(self._scheduler, name) for name in _KEPT}
        return {**kept, "lr": self.lr}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self._scheduler, name, saved[name])
        self._probe.param_groups[0]["lr"] = saved["lr"]


def of(run: RunConfig, steps_per_epoch: int) -> LanePlateau | None:
    """The plateau that a run's schedule asks for, if it does."""
    if isinstance(run.schedule, Plateau):
        return LanePlateau(run.schedule, run, steps_per_epoch)
    return None
