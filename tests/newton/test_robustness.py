"""Lanes beside one that has gone wrong, and problems with nothing to solve."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.curvature.around import CLASSES, EXAMPLES, INPUTS, Around, around
from tests.newton.written_out import stack_of, vector
from trainables.configs import Mlp, RunConfig
from trainables.configs.newton import GaussNewton, HessianFree, Lbfgs, NaturalGradient, Newton
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.forward import Network
from trainables.hyper import hyperparameters
from trainables.lanes import Tree, norm
from trainables.optimizers import OPTIMIZERS, Context
from trainables.optimizers.second_order import (
    LIMITS,
    solved,
    solved_absolute,
    solved_positive,
)

Maker = Callable[..., RunConfig]
CONFIGS: list[Any] = [
    Newton(),
    Newton(saddle="free"),
    NaturalGradient(lr=0.5),
    NaturalGradient(lr=0.5, fisher="empirical"),
    GaussNewton(),
    HessianFree(),
    Lbfgs(),
    Lbfgs(line_search="fixed", lr=0.1),
]


def _name(config: Any) -> str:
    more = [getattr(config, field, "") for field in ("saddle", "fisher", "line_search")]
    return " ".join([config.name, *filter(None, more)])


def _relu(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, 3), nn.ReLU(), nn.Linear(3, outputs))


def _train(found: Around, configs: list[Any], params: Tree, steps: int = 4) -> tuple[Tree, Any]:
    config = configs[0]
    optimizer = OPTIMIZERS[config.name]
    state = optimizer.init(params, config, found.curvature.network)
    hyper = hyperparameters(configs, torch.device("cpu"))
    for step in range(steps):
        with torch.no_grad():
            losses, grads = found.curvature.gradient(params)
            context = Context(config, losses, 1.0, found.curvature.losses, step, found.curvature)
            params, state = optimizer.update(grads, state, params, hyper, context)
    return params, state


@pytest.mark.parametrize("config", CONFIGS, ids=_name)
@pytest.mark.parametrize("wrong", [float("nan"), 1e200], ids=["NaN", "overflow"])
def test_a_broken_lane_harms_no_other(config: Any, wrong: float) -> None:
    """Lane 1 has no numbers, or too large ones; lane 2 has no gradient; lane 0 notices neither."""
    targets = torch.randn(
        3, EXAMPLES, CLASSES, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    targets[2] = 0
    found = around(_relu, "quadratic", targets=targets)
    start = {name: p.clone() for name, p in found.params.items()}
    for p in start.values():
        p[2] = 0
    clean, _ = _train(found, [config] * 3, start)
    bad = {name: p.clone() for name, p in start.items()}
    for p in bad.values():
        p[1] = wrong
    dirty, state = _train(found, [config] * 3, bad)
    for name, p in dirty.items():
        torch.testing.assert_close(p[0], clean[name][0], rtol=1e-9, atol=1e-11)
        assert not p[2].any(), "nothing to do"
        assert not p[1].isfinite().all(), "a NaN must show"
    assert not all(p[0].equal(start[name][0]) for name, p in dirty.items())
    for tree in state.values():
        assert all(tensor[[0, 2]].isfinite().all() for tensor in tree.values())


@pytest.mark.parametrize("config", CONFIGS, ids=_name)
def test_batches_of_one_example(make_run: Maker, small_data: DataSet, config: Any) -> None:
    train = {"steps": 7, "batch_size": 1, "precision": "float64"}
    runs = [
        make_run(model=Mlp(hidden=(3,)), train=train, optimizer=config, seed=s) for s in range(2)
    ]
    stack = stack_of(runs, small_data)
    start = vector(stack, 0)
    stack.advance(7)
    assert all(p.isfinite().all() for p in stack.params.values())
    assert not vector(stack, 0).equal(start)


@pytest.mark.parametrize("kind", [Newton, NaturalGradient, GaussNewton, HessianFree])
def test_singular_matrices_without_damping(kind: Any) -> None:
    """Lane 1 has a unit that is never active, and softmax leaves a direction free in all lanes.

    Lane 0 has damping, and steps as beside a lane like itself.
    """
    found = around(_relu)
    found.params["0.weight"][1, 0] = 0
    found.params["0.bias"][1, 0] = -1
    configs = [kind(lr=0.5, damping=damping) for damping in (0.1, 0.0, 0.0)]
    new, _ = _train(found, configs, found.params)
    tame, _ = _train(found, configs[:1] * 3, found.params)
    for name, p in new.items():
        assert p[0].isfinite().all()
        torch.testing.assert_close(p[0], tame[name][0], rtol=1e-9, atol=1e-11)
        assert tame[name].isfinite().all()
    dead = new["0.weight"][1, 0]
    assert kind in (Newton, NaturalGradient) or not dead.any(), "it stays, or the lane is lost"


def test_dead_units_and_masked_weights_do_not_stop_newton() -> None:
    """Least squares with an input that is always 0: its weights stay, the others are solved."""
    found = around(lambda outputs: nn.Linear(INPUTS, outputs), "quadratic")
    x = found.batch.x.clone()
    x[..., 2] = 0
    found = around(
        lambda outputs: nn.Linear(INPUTS, outputs), "quadratic", x=x, targets=found.batch.targets
    )
    for config in (
        Newton(damping=0.0),
        Newton(damping=0.0, saddle="free"),
        NaturalGradient(lr=1.0, damping=0.0),
        GaussNewton(damping=0.0),
    ):
        new, _ = _train(found, [config] * 3, found.params, steps=1)
        torch.testing.assert_close(
            new["weight"][..., 2], found.params["weight"][..., 2], rtol=0, atol=1e-14
        )
        assert (norm(found.curvature.gradient(new)[1]) < 1e-10).all()


@pytest.mark.parametrize("kind", [GaussNewton, HessianFree])
def test_damping_keeps_within_its_limits(kind: Any) -> None:
    """However long it rises or falls; at either end weights stay numbers."""
    found = around(_relu)
    for factor in LIMITS:
        config = kind(damping=1.0, damping_factor=100.0)
        optimizer = OPTIMIZERS[config.name]
        state = optimizer.init(found.params, config, found.curvature.network)
        state["damping"][""].fill_(factor)
        hyper, params = hyperparameters([config] * 3, torch.device("cpu")), found.params
        for step in range(5):
            with torch.no_grad():
                losses, grads = found.curvature.gradient(params)
                context = Context(
                    config, losses, 1.0, found.curvature.losses, step, found.curvature
                )
                params, state = optimizer.update(grads, state, params, hyper, context)
            low, high = LIMITS
            assert ((state["damping"][""] >= low) & (state["damping"][""] <= high)).all()
        assert all(p.isfinite().all() for p in params.values())
    huge, _ = _train(found, [kind(damping=1e290)] * 3, found.params)
    for name, p in huge.items():
        torch.testing.assert_close(p, found.params[name])


def test_a_step_that_raises_the_loss_is_not_taken(make_run: Maker, small_data: DataSet) -> None:
    """Full batches, no damping to speak of: the loss never rises, and damping does."""
    examples = len(small_data.train_x)
    train = {"steps": 30, "batch_size": examples, "precision": "float64"}
    damping = {"damping": 1e-6, "damping_factor": 10.0}
    for config in (GaussNewton(**damping), HessianFree(cg_iterations=17, **damping)):
        run = make_run(model=Mlp(hidden=(11, 3)), train=train, optimizer=config)
        stack: Stack = stack_of([run], small_data)
        losses, dampings = [], []
        for step in range(1, 31):
            stack.advance(step)
            losses.append(float(stack._losses[-1]))
            dampings.append(float(stack.state["damping"][""]))
        assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(losses))
        assert max(dampings) > 1
        assert losses[-1] < 0.1 * losses[0]


def test_eigenvalues_without_their_signs() -> None:
    """A lane without numbers, one of zeros, a huge and a tiny one: each for itself."""
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(5, 7, 7, generator=generator, dtype=torch.float64)
    matrix = made + made.mT
    matrix[1] = 0
    matrix[2, 3] = torch.nan
    matrix[3] *= 1e290
    matrix[4] *= 1e-290
    right = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    damping = torch.tensor([0.3, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = solved_absolute(matrix, right, damping)
    values, vectors = torch.linalg.eigh(matrix[0])
    expected = vectors @ ((vectors.T @ right[0]) / (values.abs() + 0.3))
    torch.testing.assert_close(found[0], expected, rtol=1e-12, atol=1e-13)
    assert not found[1].any()
    assert found[2].isnan().all()
    for lane, scale in ((3, 1e290), (4, 1e-290)):
        values, vectors = torch.linalg.eigh(matrix[lane] / scale)
        expected = vectors @ ((vectors.T @ right[lane]) / values.abs())
        torch.testing.assert_close(found[lane] * scale, expected, rtol=1e-9, atol=1e-10)


def test_singular_and_indefinite_matrices_give_no_numbers() -> None:
    """In their lanes: a singular one, an indefinite one, one without numbers, and a good one."""
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(4, 5, 5, generator=generator, dtype=torch.float64)
    matrix = made @ made.mT
    matrix[0, 2], matrix[0, :, 2] = 0, 0
    matrix[1] -= 2 * torch.eye(5)
    matrix[2, 1] = torch.nan
    right = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    plain, positive = solved(matrix, right), solved_positive(matrix, right)
    assert plain.isnan().all(1).tolist() == [True, False, True, False]
    assert positive.isnan().all(1).tolist() == [True, True, True, False]
    for found, lane in ((plain, 1), (plain, 3), (positive, 3)):
        torch.testing.assert_close(matrix[lane] @ found[lane], right[lane])


@pytest.mark.parametrize("config", [Newton(max_parameters=39), GaussNewton(max_parameters=39)])
def test_large_models_are_refused(config: Any) -> None:
    params = {"weight": torch.zeros(2, 5, 7), "bias": torch.zeros(2, 5)}
    network = Network.of(nn.Linear(7, 5))
    with pytest.raises(ValueError, match="the model has 40, max_parameters allows 39"):
        OPTIMIZERS[config.name].init(params, config, network)


@pytest.mark.parametrize(
    ("config", "instead"),
    [
        (HessianFree(), "use preconditioner: none"),
        (NaturalGradient(lr=0.1, fisher="empirical"), "use fisher: exact"),
    ],
)
def test_batch_norm_has_no_gradients_of_examples(config: Any, instead: str) -> None:
    network = Network.of(nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5)))
    params = {"0.weight": torch.zeros(2, 5, 7)}
    with pytest.raises(ValueError, match=instead):
        OPTIMIZERS[config.name].init(params, config, network)
