"""Newton, natural gradient and Gauss–Newton equal their formulas with matrices written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.newton.written_out import Lane, adapted, stack_of, vector
from trainables.configs import Mlp, RunConfig
from trainables.configs.newton import GaussNewton, NaturalGradient, Newton
from trainables.data import DataSet

Maker = Callable[..., RunConfig]
MODEL = Mlp(hidden=(3,), activation="tanh")
STEPS = 20
CASES: list[tuple[str, list[Any]]] = [
    (
        "newton",
        [
            Newton(damping=0.5),
            Newton(damping=1.0, lr=0.5, momentum=0.5, weight_decay=0.1),
            Newton(damping=2.0, momentum=0.9),
        ],
    ),
    (
        "newton",
        [
            Newton(saddle="free", damping=0.1, skip_vectors=True),
            Newton(saddle="free", damping=0.3, lr=0.5, weight_decay=0.2, skip_vectors=True),
        ],
    ),
    (
        "natural_gradient",
        [
            NaturalGradient(lr=0.5, damping=0.1),
            NaturalGradient(lr=0.1, damping=0.01, momentum=0.5, weight_decay=0.1),
            NaturalGradient(lr=1.0, damping=0.5, weight_decay=0.2),
        ],
    ),
    (
        "natural_gradient",
        [
            NaturalGradient(fisher="empirical", lr=0.1, damping=0.1, skip_vectors=True),
            NaturalGradient(
                fisher="empirical", lr=0.5, damping=1.0, weight_decay=0.1, skip_vectors=True
            ),
        ],
    ),
    (
        "gauss_newton",
        [
            GaussNewton(damping=1.0),
            GaussNewton(damping=0.03, damping_factor=3.0, weight_decay=0.02),
            GaussNewton(damping=0.1, lr=0.7, damping_factor=1.0),
        ],
    ),
]


def _newton(at: Lane, v: Tensor, state: dict[str, Any], lr: float) -> Tensor:
    c = at.config
    matrix, eye = at.hessian(v), torch.eye(len(v), dtype=v.dtype)
    if c.saddle == "free":
        values, vectors = torch.linalg.eigh(matrix)
        matrix = vectors @ values.abs().diag() @ vectors.T
    d = torch.linalg.inv(matrix + c.damping * eye) @ at.gradient(v)
    m = state["m"] = c.momentum * state.get("m", 0) + d
    return v - lr * m


def _natural_gradient(at: Lane, v: Tensor, state: dict[str, Any], lr: float) -> Tensor:
    c = at.config
    if c.fisher == "exact":
        fisher = at.fisher(v)
    else:
        g = at.example_gradients(v)
        fisher = g.T @ g / len(g) + at.decay.diag()
    eye = torch.eye(len(v), dtype=v.dtype)
    d = torch.linalg.inv(fisher + c.damping * eye) @ at.gradient(v)
    m = state["m"] = c.momentum * state.get("m", 0) + d
    return v - lr * m


def _gauss_newton(at: Lane, v: Tensor, state: dict[str, Any], lr: float) -> Tensor:
    c = at.config
    damping = state.setdefault("damping", c.damping)
    g, matrix = at.gradient(v), at.gauss_newton(v)
    eye = torch.eye(len(v), dtype=v.dtype)
    s = -lr * torch.linalg.inv(matrix + damping * eye) @ g
    ratio = (at.value(v + s) - at.value(v)) / float(g @ s + s @ matrix @ s / 2)
    state["damping"] = adapted(damping, ratio, c.damping_factor)
    state.setdefault("ratios", []).append(ratio)
    return v + s if ratio > 0 else v


WRITTEN_OUT = {
    "newton": _newton,
    "natural_gradient": _natural_gradient,
    "gauss_newton": _gauss_newton,
}


@pytest.mark.parametrize(("name", "lanes"), CASES)
def test_steps_equal_the_formulas(
    make_run: Maker, small_data: DataSet, name: str, lanes: list[Any]
) -> None:
    train = {"steps": STEPS, "precision": "float64"}
    runs = [
        make_run(model=MODEL, train=train, optimizer=c, seed=seed) for seed, c in enumerate(lanes)
    ]
    stack = stack_of(runs, small_data)
    expected: list[Tensor] = []
    ratios: list[float] = []
    for lane, config in enumerate(lanes):
        v, state = vector(stack, lane), {}
        for step in range(STEPS):
            v = WRITTEN_OUT[name](Lane(stack, lane, step), v, state, config.lr)
        expected.append(v)
        ratios += state.get("ratios", [])
    start = [vector(stack, lane) for lane in range(len(lanes))]
    stack.advance(STEPS)
    for lane, v in enumerate(expected):
        assert (v - start[lane]).norm() > 0.1, "it moved"
        torch.testing.assert_close(vector(stack, lane), v, rtol=1e-8, atol=1e-9)
    if name == "gauss_newton":
        assert min(ratios) < 0.25 < 0.75 < max(ratios), "damping rose, and fell"
        assert min(ratios) < 0, "a step was refused"
