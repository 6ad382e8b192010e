"""The schedules of a study as factories of the real ``torch.optim.lr_scheduler``.

Where PyTorch has no such scheduler, its ``LambdaLR`` runs the formula that the configuration gives.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import lru_cache

from torch.optim import Optimizer, lr_scheduler

from trainables.configs import schedules as configs
from trainables.configs.base import Config, Duration, Epochs
from trainables.user_code import UserCodeError, call_user_code, resolve

Factory = Callable[[Optimizer], lr_scheduler.LRScheduler]
Steps = Callable[[Duration], int]


def warmup(schedule: configs.Warmed, lr: float, steps: int) -> Factory:
    """The rise over ``steps`` steps: to the peak, or as low throughout.

    Linear: s + (1 − s)·t/(n − 1), with s = ``warmup_start``; by default s = 1/n and the rate
    lr·(t + 1)/n. Constant: s throughout (Goyal et al. 2017, section 2.2).
    """
    start = schedule.warmup_start
    if start is None:
        return lambda o: lr_scheduler.LinearLR(
            o, start_factor=1 / steps, end_factor=1.0, total_iters=max(1, steps - 1)
        )
    if schedule.warmup_shape == "constant":
        return lambda o: lr_scheduler.LambdaLR(o, lambda t: start)
    return lambda o: lr_scheduler.LambdaLR(o, _line(start, 1.0, max(1, steps - 1)))


def _line(start: float, end: float, steps: int) -> Callable[[int], float]:
    # LinearLR multiplies from step to step, which a tiny start does not survive.
    return lambda t: start + (end - start) * t / steps


def one_cycle(schedule: configs.OneCycle, lr: float, total: int, warmup: int) -> Factory:
    """Over the whole training: its warmup is the rise."""
    least = 4 if schedule.three_phase else 3
    total, rise = max(least, total), max(2, warmup)
    if schedule.three_phase:
        rise = min(rise, total // 2)
    return lambda o: lr_scheduler.OneCycleLR(
        o,
        max_lr=lr,
        total_steps=total,
        pct_start=rise / total,
        anneal_strategy="cos" if schedule.anneal == "cosine" else "linear",
        cycle_momentum=schedule.cycle_momentum,
        base_momentum=schedule.base_momentum,
        max_momentum=schedule.max_momentum,
        three_phase=schedule.three_phase,
        div_factor=1 / schedule.start,
        final_div_factor=schedule.start / schedule.final,
    )


def _constant(schedule: configs.Constant, lr: float, rest: int, steps: Steps) -> Factory:
    until = rest if schedule.until is None else steps(schedule.until)
    # ConstantLR ends with a division by the factor, and its rounding.
    return lambda o: lr_scheduler.LambdaLR(o, lambda t: schedule.factor if t < until else 1.0)


def _step(schedule: configs.Step, lr: float, rest: int, steps: Steps) -> Factory:
    every = max(1, steps(schedule.every))
    return lambda o: lr_scheduler.StepLR(o, step_size=every, gamma=schedule.gamma)


def _multistep(schedule: configs.MultiStep, lr: float, rest: int, steps: Steps) -> Factory:
    milestones = sorted(steps(milestone) for milestone in schedule.milestones)
    return lambda o: lr_scheduler.MultiStepLR(o, milestones, gamma=schedule.gamma)


def _exponential(schedule: configs.Exponential, lr: float, rest: int, steps: Steps) -> Factory:
    return lambda o: lr_scheduler.ExponentialLR(o, gamma=schedule.final ** (1 / rest))


def _linear(schedule: configs.Linear, lr: float, rest: int, steps: Steps) -> Factory:
    if schedule.start != 1:
        return lambda o: lr_scheduler.LambdaLR(o, _line(schedule.start, schedule.final, rest))
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
    period = steps(schedule.period)
    up = down = max(1, period // 2)
    if schedule.rise != 0.5:
        up = max(1, round(schedule.rise * period))
        down = max(1, period - up)
    # PyTorch's own takes a power of 2 that overflows after 1,024 cycles.
    halved = (lambda cycle: 0.5 ** (cycle - 1)) if schedule.mode == "triangular2" else None
    return lambda o: lr_scheduler.CyclicLR(
        o,
        base_lr=schedule.low * lr,
        max_lr=lr,
        step_size_up=up,
        step_size_down=down,
        mode=schedule.mode,
        gamma=schedule.gamma,
        scale_fn=halved,
        cycle_momentum=schedule.cycle_momentum,
        base_momentum=schedule.base_momentum,
        max_momentum=schedule.max_momentum,
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
    decay = min(steps(schedule.decay), rest)
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


@lru_cache(maxsize=256)
def user_factors(
    schedule: configs.UserSchedule, total_steps: int, steps_per_epoch: int
) -> tuple[float, ...]:
    """What a user's function returns for each step; it is called once for all rates and lanes.

    Raises:
        UserCodeError: it is missing, raises, or returns what cannot be a share of the peak.
    """
    function = resolve(schedule.name)
    offered = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    try:
        asked = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise UserCodeError(f"{schedule.name}: {error}") from error
    fixed = {key: value for key, value in offered.items() if key in asked} | schedule.args
    first = 1 if schedule.multiplicative else 0
    factors = [1.0] * first
    for step in range(first, total_steps):
        returned = call_user_code(schedule.name, function, {"step": step} | fixed)
        try:
            factors.append(float(returned))
        except (TypeError, ValueError) as error:
            raise UserCodeError(
                f"{schedule.name} must return a number, got {returned!r} at step {step}"
            ) from error
        if not (math.isfinite(factors[-1]) and factors[-1] >= 0):
            raise UserCodeError(
                f"{schedule.name} must return finite numbers of at least 0, got"
                f" {factors[-1]:g} at step {step}"
            )
    return tuple(factors)


def _user(schedule: configs.UserSchedule, lr: float, rest: int, steps: Steps) -> Factory:
    factors = user_factors(schedule, rest, steps(Epochs(epochs=1.0)))
    if schedule.multiplicative:
        return lambda o: lr_scheduler.MultiplicativeLR(o, factors.__getitem__)
    return lambda o: lr_scheduler.LambdaLR(o, factors.__getitem__)


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
    configs.UserSchedule: _user,
}
