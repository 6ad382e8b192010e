"""Tables of learning rates equal torch.optim.lr_scheduler, stepped by a real optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from trainables.configs import schedules as s
from trainables.configs.base import Epochs, Steps
from trainables.configs.schedules import SCHEDULES
from trainables.schedules import table

STEPS, PER_EPOCH = 120, 10
RATES = (0.003, 0.1, 1.7)

ORACLES: list[tuple[s.Schedule, Callable[[Optimizer, float], Any]]] = [
    (s.Constant(), lambda o, lr: lr_scheduler.LambdaLR(o, lambda t: 1.0)),
    (s.Step(every=0.25, gamma=0.3), lambda o, lr: lr_scheduler.StepLR(o, 30, 0.3)),
    (s.Step(every=Epochs(epochs=2), gamma=0.5), lambda o, lr: lr_scheduler.StepLR(o, 20, 0.5)),
    (
        s.MultiStep(milestones=(0.5, Steps(steps=20)), gamma=0.2),
        lambda o, lr: lr_scheduler.MultiStepLR(o, [20, 60], 0.2),
    ),
    (s.Exponential(final=0.01), lambda o, lr: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / STEPS))),
    (s.Linear(final=0.1), lambda o, lr: lr_scheduler.LinearLR(o, 1.0, 0.1, STEPS)),
    (s.Polynomial(power=2.0), lambda o, lr: lr_scheduler.PolynomialLR(o, STEPS, 2.0)),
    (s.Cosine(final=0.1), lambda o, lr: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.1 * lr)),
    (
        s.Sgdr(period=Steps(steps=15), multiplier=2, final=0.01),
        lambda o, lr: lr_scheduler.CosineAnnealingWarmRestarts(o, 15, 2, 0.01 * lr),
    ),
    (
        s.Cyclic(period=Steps(steps=24), low=0.2, mode="triangular2"),
        lambda o, lr: lr_scheduler.CyclicLR(
            o, 0.2 * lr, lr, 12, mode="triangular2", cycle_momentum=False
        ),
    ),
    (
        s.OneCycle(warmup=0.25, start=0.04, final=4e-6),
        lambda o, lr: lr_scheduler.OneCycleLR(
            o, lr, STEPS, pct_start=0.25, cycle_momentum=False, div_factor=25, final_div_factor=1e4
        ),
    ),
]


def _closed(formula: Callable[[int], float]) -> Callable[[Optimizer, float], Any]:
    return lambda o, lr: lr_scheduler.LambdaLR(o, formula)


ORACLES += [
    (
        s.Cyclic(period=Steps(steps=24), low=0.2, mode="exp_range", gamma=0.99),
        lambda o, lr: lr_scheduler.CyclicLR(
            o, 0.2 * lr, lr, 12, mode="exp_range", gamma=0.99, cycle_momentum=False
        ),
    ),
    (s.Plateau(), _closed(lambda t: 1.0)),
    (s.Constant(factor=0.3), _closed(lambda t: 0.3)),
    (
        s.Cyclic(period=Steps(steps=20), low=0.2, rise=0.35, mode="triangular2"),
        lambda o, lr: lr_scheduler.CyclicLR(
            o, 0.2 * lr, lr, 7, 13, mode="triangular2", cycle_momentum=False
        ),
    ),
    (
        s.OneCycle(warmup=0.25, start=0.04, final=4e-6, three_phase=True, anneal="linear"),
        lambda o, lr: lr_scheduler.OneCycleLR(
            o,
            lr,
            STEPS,
            pct_start=0.25,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=25,
            final_div_factor=1e4,
            three_phase=True,
        ),
    ),
]

# As torch, to rounding: it multiplies from step to step.
NEAR: list[tuple[s.Schedule, Callable[[Optimizer, float], Any]]] = [
    (
        s.Constant(factor=0.3, until=Steps(steps=23)),
        lambda o, lr: lr_scheduler.ConstantLR(o, 0.3, 23),
    ),
    (
        s.Linear(start=0.05, final=0.7),
        lambda o, lr: lr_scheduler.LinearLR(o, 0.05, 0.7, STEPS),
    ),
    (
        s.Sequence(
            schedules=(
                s.Constant(factor=0.1),
                s.Cosine(),
                s.Step(every=Steps(steps=7), gamma=0.5),
                s.Linear(final=0.2),
            ),
            durations=(Steps(steps=13), 0.25, Epochs(epochs=3)),
        ),
        lambda o, lr: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.ConstantLR(o, 0.1, 13),
                lr_scheduler.CosineAnnealingLR(o, 30),
                lr_scheduler.StepLR(o, 7, 0.5),
                lr_scheduler.LinearLR(o, 1.0, 0.2, 47),
            ],
            [13, 43, 73],
        ),
    ),
    (
        s.Chain(
            schedules=(
                s.Constant(factor=0.1, until=Steps(steps=29)),
                s.Exponential(final=0.01),
                s.MultiStep(milestones=(0.5,), gamma=0.2),
            )
        ),
        lambda o, lr: lr_scheduler.ChainedScheduler(
            [
                lr_scheduler.ConstantLR(o, 0.1, 29),
                lr_scheduler.ExponentialLR(o, 0.01 ** (1 / STEPS)),
                lr_scheduler.MultiStepLR(o, [60], 0.2),
            ],
            o,
        ),
    ),
    (
        s.Cosine(warmup=Steps(steps=11), warmup_start=0.2),
        lambda o, lr: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 0.2, total_iters=10),
                lr_scheduler.CosineAnnealingLR(o, STEPS - 11),
            ],
            [11],
        ),
    ),
    (
        s.Polynomial(warmup=Steps(steps=11), warmup_start=0.2, warmup_shape="constant"),
        lambda o, lr: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.ConstantLR(o, 0.2, 11),
                lr_scheduler.PolynomialLR(o, STEPS - 11, 2.0),
            ],
            [11],
        ),
    ),
    (
        s.UserSchedule(name=f"{__name__}:halving", args={"every": 17}),
        lambda o, lr: lr_scheduler.LambdaLR(o, lambda t: 0.5 ** (t // 17)),
    ),
    (
        s.UserSchedule(name=f"{__name__}:shrink", multiplicative=True),
        lambda o, lr: lr_scheduler.MultiplicativeLR(o, lambda t: 1 - t / (STEPS + 10)),
    ),
]


def halving(step: int, total_steps: int, steps_per_epoch: int, every: int) -> float:
    assert (total_steps, steps_per_epoch) == (STEPS, PER_EPOCH)
    return 0.5 ** (step // every)  # type: ignore[no-any-return]


def shrink(step: int, total_steps: int, steps_per_epoch: int) -> float:
    return 1 - step / (total_steps + steps_per_epoch)


# Schedules that torch does not have

NEEDED: dict[str, dict[str, Any]] = {
    "sequence": {"schedules": (s.Linear(start=0.5, final=1), s.Cosine()), "durations": (0.3,)},
    "chain": {"schedules": (s.Step(), s.Cosine())},
}
"""Fields without a default."""
# Schedules that torch does not have: (schedule, {step: rate / peak} from the papers' formulas).
WARMED = {"warmup": Steps(steps=20)}
CLOSED: list[tuple[s.Schedule, dict[int, float]]] = [
    # Vaswani et al. 2017: min(n⁻½, n·w^(−3/2))·√w with w = 20, n = t + 1 while the rate rises.
    (s.InverseSqrt(**WARMED), {0: 1 / 20, 9: 0.5, 20: 1.0, 80: 0.5, 45: 2 / 3}),
    (s.InverseSqrt(offset=Steps(steps=4)), {0: 1.0, 12: 0.5, 60: 0.25}),
    (s.Wsd(decay=0.5), {0: 1.0, 59: 1.0, 60: 1.0, 90: 0.5, 117: 0.05}),
    (s.Wsd(decay=0.5, shape="cosine", final=0.2), {59: 1.0, 80: 0.8, 90: 0.6, 100: 0.4}),
    (s.Wsd(decay=Steps(steps=100), shape="sqrt", **WARMED), {20: 1.0, 45: 0.5, 84: 0.2}),
    # Chen et al. 2022: REX stays above the line, 2/3 of the peak half-way.
    (s.Rex(), {0: 1.0, 60: 2 / 3, 90: 0.4, 108: 2 / 11}),
    (s.Rex(**WARMED), {9: 0.5, 20: 1.0, 70: 2 / 3}),
    (s.RangeTest(start=1e-4), {0: 1e-4, 119: 1.0, 17: 1e-4 ** (102 / 119)}),
    (s.RangeTest(start=0.05, growth="linear"), {0: 0.05, 119: 1.0, 17: 0.05 + 0.95 / 7}),
]


@pytest.mark.parametrize("lr", RATES)
@pytest.mark.parametrize(("schedule", "shares"), CLOSED, ids=lambda v: getattr(v, "name", ""))
def test_equals_its_formula(schedule: s.Schedule, shares: dict[int, float], lr: float) -> None:
    rates = table(schedule, lr, STEPS, PER_EPOCH)
    found = {step: rates[step].item() / lr for step in shares}
    assert found == pytest.approx(shares, rel=1e-12)


def test_a_decay_longer_than_what_is_left_is_refused() -> None:
    with pytest.raises(ValueError, match=r"decay: must not exceed .* \(100 steps\), got 110"):
        table(s.Wsd(decay=Steps(steps=110), **WARMED), 0.1, STEPS, PER_EPOCH)


def _stepped(make: Callable[[Optimizer], Any], lr: float, steps: int) -> list[float]:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize("lr", RATES)
@pytest.mark.parametrize(("schedule", "oracle"), ORACLES, ids=lambda v: getattr(v, "name", ""))
def test_equals_the_real_scheduler_exactly(
    schedule: s.Schedule, oracle: Callable[[Optimizer, float], Any], lr: float
) -> None:
    expected = _stepped(lambda o: oracle(o, lr), lr, STEPS)
    assert table(schedule, lr, STEPS, PER_EPOCH).tolist() == expected


@pytest.mark.parametrize("lr", RATES)
@pytest.mark.parametrize(("schedule", "oracle"), NEAR, ids=lambda v: getattr(v, "name", ""))
def test_equals_the_real_scheduler_to_rounding(
    schedule: s.Schedule, oracle: Callable[[Optimizer, float], Any], lr: float
) -> None:
    expected = _stepped(lambda o: oracle(o, lr), lr, STEPS)
    assert table(schedule, lr, STEPS, PER_EPOCH).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("warmup", [0.1, Steps(steps=12), Epochs(epochs=1.2)])
def test_warmup_is_a_line_to_the_peak_and_the_schedule_follows(warmup: Any) -> None:
    rates = table(s.Cosine(warmup=warmup), 0.3, STEPS, PER_EPOCH)
    torch.testing.assert_close(
        rates[:12], 0.3 * torch.arange(1, 13, dtype=torch.float64) / 12, rtol=1e-14, atol=0
    )
    rest = _stepped(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS - 12), 0.3, STEPS - 12)
    assert rates[12:].tolist() == rest


def test_warmup_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"warmup: must be shorter than .* \(120 steps\)"):
        table(s.Cosine(warmup=Steps(steps=120)), 0.1, STEPS, PER_EPOCH)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_the_shortest_trainings_have_finite_rates(name: str, steps: int) -> None:
    rates = table(SCHEDULES[name](**NEEDED.get(name, {})), 0.1, steps, 1)  # type: ignore[arg-type]
    assert rates.shape == (steps,)
    assert bool(torch.isfinite(rates).all())
    assert bool((rates >= 0).all())


def test_a_thousand_halvings_overflow_nothing() -> None:
    """Where PyTorch's own triangular2 raises: 2 to the number of cycles."""
    rates = table(s.Cyclic(period=Steps(steps=2), mode="triangular2"), 0.1, 2111, PER_EPOCH)
    assert bool(torch.isfinite(rates).all())
    assert rates[-1].item() == pytest.approx(0.01, rel=1e-12)
