"""Problems whose answer is known: least squares in one step, and other variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.curvature.around import Around, around
from tests.engine.dense_optimizers import NETWORK
from tests.newton.written_out import stack_of, vector
from trainables.configs import RunConfig
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.newton import GaussNewton, HessianFree, Lbfgs, NaturalGradient, Newton
from trainables.data.synthetic import least_squares
from trainables.engine import Stack
from trainables.hyper import hyperparameters
from trainables.lanes import Tree
from trainables.optimizers import OPTIMIZERS, Context

Maker = Callable[..., RunConfig]
EXAMPLES = 53


def squares(make_run: Maker, configs: list[Any], steps: int, **options: Any) -> Stack:
    """Lanes on one least-squares problem, with full batches."""
    problem = LeastSquares(**({"features": 7, "examples": EXAMPLES, "noise": 0.3} | options))
    train = {"steps": steps, "batch_size": EXAMPLES, "loss": "quadratic", "precision": "float64"}
    runs = [
        make_run(data=problem, model=Linear(), train=train, optimizer=c, seed=seed)
        for seed, c in enumerate(configs)
    ]
    return stack_of(runs, least_squares(problem))


def solution(stack: Stack, decay: float = 0.0) -> Tensor:
    """argmin ½|Xw − y|²/n + ½δ|w|², the constant last."""
    x, y = stack.arrays.train
    ones = torch.ones(len(x), 1, dtype=x.dtype)
    x = torch.cat([x, ones], 1)
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    return torch.linalg.solve(x.T @ x / len(x) + decay * eye, (x.T @ y).squeeze(1) / len(x))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_least_squares_take_one_step(make_run: Maker, decay: float) -> None:
    """To 10⁻¹⁰, decay included; the loss is quadratic, so its model is the loss."""
    kinds: list[tuple[Any, dict[str, Any]]] = [
        (Newton, {}),
        (Newton, {"saddle": "free"}),
        (NaturalGradient, {"lr": 1.0}),
        (GaussNewton, {}),
        (HessianFree, {"cg_tolerance": 1e-30}),
    ]
    for kind, options in kinds:
        lanes = [kind(damping=0.0, weight_decay=decay, **options) for _ in range(3)]
        stack = squares(make_run, lanes, 3)
        expected = solution(stack, decay)
        stack.advance(1)
        for lane in range(3):
            torch.testing.assert_close(vector(stack, lane), expected, rtol=1e-10, atol=1e-10)


def test_a_share_of_newtons_step_goes_that_share_of_the_way(make_run: Maker) -> None:
    stack = squares(make_run, [Newton(damping=0.0, lr=lr) for lr in (0.25, 0.5)], 3)
    start, end = [vector(stack, lane) for lane in (0, 1)], solution(stack)
    stack.advance(1)
    for lane, lr in enumerate((0.25, 0.5)):
        expected = (1 - lr) * start[lane] + lr * end
        torch.testing.assert_close(vector(stack, lane), expected, rtol=1e-10, atol=1e-10)


def test_damping_falls_where_the_model_is_right(make_run: Maker) -> None:
    """On a quadratic ρ ≥ 1 with the model that has no damping in it: λ falls by ω each step."""
    kinds = [GaussNewton(damping=3.0, damping_factor=2.0), GaussNewton(damping=0.1)]
    stack = squares(make_run, kinds, 5)
    stack.advance(4)
    assert stack.state["damping"][""].tolist() == pytest.approx([2.0**-4, 1.5**-4])
    stack = squares(make_run, [HessianFree(damping=3.0, damping_factor=2.0)], 5)
    stack.advance(4)
    assert stack.state["damping"][""].tolist() == pytest.approx([2.0**-4])


def test_lbfgs_with_exact_searches_ends_in_as_many_steps_as_weights(make_run: Maker) -> None:
    """With history for all of them it is conjugate gradients on a quadratic, but for rounding."""
    lanes = [Lbfgs(c2=1e-6, c1=1e-7, history=11, trials=60)]
    stack = squares(make_run, lanes, 11, condition=10.0)
    stack.advance(9)
    torch.testing.assert_close(vector(stack, 0), solution(stack), rtol=1e-6, atol=1e-6)


def _step(name: str, config: Any, found: Around) -> Tree:
    optimizer = OPTIMIZERS[name]
    losses, grads = found.curvature.gradient(found.params)
    configs = [config] * len(losses)
    state = optimizer.init(found.params, config, NETWORK)
    context = Context(config, losses, 1.0, found.curvature.losses, 0, found.curvature)
    hyper = hyperparameters(configs, torch.device("cpu"))
    with torch.no_grad():
        new, _ = optimizer.update(grads, state, found.params, hyper, context)
    return new


def _mlp(outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh(), torch.nn.Linear(3, outputs))


@pytest.mark.parametrize(
    "config",
    [
        NaturalGradient(lr=0.3, damping=0.0),
        NaturalGradient(lr=0.3, damping=0.0, fisher="empirical"),
        GaussNewton(damping=0.0, lr=0.3),
    ],
    ids=["exact", "empirical", "Gauss–Newton"],
)
def test_steps_do_not_depend_on_the_parametrization(config: Any) -> None:
    """x ↦ A x + b of the inputs, undone by the first layer: the same function before and after.

    W (A x + b) + c equals W̃ x + c̃ with W̃ = W A, c̃ = W b + c: another parametrization, affine in
    the first one, in which the natural gradient's step is the same function (Amari 1998; Martens
    2020, section 12). Plain gradients' is not.
    """
    generator = torch.Generator().manual_seed(3)
    plain = around(_mlp, "quadratic", examples=47)
    a = torch.eye(5, dtype=torch.float64) + 0.3 * torch.randn(
        5, 5, generator=generator, dtype=torch.float64
    )
    b = torch.randn(5, generator=generator, dtype=torch.float64)
    moved = around(
        _mlp, "quadratic", examples=47, x=plain.batch.x @ a.T + b, targets=plain.batch.targets
    )
    inverse = torch.linalg.inv(a)
    weight, bias = plain.params["0.weight"], plain.params["0.bias"]
    moved.params.update({"0.weight": weight @ inverse, "0.bias": bias - weight @ inverse @ b})
    name = config.name
    for one, other in (
        (plain.params, moved.params),
        (_step(name, config, plain), _step(name, config, moved)),
    ):
        outputs = [
            around_.curvature.objective.outputs(params)
            for around_, params in ((plain, one), (moved, other))
        ]
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-7, atol=1e-8)
    taken = _step(name, config, plain)
    assert (taken["0.weight"] - weight).norm() > 1e-2
    grads = [found.curvature.gradient(found.params)[1] for found in (plain, moved)]
    steps = [
        {n: p - 0.3 * g[n] for n, p in found.params.items()}
        for found, g in zip((plain, moved), grads, strict=True)
    ]
    first, second = (
        found.curvature.objective.outputs(params)
        for found, params in zip((plain, moved), steps, strict=True)
    )
    assert (first - second).abs().max() > 1e-2
