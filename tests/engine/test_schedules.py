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


def test_every_schedule_has_an_oracle() -> None:
    assert {schedule.name for schedule, _ in ORACLES} == set(SCHEDULES)


@pytest.mark.parametrize("lr", RATES)
@pytest.mark.parametrize(("schedule", "oracle"), ORACLES, ids=lambda v: getattr(v, "name", ""))
def test_equals_the_real_scheduler_exactly(
    schedule: s.Schedule, oracle: Callable[[Optimizer, float], Any], lr: float
) -> None:
    expected = _stepped(lambda o: oracle(o, lr), lr, STEPS)
    assert table(schedule, lr, STEPS, PER_EPOCH).tolist() == expected


@pytest.mark.parametrize("warmup", [0.1, Steps(steps=12), Epochs(epochs=1.2)])
def test_warmup_is_a_line_to_the_peak_and_the_schedule_follows(warmup: Any) -> None:
    rates = table(s.Cosine(warmup=warmup), 0.3, STEPS, PER_EPOCH)
    torch.testing.assert_close(
        rates[:12], 0.3 * torch.arange(1, 13, dtype=torch.float64) / 12, rtol=1e-14, atol=0
    )
    rest = _stepped(lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS - 12), 0.3, STEPS - 12)
    assert rates[12:].tolist() == rest


def test_warmup_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup of 120 steps in a training of 120"):
        table(s.Cosine(warmup=Steps(steps=120)), 0.1, STEPS, PER_EPOCH)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_the_shortest_trainings_have_finite_rates(name: str, steps: int) -> None:
    rates = table(SCHEDULES[name](), 0.1, steps, 1)  # type: ignore[arg-type]
    assert rates.shape == (steps,)
    assert bool(torch.isfinite(rates).all())
    assert bool((rates >= 0).all())
