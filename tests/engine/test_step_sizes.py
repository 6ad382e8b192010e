"""Methods that find their step: closed forms on problems whose answer is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.engine.dense_optimizers import NETWORK
from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.configs.optimizers import BarzilaiBorwein, ScheduleFreeSgd, Sls, Sps
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.forward import training_losses
from trainables.gradients import batch_gradients
from trainables.hyper import hyperparameters
from trainables.lanes import Tree
from trainables.losses import LOSSES
from trainables.optimizers import OPTIMIZERS, Context, lag

CURVATURES = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)


def _no_loss(params: Tree) -> Tensor:
    raise AssertionError("the method looks at no other point")


def _quadratic(point: Tensor) -> tuple[Tensor, Tensor]:
    """f = ½ Σ h x², per lane, and its gradient; the minimum is 0 at 0."""
    return 0.5 * (CURVATURES * point**2).sum(1), CURVATURES * point


def _descend(config: Sps | Sls | BarzilaiBorwein, steps: int) -> list[Tensor]:
    params = {"x": torch.tensor([[1.0, -2.0, 0.7]], dtype=torch.float64)}
    optimizer = OPTIMIZERS[config.name]
    state = optimizer.init(params, config, NETWORK)
    hyper = hyperparameters([config], torch.device("cpu"))
    points = [params["x"]]
    for _ in range(steps):
        loss, grad = _quadratic(params["x"])
        context = Context(config, loss, 0.5, lambda at: _quadratic(at["x"])[0])
        params, state = optimizer.update({"x": grad}, state, params, hyper, context)
        points.append(params["x"])
    return points


def test_polyak_finds_the_step_of_a_round_bowl() -> None:
    """On ½h‖x‖² the step is 1/(2ch): with c = ½ one step reaches the minimum, from any h."""
    config = Sps(c=0.5, max_step=100.0)
    start = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = CURVATURES[:, None]
    context = Context(config, 0.5 * (h * start**2).sum(1), 1.0, _no_loss)
    hyper = hyperparameters([config] * 3, torch.device("cpu"))
    state = OPTIMIZERS["sps"].init({"x": start}, config, NETWORK)
    params, _ = OPTIMIZERS["sps"].update({"x": h * start}, state, {"x": start}, hyper, context)
    assert params["x"].abs().max() < 1e-15


def test_polyak_interpolates_least_squares() -> None:
    """Consistent equations, one a step, c = ½: Kaczmarz's projections, down to rounding."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    solution = torch.randn(5, dtype=torch.float64, generator=generator)
    config = Sps(c=0.5, max_step=1e6, smooth=False)
    hyper = hyperparameters([config], torch.device("cpu"))
    params = {"x": torch.zeros(1, 5, dtype=torch.float64)}
    state = OPTIMIZERS["sps"].init(params, config, NETWORK)
    for step in range(600):
        row = rows[step % 3]
        residual = params["x"] @ row - row @ solution
        context = Context(config, 0.5 * residual**2, 1 / 3, _no_loss)
        grads = {"x": residual[:, None] * row}
        projected = params["x"] - residual[:, None] * row / (row @ row)
        params, state = OPTIMIZERS["sps"].update(grads, state, params, hyper, context)
        torch.testing.assert_close(params["x"], projected, rtol=1e-12, atol=1e-15)
    assert (rows @ (params["x"][0] - solution)).abs().max() < 1e-10


def test_a_smooth_polyak_step_doubles_at_most_once_an_epoch() -> None:
    points = _descend(Sps(max_step=1e-3), 6)
    for k, (before, after) in enumerate(itertools.pairwise(points)):
        step = ((before - after).norm() / (CURVATURES * before).norm()).item()
        assert step == pytest.approx(1e-3 * math.sqrt(2) ** k, rel=1e-9)


