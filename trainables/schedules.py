"""Learning-rate schedules as tables, made by running the real ``torch.optim.lr_scheduler``.

A table (T,) holds the learning rate of every step. Tables of a pack's lanes stand side by
side on the device, so a step reads its row and never calls a scheduler.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from trainables.configs import schedules as configs
from trainables.configs.base import Config, Duration, steps_in

Factory = Callable[[Optimizer], lr_scheduler.LRScheduler]


@lru_cache(maxsize=8192)
def table(schedule: configs.Schedule, lr: float, total_steps: int, steps_per_epoch: int) -> Tensor:
    """Learning rate of each optimizer step, (total_steps,), float64.

    Linear warmup over n steps is lr·(t+1)/n; the schedule proper then runs over the
    remaining T = total_steps − n steps from its own beginning. Shares in a schedule (period,
    milestones) are of ``total_steps``. Where PyTorch has no such scheduler, its ``LambdaLR``
    runs the formula that the configuration gives.

    Raises:
        ValueError: the warmup leaves no step for the schedule, or too few.
    """

    def steps(duration: Duration) -> int:
        return steps_in(duration, total_steps=total_steps, steps_per_epoch=steps_per_epoch)

    warmup = steps(schedule.warmup)
    if warmup >= total_steps:
        raise ValueError(f"warmup of {warmup} steps in a training of {total_steps}")
    if isinstance(schedule, configs.OneCycle):
        return _run(_one_cycle(schedule, lr, total_steps, warmup), lr, total_steps)
    rest = total_steps - warmup
    main = _run(FACTORIES[type(schedule)](schedule, lr, rest, steps), lr, rest)
    if warmup == 0:
        return main
    rise = _run(
        lambda o: lr_scheduler.LinearLR(
            o, start_factor=1 / warmup, end_factor=1.0, total_iters=max(1, warmup - 1)
        ),
        lr,
        warmup,
    )
    return torch.cat([rise, main])


class Probe(Optimizer):
    """An optimizer with a learning rate and nothing to optimize.

    Building a real one imports ``torch._dynamo``, a second of work in every worker.
    """

    def __init__(self, lr: float) -> None:
        self.defaults = {"lr": lr}
        self.param_groups = [{"params": [torch.zeros(())], "lr": lr}]
        self.state = defaultdict(dict)

    def step(self, closure: Any = None) -> Any:
        """Nothing; schedulers warn where no optimizer ever stepped."""


def _run(factory: Factory, lr: float, steps: int) -> Tensor:
    """What a scheduler does to one parameter's learning rate, step by step."""
    optimizer = Probe(lr)
    scheduler = factory(optimizer)
    optimizer.step()
    group = optimizer.param_groups[0]
    rates = [float(group["lr"])]
    for _ in range(steps - 1):
        scheduler.step()
        rates.append(float(group["lr"]))
    return torch.tensor(rates, dtype=torch.float64)


def _one_cycle(schedule: configs.OneCycle, lr: float, total: int, warmup: int) -> Factory:
    return lambda o: lr_scheduler.OneCycleLR(
        o,
        max_lr=lr,
        total_steps=max(3, total),
        pct_start=max(2, warmup) / max(3, total),
        anneal_strategy="cos" if schedule.anneal == "cosine" else "linear",
        cycle_momentum=False,
        div_factor=1 / schedule.start,
        final_div_factor=schedule.start / schedule.final,
    )


Steps = Callable[[Duration], int]


