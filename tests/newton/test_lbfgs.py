"""L-BFGS equals its recursion and line search written out, and torch.optim.LBFGS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.curvature.around import MODULES, Around, around
from tests.newton.test_strong_wolfe import Seen, search
from tests.newton.written_out import Lane, stack_of, vector
from trainables.configs import Digits, Mlp, RunConfig
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.newton import Lbfgs
from trainables.data import DataSet
from trainables.data.synthetic import least_squares
from trainables.hyper import hyperparameters
from trainables.lanes import State, Tree
from trainables.optimizers import OPTIMIZERS, Context
from trainables.optimizers.lbfgs import two_loops

Maker = Callable[..., RunConfig]
MODEL = Mlp(hidden=(3,), activation="tanh")
STEPS = 20
CASES: list[tuple[str, list[Lbfgs]]] = [
    (
        "lbfgs",
        [
            Lbfgs(history=3, line_search="fixed", lr=0.1, pair_damping=0.1),
            Lbfgs(history=3, line_search="fixed", lr=0.3, weight_decay=0.1),
            Lbfgs(history=3, line_search="fixed", lr=0.2, eps=0.7, weight_decay=0.1),
        ],
    ),
    (
        "lbfgs",
        [
            Lbfgs(history=5, weight_decay=0.05, skip_vectors=True),
            Lbfgs(history=5, lr=8.0, c1=0.3, c2=0.4, skip_vectors=True, weight_decay=0.1),
            Lbfgs(history=5, lr=0.03, c1=0.0, c2=0.1, skip_vectors=True, weight_decay=0.02),
        ],
    ),
]


def _direction(g: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Algorithm 7.4, as a matrix: H of BFGS updates of γI, the oldest pair first (7.2)."""
    eye = torch.eye(len(g), dtype=g.dtype)
    if not pairs:
        return -g
    s, y = pairs[-1]
    h = (s @ y) / (y @ y) * eye
    for s, y in pairs:
        v = eye - torch.outer(y, s) / (s @ y)
        h = v.T @ h @ v + torch.outer(s, s) / (s @ y)
    return -h @ g


def _step(at: Lane, v: Tensor, pairs: list[tuple[Tensor, Tensor]], seen: Seen) -> Tensor:
    c, g = at.config, at.gradient(v)
    p = _direction(g, pairs)
    first = c.lr * (1 if pairs else min(1.0, 1 / float(g.abs().sum())))

    def phi(step: float) -> tuple[float, float]:
        return at.value(v + step * p), float(at.gradient(v + step * p) @ p)

    step = first if c.line_search == "fixed" else search(phi, first, c, seen)
    s = step * p
    y = at.gradient(v + s) - g + c.pair_damping * s
    if s @ y > c.eps * s.norm() * y.norm():
        pairs[:] = [*pairs, (s, y)][-c.history :]
    elif step == 0:
        pairs.clear()
    else:
        seen["skipped"] = seen.get("skipped", 0) + 1
    return v + s


@pytest.mark.parametrize(("name", "lanes"), CASES, ids=["fixed", "strong Wolfe"])
def test_steps_equal_the_algorithms_written_out(
    make_run: Maker, small_data: DataSet, name: str, lanes: list[Lbfgs]
) -> None:
    """Batches change from step to step; pairs are each of one batch."""
    train = {"steps": STEPS, "precision": "float64", "batch_size": 29}
    runs = [make_run(model=MODEL, train=train, optimizer=c, seed=s) for s, c in enumerate(lanes)]
    stack = stack_of(runs, small_data)
    expected, seen = [], Seen()
    for lane in range(len(lanes)):
        v, pairs = vector(stack, lane), []
        for step in range(STEPS):
            v = _step(Lane(stack, lane, step), v, pairs, seen)
        expected.append(v)
    stack.advance(STEPS)
    for lane, v in enumerate(expected):
        torch.testing.assert_close(vector(stack, lane), v, rtol=1e-7, atol=1e-8)
    wanted = {"skipped"} if lanes[0].line_search == "fixed" else {"grown", "zoomed"}
    assert wanted <= set(seen)


def _full(make_run: Maker, config: Any, data: Any, steps: int, **parts: Any) -> RunConfig:
    examples = parts.pop("examples")
    train = {"steps": steps, "precision": "float64", "batch_size": examples} | parts
    return make_run(model=Linear(), train=train, optimizer=config, data=data)