def test_a_line_search_takes_the_first_step_that_armijo_allows() -> None:
    """Against the search written out in plain numbers; steps fall, and grow again."""
    config = Sls(lr=4.0, c=0.3, backtrack=0.7, growth=1.5)
    points = [point[0] for point in _descend(config, 17)]
    h, x, last = CURVATURES, points[0], None
    taken = []
    for point in points[1:]:
        g, f = h * x, 0.5 * (h * x * x).sum()
        step = 4.0 if last is None else min(4.0, last * 1.5**0.5)
        while 0.5 * (h * (x - step * g) ** 2).sum() > f - 0.3 * step * (g @ g):
            step *= 0.7
        x, last = x - step * g, step
        taken.append(step)
        torch.testing.assert_close(point, x, rtol=1e-9, atol=1e-14)
    assert min(taken) < 0.45 < 0.65 < max(taken) < 4


def test_a_line_search_stays_below_the_learning_rate() -> None:
    """Where every step would do, steps want to grow, and the rate is what holds them."""
    points = _descend(Sls(lr=0.01, growth=3.0), 7)
    for before, after in itertools.pairwise(points):
        torch.testing.assert_close(after, before - 0.01 * CURVATURES * before)


def _search(config: Sls) -> tuple[Tensor, int]:
    """Where one step of three lanes leads, one of them without numbers; and trials made."""
    start = torch.tensor([[1.0, -2.0], [0.5, 0.3], [math.nan, 1.0]], dtype=torch.float64)
    curvatures = torch.tensor([[0.5, 1.0], [9.0, 30.0], [1.0, 1.0]], dtype=torch.float64)
    trials = []

    def loss_at(params: Tree) -> Tensor:
        trials.append(params)
        return (curvatures * params["x"] ** 2).sum(1) / 2

    context = Context(config, loss_at({"x": start}), 0.5, loss_at)
    trials.clear()
    hyper = hyperparameters([config] * 3, torch.device("cpu"))
    optimizer = OPTIMIZERS["sls"]
    state = optimizer.init({"x": start}, config, NETWORK)
    grads = {"x": curvatures * start}
    params, _ = optimizer.update(grads, state, {"x": start}, hyper, context)
    return params["x"], len(trials)


@pytest.mark.parametrize("trials", [3, 13, 100])
def test_a_line_search_that_looks_late_finds_the_same(
    monkeypatch: pytest.MonkeyPatch, trials: int
) -> None:
    """On a GPU it hears two trials later that all lanes have their step: bit for bit the same."""
    config = Sls(lr=2.0, c=0.3, backtrack=0.7, trials=trials)
    found, made = _search(config)
    monkeypatch.setattr(lag, "_LAG", {"cpu": 2})
    late, more = _search(config)
    assert late[:2].equal(found[:2])
    assert made == min(12, trials)  # 2 · 0.7¹¹ is the first step that Armijo allows lane 1
    assert more == min(made + 2, trials)


def test_a_line_search_keeps_to_its_trials() -> None:
    """Where no step will do, the last one tried is taken: the smallest."""
    config = Sls(lr=1e6, backtrack=0.5, trials=3)
    start, after = _descend(config, 1)
    torch.testing.assert_close(after, start - 1e6 * 0.25 * CURVATURES * start)


@pytest.mark.parametrize("variant", ["long", "short"])
def test_barzilai_borwein_solves_a_quadratic(variant: str) -> None:
    """Against the two-point formula in plain numbers, and to the minimum in a few steps."""
    config = BarzilaiBorwein(first_step=0.1, variant=variant)
    points = [point[0] for point in _descend(config, 25)]
    h, x, old, step = CURVATURES, points[0], None, 0.1
    for point in points[:12]:
        torch.testing.assert_close(point, x, rtol=1e-8, atol=1e-14)
        if old is not None:
            s = x - old
            numbers = ((s @ s) / (s @ (h * s)), (s @ (h * s)) / ((h * s) @ (h * s)))
            step = numbers[variant == "short"].item()
        old, x = x, x - step * h * x
    assert points[-1].abs().max() < 1e-8


def test_barzilai_borwein_keeps_its_step_where_the_curvature_is_negative() -> None:
    config = BarzilaiBorwein(first_step=0.1)
    hyper = hyperparameters([config], torch.device("cpu"))
    params = {"x": torch.ones(1, 3, dtype=torch.float64)}
    state = OPTIMIZERS["barzilai_borwein"].init(params, config, NETWORK)
    for _ in range(4):
        context = Context(config, torch.zeros(1), 1.0, _no_loss)
        grads = {"x": -params["x"]}
        before = params["x"]
        params, state = OPTIMIZERS["barzilai_borwein"].update(grads, state, params, hyper, context)
        torch.testing.assert_close(params["x"], 1.1 * before)


