"""The line search finds what the conditions ask for, as it does written out, lane by lane."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainables.configs.newton import Lbfgs
from trainables.optimizers import lag
from trainables.optimizers.strong_wolfe import Point, strong_wolfe

Seen = dict[str, int]


def _interpolated(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Nocedal & Wright 2006, equation 3.59, kept within the middle four fifths."""
    (x, f, g), (y, h, k) = a, b
    d1 = g + k - 3 * (f - h) / (x - y)
    inner = d1**2 - g * k
    new = (x + y) / 2
    if math.isfinite(inner) and inner >= 0:
        d2 = math.copysign(inner**0.5, y - x)
        new = y - (y - x) * (k + d2 - d1) / (k - g + 2 * d2)
    return x + (y - x) * min(max((new - x) / (y - x), 0.1), 0.9)


def search(phi: Callable[[float], tuple[float, float]], first: float, c: Lbfgs, s: Seen) -> float:
    """Nocedal & Wright 2006, algorithms 3.5 and 3.6."""
    f0, g0 = phi(0.0)
    old, step = (0.0, f0, g0), first
    for trial in range(c.trials):
        f, g = phi(step)
        if f > f0 + c.c1 * step * g0 or (trial > 0 and f >= old[1]):
            return _zoom(phi, old, (step, f, g), c.trials - trial - 1, (f0, g0), c, s)
        if abs(g) <= -c.c2 * g0:
            return step
        if g >= 0:
            return _zoom(phi, (step, f, g), old, c.trials - trial - 1, (f0, g0), c, s)
        old, step = (step, f, g), 4 * step
        s["grown"] = s.get("grown", 0) + 1
    return old[0]


def _zoom(
    phi: Callable[[float], tuple[float, float]],
    low: tuple[float, ...],
    high: tuple[float, ...],
    trials: int,
    start: tuple[float, float],
    c: Lbfgs,
    s: Seen,
) -> float:
    for _ in range(trials):
        step = _interpolated(low, high)
        f, g = phi(step)
        s["zoomed"] = s.get("zoomed", 0) + 1
        if f > start[0] + c.c1 * step * start[1] or f >= low[1]:
            high = (step, f, g)
        else:
            if abs(g) <= -c.c2 * start[1]:
                return step
            if g * (high[0] - low[0]) >= 0:
                high = low
            low = (step, f, g)
    return low[0]


def _line(values: Tensor, minimum: Tensor) -> Callable[[Tensor], Tensor]:
    """φ(α) of lanes: |values| α-quartics around their minima."""
    return lambda a: values * ((a - minimum) ** 2 + (a - minimum) ** 4)


def _searched(minimum: Tensor, *, trials: int = 25, first: float = 1.0) -> tuple[Tensor, int]:
    phi, made = _line(torch.ones_like(minimum), minimum), []

    def at(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        made.append(step)
        x = step - minimum
        slope = 2 * x + 4 * x**3
        return phi(step), slope, slope.unsqueeze(1)

    zero = torch.zeros_like(minimum)
    value, slope, gradient = at(zero)
    made.clear()
    c1, c2 = torch.full_like(minimum, 1e-4), torch.full_like(minimum, 0.1)
    start = Point(zero, value, slope)
    step, there = strong_wolfe(
        at, start, gradient, torch.full_like(minimum, first), c1=c1, c2=c2, trials=trials
    )
    x = step - minimum
    torch.testing.assert_close(there[:, 0], 2 * x + 4 * x**3, equal_nan=True)
    return step, len(made)


def test_steps_found_satisfy_both_conditions() -> None:
    """Near and far minima, to be grown to or shrunk to; a lane at its minimum does not move."""
    minimum = torch.tensor([1e-3, 0.3, 1.0, 5.0, 700.0, 0.0, -1.0, torch.nan], dtype=torch.float64)
    step, _ = _searched(minimum)
    good = slice(0, 5)
    x = step[good] - minimum[good]
    start = 2 * minimum[good] + 4 * minimum[good] ** 3
    assert ((2 * x + 4 * x**3).abs() <= 0.1 * start).all()
    assert (step[good] > 0).all()
    assert not step[5:].any(), "a minimum, uphill, and no number: no step"


def test_a_search_that_looks_late_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    minimum = torch.tensor([0.3, 5.0, 40.0], dtype=torch.float64)
    step, made = _searched(minimum)
    alone = [_searched(minimum[lane : lane + 1])[0] for lane in range(3)]
    assert step.equal(torch.cat(alone)), "lanes wait for the others, unchanged"
    monkeypatch.setattr(lag, "_LAG", {"cpu": 2})
    late, more = _searched(minimum)
    assert late.equal(step)
    assert more == made + 2


def test_a_search_keeps_to_its_trials() -> None:
    """Then the best step so far is taken, or none."""
    step, made = _searched(torch.tensor([1e-9, 1e6], dtype=torch.float64), trials=3)
    assert made == 3
    assert step.tolist() == [0.0, 16.0]


def test_searches_of_wavy_lines_equal_the_written_out_one() -> None:
    """Many local minima: intervals that shrink on either side, and steps worse than the last."""
    lanes = 197
    generator = torch.Generator().manual_seed(5)
    waves = torch.randn(lanes, 3, generator=generator, dtype=torch.float64)
    pitch = 1 + 4 * torch.rand(lanes, 3, generator=generator, dtype=torch.float64)
    tilt = (waves * pitch).sum(1).abs() + 0.1  # downhill at 0
    bowl = 0.05 + torch.rand(lanes, generator=generator, dtype=torch.float64)

    def line(a: Tensor) -> tuple[Tensor, Tensor]:
        turned = pitch * a.unsqueeze(1)
        value = (waves * turned.sin()).sum(1) - tilt * a + bowl * a**2
        return value, (waves * pitch * turned.cos()).sum(1) - tilt + 2 * bowl * a

    def at(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return *line(step), line(step)[1].unsqueeze(1)

    ones = torch.ones(lanes, dtype=torch.float64)
    value, slope, gradient = at(0 * ones)
    config, seen = Lbfgs(c1=0.05, c2=0.2, trials=25), Seen()
    step, there = strong_wolfe(
        at,
        Point(0 * ones, value, slope),
        gradient,
        1.5 * ones,
        c1=config.c1 * ones,
        c2=config.c2 * ones,
        trials=25,
    )
    torch.testing.assert_close(there[:, 0], line(step)[1])
    downhill = (slope < 0).nonzero().flatten().tolist()
    assert len(downhill) > 100
    for lane in downhill:

        def phi(a: float, lane: int = lane) -> tuple[float, float]:
            values, slopes = line(a * ones)
            return float(values[lane]), float(slopes[lane])

        assert float(step[lane]) == pytest.approx(search(phi, 1.5, config, seen), rel=1e-9)
    assert seen["grown"] > 9
    assert seen["zoomed"] > 99
