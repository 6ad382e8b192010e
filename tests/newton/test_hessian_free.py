"""Hessian-free optimization equals Martens' algorithm written out; its parts do as theory says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.newton.written_out import Lane, adapted, stack_of, vector
from trainables.configs import Mlp, RunConfig
from trainables.configs.newton import HessianFree
from trainables.data import DataSet
from trainables.optimizers import lag
from trainables.optimizers.conjugate_gradients import conjugate_gradients

Maker = Callable[..., RunConfig]
MODEL = Mlp(hidden=(3,), activation="tanh")
STEPS = 20
LANES = [
    HessianFree(damping=1.0, damping_factor=1.1, cg_iterations=19, weight_decay=0.2),
    HessianFree(damping=1.0, cg_iterations=19, weight_decay=0.1, decay=0.5, lr=0.7),
    HessianFree(
        damping=0.5,
        damping_factor=1.2,
        cg_iterations=19,
        cg_tolerance=0.05,
        exponent=0.5,
        weight_decay=0.1,
        decay=0.2,
    ),
    HessianFree(
        damping=1.0,
        damping_factor=1.2,
        cg_iterations=11,
        lr=4.0,
        c=0.5,
        backtrack=0.5,
        weight_decay=0.3,
    ),
]
BARE = [
    HessianFree(
        damping=0.5,
        damping_factor=1.1,
        cg_iterations=13,
        preconditioner="none",
        skip_vectors=True,
        weight_decay=0.2,
    ),
    HessianFree(
        damping=1.0,
        cg_iterations=13,
        preconditioner="none",
        skip_vectors=True,
        weight_decay=0.3,
    ),
]
"""With decay and damping: the bits that rounding leaves of conjugate gradients are not theirs to
keep where small eigenvalues have a part."""
CASES: list[tuple[str, list[HessianFree]]] = [("hessian_free", LANES), ("hessian_free", BARE)]


def _iterates(
    matrix: Tensor, b: Tensor, x: Tensor, preconditioner: Tensor, c: Any
) -> tuple[list[Tensor], int]:
    """Iterates kept, and how many there were (Martens 2010, sections 4.4 to 4.7)."""

    def model(at: Tensor) -> float:
        return float(at @ matrix @ at / 2 - b @ at)

    r = b - matrix @ x
    p = y = r / preconditioner
    models, all_of_them = [model(x)], []
    for i in range(1, c.cg_iterations + 1):
        rate = (r @ y) / (p @ matrix @ p)
        x, old = x + rate * p, r @ y
        r = b - matrix @ x
        y = r / preconditioner
        p = y + (r @ y) / old * p
        models.append(model(x))
        all_of_them.append(x)
        k = max(10, math.floor(0.1 * i))
        little = i > k and (models[i] - models[i - k]) / models[i] < k * c.cg_tolerance
        if little and models[i] < 0:
            break
    places, at = [], 1
    while at <= len(all_of_them):
        places.append(at)
        at = max(at + 1, math.ceil(at * 1.3))
    places = sorted({*places, len(all_of_them)})
    return [all_of_them[place - 1] for place in places], len(all_of_them)


def _step(at: Lane, v: Tensor, state: dict[str, Any]) -> Tensor:
    c = at.config
    damping = state.setdefault("damping", c.damping)
    g, matrix = at.gradient(v), at.gauss_newton(v)
    eye = torch.eye(len(v), dtype=v.dtype)
    squares = at.example_gradients(v).square().mean(0) + at.decay + damping
    preconditioner = squares**c.exponent if c.preconditioner != "none" else torch.ones_like(v)
    start = c.decay * state.get("direction", torch.zeros_like(v))
    kept, count = _iterates(matrix + damping * eye, -g, start, preconditioner, c)
    losses = [at.value(v + p) for p in kept]
    chosen = len(kept) - 1
    while chosen > 0 and losses[chosen - 1] <= losses[chosen]:
        chosen -= 1
    p, before = kept[chosen], at.value(v)
    ratio = (losses[chosen] - before) / float(g @ p + p @ matrix @ p / 2)
    state["damping"] = adapted(damping, ratio, c.damping_factor)
    step, slope = c.lr, min(float(g @ p), 0)
    for trial in range(c.trials):
        if at.value(v + step * p) <= before + c.c * step * slope:
            break
        step = 0.0 if trial == c.trials - 1 else step * c.backtrack
    state["direction"] = p if step > 0 else torch.zeros_like(v)
    seen = state.setdefault("seen", [])
    seen.append((count, len(kept) - 1 - chosen, step < c.lr, ratio))
    return v + step * p


@pytest.mark.parametrize(("name", "lanes"), CASES, ids=["preconditioned", "bare"])
def test_steps_equal_martens_written_out(
    make_run: Maker, small_data: DataSet, name: str, lanes: list[HessianFree]
) -> None:
    """Batches change from step to step; each lane stops, backtracks and searches for itself."""
    train = {"steps": STEPS, "precision": "float64"}
    runs = [make_run(model=MODEL, train=train, optimizer=c, seed=s) for s, c in enumerate(lanes)]
    stack = stack_of(runs, small_data)
    expected, seen = [], []
    for lane in range(len(lanes)):
        v, state = vector(stack, lane), {}
        for step in range(STEPS):
            v = _step(Lane(stack, lane, step), v, state)
        expected.append(v)
        seen += state["seen"]
    stack.advance(STEPS)
    for lane, v in enumerate(expected):
        torch.testing.assert_close(vector(stack, lane), v, rtol=1e-6, atol=1e-7)
    counts, back, searched, ratios = zip(*seen, strict=True)
    assert min(counts) < max(counts), "some stopped by their progress"
    assert max(back) > 0, "some went back"
    if lanes is LANES:
        assert any(searched), "steps that bring too little were shortened"
    else:
        assert min(ratios) < 0.25 < 0.75 < max(ratios), "damping rose, and fell"


def _positive(lanes: int, size: int, condition: float, seed: int = 3) -> Tensor:
    """Symmetric matrices with eigenvalues from 1 to 1/condition, (L, P, P)."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(lanes, size, size, generator=generator, dtype=torch.float64)
    q = torch.linalg.qr(made).Q
    values = condition ** -torch.linspace(0, 1, size, dtype=torch.float64)
    return q @ values.diag() @ q.mT