def _constant(schedule: configs.Constant, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.ConstantLR(o, factor=1.0)


def _step(schedule: configs.Step, lr: float, rest: int, steps: Steps) -> Factory:
    every = max(1, steps(schedule.every))
    return lambda o: lr_scheduler.StepLR(o, step_size=every, gamma=schedule.gamma)


def _multistep(schedule: configs.MultiStep, lr: float, rest: int, steps: Steps) -> Factory:
    milestones = sorted(steps(milestone) for milestone in schedule.milestones)
    return lambda o: lr_scheduler.MultiStepLR(o, milestones, gamma=schedule.gamma)


def _exponential(schedule: configs.Exponential, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.ExponentialLR(o, gamma=schedule.final ** (1 / rest))


def _linear(schedule: configs.Linear, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.LinearLR(
        o, start_factor=1.0, end_factor=schedule.final, total_iters=rest
    )


def _polynomial(schedule: configs.Polynomial, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.PolynomialLR(o, total_iters=rest, power=schedule.power)


def _cosine(schedule: configs.Cosine, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=rest, eta_min=schedule.final * lr)


def _sgdr(schedule: configs.Sgdr, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.CosineAnnealingWarmRestarts(
        o,
        T_0=max(1, steps(schedule.period)),
        T_mult=schedule.multiplier,
        eta_min=schedule.final * lr,
    )


def _cyclic(schedule: configs.Cyclic, lr: float, rest: int, steps: Steps) -> Factory:
    half = max(1, steps(schedule.period) // 2)
    return lambda o: lr_scheduler.CyclicLR(
        o,
        base_lr=schedule.low * lr,
        max_lr=lr,
        step_size_up=half,
        mode=schedule.mode,
        gamma=schedule.gamma,
        cycle_momentum=False,
    )


def _inverse_sqrt(schedule: configs.InverseSqrt, lr: float, rest: int, steps: Steps) -> Factory:
    own = schedule.warmup if schedule.offset is None else schedule.offset
    offset = max(1, steps(own))
    return lambda o: lr_scheduler.LambdaLR(o, lambda t: math.sqrt(offset / (t + offset)))


_FALLS: dict[str, Callable[[float], float]] = {
    "linear": lambda u: 1 - u,
    "cosine": lambda u: (1 + math.cos(math.pi * u)) / 2,
    "sqrt": lambda u: 1 - math.sqrt(u),
}


def _wsd(schedule: configs.Wsd, lr: float, rest: int, steps: Steps) -> Factory:
    decay = steps(schedule.decay)
    if decay > rest:
        raise ValueError(f"decay of {decay} steps in {rest} steps after the warmup")
    stable, fall = rest - decay, _FALLS[schedule.shape]

    def factor(t: int) -> float:
        if t < stable:
            return 1.0
        left = fall((t - stable) / decay)
        return schedule.final + (1 - schedule.final) * left

    return lambda o: lr_scheduler.LambdaLR(o, factor)


def _rex(schedule: configs.Rex, lr: float, rest: int, steps: Steps) -> Factory:
    def factor(t: int) -> float:
        left = 1 - t / rest
        return left / (0.5 + 0.5 * left)

    return lambda o: lr_scheduler.LambdaLR(o, factor)


def _range_test(schedule: configs.RangeTest, lr: float, rest: int, steps: Steps) -> Factory:
    start, last = schedule.start, max(1, rest - 1)
    if schedule.growth == "linear":
        return lambda o: lr_scheduler.LambdaLR(o, lambda t: start + (1 - start) * t / last)
    return lambda o: lr_scheduler.LambdaLR(o, lambda t: start ** (1 - t / last))


def _plateau(schedule: configs.Plateau, lr: float, rest: int, steps: Steps) -> Factory:
    """The peak: what evaluations make of it is ``plateau.Plateau``'s."""
    return lambda o: lr_scheduler.ConstantLR(o, factor=1.0)


FACTORIES: dict[type[Config], Callable[..., Factory]] = {
    configs.Constant: _constant,
    configs.Step: _step,
    configs.MultiStep: _multistep,
    configs.Exponential: _exponential,
    configs.Linear: _linear,
    configs.Polynomial: _polynomial,
    configs.Cosine: _cosine,
    configs.Sgdr: _sgdr,
    configs.Cyclic: _cyclic,
    configs.InverseSqrt: _inverse_sqrt,
    configs.Wsd: _wsd,
    configs.Rex: _rex,
    configs.RangeTest: _range_test,
    configs.Plateau: _plateau,
}
