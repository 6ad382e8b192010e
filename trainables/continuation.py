"""Whether a longer run can go on from a shorter one: whether they are the same up to there."""

from __future__ import annotations

from functools import lru_cache

import torch

from trainables.configs.base import Duration, steps_in
from trainables.configs.run import RunConfig, evaluation_interval, length, step_ends
from trainables.configs.schedules import Plateau, Schedule
from trainables.schedules import course
from trainables.user_code import UserCodeError


def obstacle(short: RunConfig, long: RunConfig, at: int, steps_per_epoch: int) -> str | None:
    """What makes training ``long`` up to batch ``at`` other than ``short`` was; None: nothing.

    The two differ in ``train.epochs`` and ``train.steps`` only, and ``short`` was trained up to
    ``at``. What a step does depends on the length through the tables of its learning rate and
    momentum, the ends of steps that take several batches, when weights are averaged, and when a
    plateau begins to look; those are compared themselves. Data order, augmentation and dropout
    are functions of the seed and the step.
    """
    if evaluation_interval(short.train, steps_per_epoch) != evaluation_interval(
        long.train, steps_per_epoch
    ):
        return "train.evaluate_every depends on the length of training"
    ends = [step_ends(run.train, steps_per_epoch, at) for run in (short, long)]
    if ends[0] != ends[1]:
        return "train.batch_growth depends on the length of training"
    if not _averaged_alike(short, long, at, steps_per_epoch):
        return "train.swa depends on the length of training"
    totals = (length(short.train, steps_per_epoch), length(long.train, steps_per_epoch))
    if not _same_course(short.schedule, *totals, at, steps_per_epoch):
        return f"{short.schedule.name} depends on the length of training"
    return None


def _averaged_alike(short: RunConfig, long: RunConfig, at: int, steps_per_epoch: int) -> bool:
    """Whether the weights were averaged at the same steps; an exponential average always is."""
    if short.train.swa is None or long.train.swa is None:
        return True

    def measured(run: RunConfig) -> tuple[int, int]:
        assert run.train.swa is not None
        swa, total = run.train.swa, length(run.train, steps_per_epoch)
        return (
            steps_in(swa.start, total_steps=total, steps_per_epoch=steps_per_epoch),
            max(1, steps_in(swa.every, total_steps=total, steps_per_epoch=steps_per_epoch)),
        )

    (start, every), (other, other_every) = measured(short), measured(long)
    return min(start, other) > at or (start == other and every == other_every)


@lru_cache(maxsize=8192)
def _same_course(
    schedule: Schedule, total: int, longer: int, at: int, steps_per_epoch: int
) -> bool:
    """Whether the tables of two lengths agree up to ``at``, at a peak of 1: all scale with it."""
    if isinstance(schedule, Plateau):
        return _steps(schedule.warmup, total, steps_per_epoch) == _steps(
            schedule.warmup, longer, steps_per_epoch
        )
    try:
        short = course(schedule, 1.0, total, steps_per_epoch)
        long = course(schedule, 1.0, longer, steps_per_epoch)
    except (ValueError, UserCodeError):  # said where the run itself is checked
        return False
    if (short.momenta is None) != (long.momenta is None):
        return False
    same = torch.equal(short.rates[:at], long.rates[:at])
    if short.momenta is None or long.momenta is None:
        return same
    return same and torch.equal(short.momenta[:at], long.momenta[:at])


def _steps(duration: Duration, total: int, steps_per_epoch: int) -> int:
    return steps_in(duration, total_steps=total, steps_per_epoch=steps_per_epoch)