def _solve(matrix: Tensor, b: Tensor, **options: Any) -> Any:
    def product(v: Tensor) -> Tensor:
        return (matrix @ v.unsqueeze(-1)).squeeze(-1)

    tolerance = torch.full((len(b),), options.pop("tolerance", 1e-30), dtype=torch.float64)
    start = options.pop("start", torch.zeros_like(b))
    inverse = options.pop("inverse", None)
    options = {"iterations": 200, **options}
    return conjugate_gradients(product, b, start, inverse, tolerance=tolerance, **options)


def test_conjugate_gradients_do_as_theory_says() -> None:
    """φ falls in every iteration, P of them are exact, and errors keep below Chebyshev's bound.

    |x_k − x*|_A ≤ 2 ((√κ − 1)/(√κ + 1))ᵏ |x₀ − x*|_A; and φ(x) − φ(x*) = ½ |x − x*|²_A.
    """
    matrix = _positive(3, 11, 10.0)
    b = torch.randn(3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = torch.linalg.solve(matrix, b)
    torch.testing.assert_close(
        _solve(matrix, b, iterations=11).kept[-1], exact, rtol=1e-9, atol=1e-9
    )
    condition, size = 100.0, 23
    matrix = _positive(3, size, condition)
    b = torch.randn(3, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = _solve(matrix, b, iterations=2 * size)
    exact = torch.linalg.solve(matrix, b)
    models = torch.stack(found.models)
    assert (models[1:] <= models[:-1] + 1e-13).all()
    least = -(b * exact).sum(1) / 2
    errors = (2 * (models - least).clamp(min=0)).sqrt()
    root = condition**0.5
    rates = ((root - 1) / (root + 1)) ** torch.arange(len(errors), dtype=torch.float64)
    assert (errors <= 2 * rates[:, None] * errors[0] + 1e-9).all()
    residuals = torch.stack(found.residuals)
    bound = 2 * root * rates[:, None] * residuals[0]
    assert (residuals <= bound + 1e-9).all()
    assert residuals[-1].max() < 1e-8
    few = _solve(torch.eye(size, dtype=torch.float64) + b[0, :, None] * b[0], b[1:2])
    assert few.residuals[2].max() < 1e-12, "two different eigenvalues: two iterations"


def test_a_preconditioner_of_the_diagonal_solves_it_at_once() -> None:
    b = torch.randn(2, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = 10.0 ** -torch.arange(11, dtype=torch.float64)
    found = _solve(values.diag().expand(2, -1, -1), b, inverse=1 / values.expand(2, -1))
    torch.testing.assert_close(found.kept[0], b / values, rtol=1e-12, atol=0)


def test_lanes_that_are_done_wait_unchanged() -> None:
    """Each lane has the iterates that it has alone, to the bit; its last one repeats."""
    matrix = torch.stack([*_positive(1, 13, 1.0), *_positive(1, 13, 1e4), *_positive(1, 13, 30.0)])
    b = torch.randn(3, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    b[2] = 0
    start = torch.zeros_like(b)
    found = _solve(matrix, b, start=start, tolerance=1e-3)
    assert len(found.kept) > 6
    for lane in range(3):
        alone = _solve(matrix[lane : lane + 1], b[lane : lane + 1], tolerance=1e-3)
        torch.testing.assert_close(found.kept[-1][lane], alone.kept[-1][0], rtol=1e-10, atol=1e-12)
    assert found.kept[3][0].equal(found.kept[-1][0])
    assert not found.kept[-1][2].any(), "nothing to solve"


def test_a_lane_without_numbers_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = _positive(3, 7, 10.0)
    b = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    clean = _solve(matrix, b)
    bad = matrix.clone()
    bad[1, 2] = torch.nan
    dirty = _solve(bad, b)
    assert dirty.kept[-1][[0, 2]].isfinite().all()
    torch.testing.assert_close(dirty.kept[-1][[0, 2]], clean.kept[-1][[0, 2]])
    assert not dirty.kept[-1][1].isfinite().all()
    assert len(dirty.models) < 20
    negative = matrix.clone()
    negative[1] *= -1
    assert _solve(negative, b).kept[-1].isfinite().all(), "no positive curvature: it stops"
    monkeypatch.setattr(lag, "_LAG", {"cpu": 2})
    late = _solve(matrix, b)
    assert late.kept[-1].equal(clean.kept[-1]), "heard of two iterations later: nothing changes"
    assert len(late.models) == len(clean.models) + 2