def _torch(run: RunConfig, stack: Any, steps: int, line_search: str | None) -> Tensor:
    """``torch.optim.LBFGS`` from the same weights on the same batch."""
    at, c = Lane(stack, 0, 0), run.optimizer
    leaf = nn.Parameter(vector(stack, 0))
    optimizer = torch.optim.LBFGS(
        [leaf],
        lr=c.lr,
        max_iter=steps,
        max_eval=10_000,
        history_size=c.history,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn=line_search,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = at.loss(leaf)
        loss.backward()
        return loss

    optimizer.step(closure)
    return leaf.detach()


def test_equals_torch_with_full_batches(make_run: Maker, small_data: DataSet) -> None:
    """Iterate by iterate, without a line search: the same pairs, first step and scaling."""
    config = Lbfgs(lr=0.5, history=7, line_search="fixed", weight_decay=0.1)
    run = _full(
        make_run, config, Digits(valid=0.15, test=0.15), STEPS, examples=len(small_data.train_x)
    )
    stack = stack_of([run], small_data)
    at = Lane(stack, 0, 0)
    for steps in (1, 2, 9, STEPS - 1):  # from yᵀs < 10⁻¹⁰ on PyTorch leaves pairs out
        fresh = stack_of([run], small_data)
        fresh.advance(steps)
        theirs = _torch(run, stack, steps, None)
        assert at.gradient(theirs).norm() > 1e-6
        torch.testing.assert_close(vector(fresh, 0), theirs, rtol=1e-8, atol=1e-9)


def test_reaches_torchs_optimum_of_logistic_regression(
    make_run: Maker, small_data: DataSet
) -> None:
    examples = len(small_data.train_x)
    run = _full(
        make_run, Lbfgs(weight_decay=0.01), Digits(valid=0.15, test=0.15), 60, examples=examples
    )
    stack = stack_of([run], small_data)
    theirs, at = _torch(run, stack, 100, "strong_wolfe"), Lane(stack, 0, 0)
    assert at.gradient(theirs).norm() < 1e-7
    stack.advance(60)
    assert at.gradient(vector(stack, 0)).norm() < 1e-7
    torch.testing.assert_close(vector(stack, 0), theirs, rtol=1e-5, atol=1e-6)


def test_reaches_torchs_optimum_of_ill_conditioned_least_squares(make_run: Maker) -> None:
    config = LeastSquares(features=11, examples=53, condition=1e4, noise=0.3)
    run = _full(make_run, Lbfgs(c2=0.1, history=20), config, 60, examples=53, loss="quadratic")
    stack = stack_of([run], least_squares(config))
    theirs, at = _torch(run, stack, 150, "strong_wolfe"), Lane(stack, 0, 0)
    stack.advance(60)
    least = torch.linalg.solve(
        at.hessian(theirs), at.hessian(theirs) @ theirs - at.gradient(theirs)
    )
    for found in (vector(stack, 0), theirs):
        torch.testing.assert_close(found, least, rtol=1e-5, atol=1e-5)


def _one_step(found: Around, config: Lbfgs, rates: list[float], state: State) -> tuple[Tree, State]:
    losses, grads = found.curvature.gradient(found.params)
    context = Context(config, losses, 1.0, found.curvature.losses, 0, found.curvature)
    hyper = hyperparameters([config] * len(rates), torch.device("cpu"))
    hyper["lr"] = torch.tensor(rates, dtype=torch.float64)
    with torch.no_grad():
        return OPTIMIZERS["lbfgs"].update(grads, state, found.params, hyper, context)


def test_a_small_gradient_is_taken_as_it_is() -> None:
    """The first step is −g/|g|₁ of a gradient that is longer than 1, −g of one that is not."""
    found = around(MODULES["linear"], "quadratic")
    outputs = found.curvature.objective.outputs(found.params).detach()
    found = around(MODULES["linear"], "quadratic", x=found.batch.x, targets=outputs + 1e-3)
    config = Lbfgs(line_search="fixed")
    state = OPTIMIZERS["lbfgs"].init(found.params, config, found.curvature.network)
    new, _ = _one_step(found, config, [1.0, 0.5, 2.0], state)
    grads = found.curvature.gradient(found.params)[1]
    for name, p in found.params.items():
        rates = torch.tensor([1.0, 0.5, 2.0]).view(-1, *[1] * (p.dim() - 1))
        torch.testing.assert_close(new[name], p - rates * grads[name])


def test_pairs_are_dropped_where_no_step_is_found() -> None:
    """One trial that is too long in lane 1: it stays, and begins anew; the others go on."""
    found = around(MODULES["chain"])
    config = Lbfgs(history=3, trials=1)
    optimizer = OPTIMIZERS["lbfgs"]
    state = optimizer.init(found.params, config, found.curvature.network)
    _, state = _one_step(found, config, [1e-2] * 3, state)
    assert all(state["s0"]["0.weight"][lane].any() for lane in range(3))
    new, after = _one_step(found, config, [1e-2, 1e9, 1e-2], state)
    assert new["0.weight"][1].equal(found.params["0.weight"][1])
    assert not any(tensor[1].any() for tree in after.values() for tensor in tree.values())
    assert all(after["s1"]["0.weight"][lane].any() for lane in (0, 2))


def test_pairs_without_curvature_have_no_part() -> None:
    g = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    s = torch.eye(5, dtype=torch.float64)[:2] + 0.1
    none = torch.zeros_like(s)
    mixed = torch.stack([2 * s[0], -s[1]])
    found, bare = two_loops(g, [(s, mixed), (none, none)])
    assert bare.tolist() == [False, True]
    torch.testing.assert_close(found[1], -g[1])
    torch.testing.assert_close(found[0], _direction(g[0], [(s[0], 2 * s[0])]))
