"""Learning-rate schedules as tables, made by running the real ``torch.optim.lr_scheduler``.

A table (T,) holds the learning rate of every step. Tables of a pack's lanes stand side by
side on the device, so a step reads its row and never calls a scheduler.
"""

from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainables.configs import schedules as configs
from trainables.configs.base import Duration, steps_in
from trainables.configs.fit import unfit
from trainables.torch_schedulers import FACTORIES, Factory, Steps, one_cycle, warmup
from trainables.user_code import UserCodeError


class Course(NamedTuple):
    """What a schedule sets at every step, (T,) float64 each."""

    rates: Tensor
    momenta: Tensor | None
    """None where the optimizer's own momentum stays."""


def table(schedule: configs.Schedule, lr: float, total_steps: int, steps_per_epoch: int) -> Tensor:
    """Learning rate of each optimizer step, (total_steps,), float64: ``course``'s."""
    return course(schedule, lr, total_steps, steps_per_epoch).rates


@lru_cache(maxsize=8192)
def course(schedule: configs.Schedule, lr: float, total_steps: int, steps_per_epoch: int) -> Course:
    """Learning rate and, where it cycles, momentum of each optimizer step.

    The warmup takes n steps; the schedule proper then runs over the remaining
    T = total_steps − n steps from its own beginning. Shares in a schedule (period, milestones)
    are of ``total_steps``. The momentum of a warmup is that of the first step after it.

    Raises:
        ValueError: a duration does not fit the training, as ``unfit`` says.
        UserCodeError: a user's function is missing or returns what is no rate.
    """
    for misfit in unfit(schedule, total_steps, steps_per_epoch):
        raise ValueError(f"schedule.{'.'.join(map(str, misfit.path))}: {misfit.message}")

    def steps(duration: Duration) -> int:
        return steps_in(duration, total_steps=total_steps, steps_per_epoch=steps_per_epoch)

    rise = steps(schedule.warmup)
    if isinstance(schedule, configs.OneCycle):
        return _run(one_cycle(schedule, lr, total_steps, rise), lr, total_steps)
    rest = total_steps - rise
    if isinstance(schedule, configs.Sequence):
        main = _sequence(schedule, lr, rest, steps, steps_per_epoch)
    elif isinstance(schedule, configs.Chain):
        main = _chain(schedule, lr, rest, steps_per_epoch)
    else:
        main = _run(FACTORIES[type(schedule)](schedule, lr, rest, steps), lr, rest)
    if isinstance(schedule, configs.UserSchedule):
        _check_finite(schedule, main.rates)
    if rise == 0:
        return main
    first = _run(warmup(schedule, lr, rise), lr, rise).rates
    momenta = None if main.momenta is None else _held([None, main.momenta], [rise, rest])
    return Course(torch.cat([first, main.rates]), momenta)


class Probe(Optimizer):
    """An optimizer with a learning rate and a momentum, and nothing to optimize.

    Building a real one imports ``torch._dynamo``, a second of work in every worker.
    """

    def __init__(self, lr: float) -> None:
        self.defaults = {"lr": lr, "momentum": math.nan}
        self.param_groups = [{"params": [torch.zeros(())], **self.defaults}]
        self.state = defaultdict(dict)

    def step(self, closure: Any = None) -> Any:
        """Nothing; schedulers warn where no optimizer ever stepped."""


def _run(factory: Factory, lr: float, steps: int) -> Course:
    """What a scheduler does to one parameter's learning rate and momentum, step by step."""
    optimizer = Probe(lr)
    scheduler = factory(optimizer)
    optimizer.step()
    group = optimizer.param_groups[0]
    rows = [(float(group["lr"]), float(group["momentum"]))]
    for _ in range(steps - 1):
        scheduler.step()
        rows.append((float(group["lr"]), float(group["momentum"])))
    rates, momenta = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return Course(rates.clone(), None if math.isnan(rows[0][1]) else momenta.clone())


def _sequence(
    schedule: configs.Sequence, lr: float, rest: int, steps: Steps, steps_per_epoch: int
) -> Course:
    """One schedule after the other; a part that rounds to no step is left out."""
    lengths = [steps(duration) for duration in schedule.durations]
    lengths.append(rest - sum(lengths))
    parts = [
        course(part, lr, length, steps_per_epoch)
        for part, length in zip(schedule.schedules, lengths, strict=True)
        if length
    ]
    momenta = _held([part.momenta for part in parts], [len(part.rates) for part in parts])
    return Course(torch.cat([part.rates for part in parts]), momenta)


def _held(parts: list[Tensor | None], lengths: list[int]) -> Tensor | None:
    """Momenta one after the other; where none cycles, the last one stays, at first the next."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    last, filled = known[0][0], []
    for part, length in zip(parts, lengths, strict=True):
        filled.append(last.expand(length) if part is None else part)
        last = filled[-1][-1]
    return torch.cat(filled)


def _chain(schedule: configs.Chain, lr: float, rest: int, steps_per_epoch: int) -> Course:
    """lr × Π (rate / peak) of each schedule, as ``ChainedScheduler`` of schedules that end at 0."""
    parts = [course(part, 1.0, rest, steps_per_epoch) for part in schedule.schedules]
    rates = lr * torch.stack([part.rates for part in parts]).prod(0)
    return Course(rates, next((p.momenta for p in parts if p.momenta is not None), None))


def _check_finite(schedule: configs.UserSchedule, rates: Tensor) -> None:
    if not bool(torch.isfinite(rates).all()):
        step = int((~torch.isfinite(rates)).nonzero()[0])
        raise UserCodeError(f"{schedule.name}: the learning rate is not finite at step {step}")