def test_the_engine_evaluates_the_average(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """With momentum 0 schedule-free SGD trains as SGD, and evaluates the mean of its iterates."""
    run = make_run(
        optimizer=ScheduleFreeSgd(lr=0.3, momentum=0.0), train={"steps": 5, "precision": "float64"}
    )
    stack = Stack([run], Arrays.of(small_data, torch.device("cpu"), torch.float64))
    iterates = []
    for step in range(5):
        stack.advance(step + 1)
        iterates.append(stack.params)
    found, _ = stack.evaluate()
    stack.state = {"x": stack.params}
    last, _ = stack.evaluate()
    mean = {n: torch.stack([p[n] for p in iterates]).mean(0) for n in stack.params}
    stack.state = {"x": mean}
    expected, _ = stack.evaluate()
    assert found["valid/loss"] == pytest.approx(expected["valid/loss"], rel=1e-12)
    assert found["valid/loss"] != pytest.approx(last["valid/loss"], rel=1e-3)


def _steps(stack: Stack, until: int) -> list[float]:
    """How far each lane's last step went, in gradients."""
    before = stack.params
    stack.advance(until)
    metrics, _ = stack.evaluate()
    moved = [(stack.params[name] - p).flatten(1).square().sum(1) for name, p in before.items()]
    return list(torch.stack(moved).sum(0).sqrt().numpy() / metrics["grad_norm"])


def test_the_engine_gives_each_lane_its_loss(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """The first Polyak step of every lane is its own loss / (c ‖g‖²)."""
    train = {"steps": 1, "precision": "float64"}
    runs = [make_run(optimizer=Sps(max_step=1e3), train=train, seed=seed) for seed in (3, 4)]
    stack = Stack(runs, Arrays.of(small_data, torch.device("cpu"), torch.float64))
    found = _steps(stack, 1)
    metrics, losses = stack.evaluate()
    assert found == pytest.approx(losses[0] / (0.5 * metrics["grad_norm"] ** 2), rel=1e-9)


def test_the_engine_gives_the_batch_share(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """A bound on the step grows by 2^(batch / training examples) from one step to the next."""
    run = make_run(optimizer=Sps(max_step=1e-3), train={"steps": 2, "precision": "float64"})
    stack = Stack([run], Arrays.of(small_data, torch.device("cpu"), torch.float64))
    assert _steps(stack, 1) == pytest.approx([1e-3], rel=1e-9)
    assert _steps(stack, 2) == pytest.approx([1e-3 * 2 ** (13 / stack.arrays.examples)], rel=1e-9)


def test_the_engine_gives_a_line_search_its_loss(
    make_run: Callable[..., RunConfig], small_data: DataSet
) -> None:
    """Every step of every lane keeps Armijo's promise on the batch it was found on."""
    train = {"steps": 3, "precision": "float64", "batch_size": 89}
    lanes = zip((3, 4, 5), (9.0, 30.0, 0.01), strict=True)
    runs = [make_run(optimizer=Sls(lr=lr), train=train, seed=seed) for seed, lr in lanes]
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float64)
    stack = Stack(runs, arrays)
    for step in range(3):
        batch = stack.batch()
        x, targets, keys, _ = batch
        network, loss = stack.network, LOSSES["cross_entropy"]
        before = training_losses(network, stack.params, {}, x, targets, loss, keys)
        square = batch_gradients(network, stack.params, {}, batch, loss, 1).tree
        stack.advance(step + 1)
        after = training_losses(network, stack.params, {}, x, targets, loss, keys)
        step_size = stack.state["step"][""]
        squares = sum(g.flatten(1).square().sum(1) for g in square.values())
        assert (after <= before - 0.1 * step_size * squares + 1e-12).all()
        assert step_size[2].item() == 0.01
