"""Least squares of condition 10⁶: what methods of second order take, and SGD tuned for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.newton.written_out import stack_of, vector
from trainables.configs import RunConfig
from trainables.configs.data import LeastSquares
from trainables.configs.kronecker import Kfac
from trainables.configs.models import Linear
from trainables.configs.newton import GaussNewton, HessianFree, Lbfgs, NaturalGradient, Newton
from trainables.configs.optimizers import Sgd
from trainables.data.synthetic import least_squares
from trainables.engine import Stack

Maker = Callable[..., RunConfig]
CONDITION, EXAMPLES, TARGET = 1e6, 53, 1e-9
"""The target is the excess loss, as a share of what it is at first."""
FEWER = 50
PROBLEM = LeastSquares(features=13, examples=EXAMPLES, condition=CONDITION)
METHODS: list[Any] = [
    Newton(damping=0.0),
    Newton(damping=1e-9, saddle="free"),
    NaturalGradient(lr=1.0, damping=0.0),
    GaussNewton(),
    GaussNewton(damping=1e-3),
    HessianFree(),
    Lbfgs(c2=0.1),
    Lbfgs(c2=0.1, history=20),
    Kfac(lr=1.0, damping=1e-14, pi=False, kl_clip=0.0, momentum=0.0, fisher="exact"),
]


def _stack(make_run: Maker, config: Any, steps: int) -> Stack:
    train = {"steps": steps, "batch_size": EXAMPLES, "loss": "quadratic", "precision": "float64"}
    run = make_run(data=PROBLEM, model=Linear(bias=False), train=train, optimizer=config)
    return stack_of([run], least_squares(PROBLEM))


class Quadratic:
    """½ Σ h e²: eigenvalues of the Hessian, and the error at first in its eigenbasis."""

    def __init__(self, stack: Stack) -> None:
        x, y = (tensor.numpy() for tensor in stack.arrays.train)
        self.values, self.vectors = np.linalg.eigh(x.T @ x / len(x))
        self.least = np.linalg.lstsq(x, y[:, 0], rcond=None)[0]
        self.start = self.error(stack)
        assert self.values.max() / self.values.min() == pytest.approx(CONDITION, rel=0.1)

    def error(self, stack: Stack) -> Any:
        return self.vectors.T @ (vector(stack, 0).numpy() - self.least)

    def excess(self, error: Any) -> Any:
        """As a share of that at first."""
        first = (self.values * self.start**2).sum()
        return (self.values * error**2).sum(-1) / first


def _descend(quadratic: Quadratic, rates: Any, momenta: Any, steps: int) -> tuple[Any, int]:
    """Errors (G, P) of gradient descent with momentum at G pairs, and steps to the target."""
    error = np.broadcast_to(quadratic.start, (len(rates), len(quadratic.values)))
    memory, taken = np.zeros_like(error), 0
    with np.errstate(over="ignore", invalid="ignore"):
        while taken < steps and not (quadratic.excess(error) <= TARGET).any():
            memory = momenta[:, None] * memory + quadratic.values * error
            error = error - rates[:, None] * memory
            taken += 1
    return error, taken


def _tuned(quadratic: Quadratic) -> int:
    """The fewest steps over a grid, with what theory calls the best pair (Polyak 1964)."""
    most, least = quadratic.values.max(), quadratic.values.min()
    root = (most / least) ** 0.5
    best = (4 / (most**0.5 + least**0.5) ** 2, ((root - 1) / (root + 1)) ** 2)
    grid = [
        (rate / most, 1 - gap)
        for rate in (0.1, 0.3, 1.0, 1.9, 2.5, 3.0, 3.6, 3.9)
        for gap in (1.0, 0.3, 0.1, 0.03, 0.01, 0.006, 0.004, 0.003, 0.002, 0.001)
    ]
    rates, momenta = (np.array(column) for column in zip(best, *grid, strict=True))
    _, steps = _descend(quadratic, rates, momenta, 30_000)
    return steps


def test_it_is_our_sgd_that_is_tuned(make_run: Maker) -> None:
    stack = _stack(make_run, Sgd(lr=1.5, momentum=0.9), 101)
    quadratic = Quadratic(stack)
    error, steps = _descend(quadratic, np.array([1.5]), np.array([0.9]), 101)
    assert steps == 101
    stack.advance(101)
    np.testing.assert_allclose(quadratic.error(stack), error[0], rtol=1e-8, atol=1e-12)


def test_second_order_takes_a_fiftieth_of_the_steps(make_run: Maker) -> None:
    quadratic = Quadratic(_stack(make_run, METHODS[0], 1))
    tuned = _tuned(quadratic)
    assert 2_000 < tuned < 30_000, "it is reached, and not soon"
    taken = {}
    for config in METHODS:
        stack = _stack(make_run, config, tuned // FEWER)
        for step in range(1, tuned // FEWER + 1):
            stack.advance(step)
            if quadratic.excess(quadratic.error(stack)) <= TARGET:
                taken[config] = step
                break
    assert taken.keys() == set(METHODS), (tuned, taken)
    assert [taken[config] for config in METHODS[:3]] == [1, 1, 1]
