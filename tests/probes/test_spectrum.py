"""The spectrum of a stack's lanes, before and after preconditioning, against dense matrices."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from torch import nn

from tests.probes.test_curvature_examples import (
    SCRIPTED,
    dense,
    flat_curvature,
    pair,
    random_like,
    stack_of,
)
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.probes import Spectrum
from trainables.curvature.lanczos import Extremes
from trainables.curvature.trace import Trace
from trainables.curvature.vectors import flat, unflat
from trainables.data import DataSet
from trainables.data.synthetic import least_squares
from trainables.engine import Stack
from trainables.lanes import State, Tree
from trainables.optimizers import OPTIMIZERS
from trainables.probes import spectrum
from trainables.probes.examples import chunks
from trainables.probes.spectrum import Found, metrics, preconditioned, spectra, spectrum_rows
from trainables.pruning.masks import ones, with_masks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from curvlinops import GGNLinearOperator, HessianLinearOperator

Maker = Callable[..., RunConfig]
SMALL = Mlp(hidden=(3,), activation="tanh")
"""Of 44 weights."""


def diagonal(vector: Tree, state: State, hyper: Tree, config: Any, network: Any) -> Tree:
    """v / (√m + 0.1): the buffer of momentum as a preconditioner, in each lane's own way."""
    return {n: v / (state["momentum"][n].abs().sqrt() + 0.1) for n, v in vector.items()}


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        spectrum.OPTIMIZERS, "sgd", OPTIMIZERS["sgd"]._replace(precondition=diagonal)
    )


def test_least_squares(make_run: Maker) -> None:
    """H = XᵀX/n, whose eigenvalues are known: 1 … 1/11 at equal ratios."""
    data = LeastSquares(features=7, examples=131, condition=11.0, noise=0.5, seed=3)
    run = make_run(
        train={"steps": 5, "precision": "float64", "loss": "quadratic"},
        data=data,
        model=Linear(bias=False),
    )
    stack = stack_of([run, run], least_squares(data))
    exact = 11.0 ** -np.linspace(0, 1, 7)
    for matrix in ("hessian", "gauss_newton"):
        config = Spectrum(examples=131, matrix=matrix, top=7, lanczos=7, vectors=97)
        found = spectra(stack, config)[matrix]
        np.testing.assert_allclose(found.ends.top, [exact, exact], rtol=1e-6)
        scalars = found.scalars()
        np.testing.assert_allclose(scalars["condition"], 11, rtol=1e-6)
        np.testing.assert_allclose(scalars["spread"], 11, rtol=1e-6)
        np.testing.assert_allclose(scalars["bottom"], 1 / 11, rtol=1e-6)
        assert (np.abs(scalars["trace"] - exact.sum()) < 4 * scalars["trace_error"]).all()
        assert (scalars["trace_error"] < 0.1 * exact.sum()).all()


@pytest.mark.filterwarnings(SCRIPTED)
@pytest.mark.parametrize("matrix", ["hessian", "gauss_newton"])
def test_top_and_bottom_of_a_network(make_run: Maker, small_data: DataSet, matrix: Any) -> None:
    """Against all eigenvalues of curvlinops' matrix."""
    stack = stack_of(pair(make_run, model=SMALL), small_data)
    stack.advance(5)
    config = Spectrum(examples=83, matrix=matrix, top=3, lanczos=44, vectors=7)
    found = spectra(stack, config)
    assert [*found] == [matrix]
    ends = found[matrix].ends
    (batch,) = chunks(stack, 83)
    kind = HessianLinearOperator if matrix == "hessian" else GGNLinearOperator
    for lane in range(2):
        module = copy.deepcopy(stack.network.module)
        for name, param in module.named_parameters():
            param.data = stack.params[name][lane].clone()
        data = [(batch.x[lane], batch.targets[lane])]
        operator = kind(module, nn.CrossEntropyLoss(), list(module.parameters()), data)
        whole = operator @ torch.eye(44, dtype=torch.float64)
        values = np.linalg.eigvalsh(whole.numpy())
        np.testing.assert_allclose(ends.top[lane], values[::-1][:3], rtol=1e-8)
        np.testing.assert_allclose(ends.bottom[lane], values[0], rtol=1e-8, atol=1e-12)
        assert found[matrix].scalars()["top"][lane] == ends.top[lane, 0]
        assert found[matrix].scalars()["spread"][lane] == pytest.approx(values[-1] / values[-3])
        trace, error = (column[lane] for column in found[matrix].trace)
        assert abs(trace - values.sum()) < 6 * error
    assert np.isnan(found[matrix].scalars()["condition"]).all(), "nothing below 0, or at 0, has one"


@pytest.mark.usefixtures("hooked")
def test_after_preconditioning(make_run: Maker, small_data: DataSet) -> None:
    """Eigenvalues of H x = λ P x, and moments of their density."""
    stack = stack_of(pair(make_run, model=SMALL), small_data)
    config = Spectrum(examples=83, top=3, lanczos=44, vectors=2)
    assert "preconditioned" not in spectra(stack, config), "nothing before the first step"
    stack.advance(5)
    found = spectra(stack, config)
    h = dense(flat_curvature(stack, "hessian"), flat(stack.params))
    one = found["preconditioned"]
    many = spectra(stack, Spectrum(examples=83, lanczos=7, vectors=31))["preconditioned"]
    for lane in range(2):
        p = np.diag(flat(stack.state["momentum"])[lane].abs().sqrt().numpy() + 0.1)
        values = eigh(h[lane].numpy(), p, eigvals_only=True)
        np.testing.assert_allclose(one.ends.top[lane], values[::-1][:3], rtol=1e-8)
        np.testing.assert_allclose(one.ends.bottom[lane], values[0], rtol=1e-8)
        assert abs(many.trace.value[lane] - values.sum()) < 4 * many.trace.error[lane]
        assert many.trace.error[lane] < 0.5 * np.abs(values).sum()
        assert many.density is not None
        grid, shares = many.density.grid[lane], many.density.values[lane]
        first = np.trapezoid(grid * shares, grid)
        assert first == pytest.approx(many.trace.value[lane] / 44, abs=1e-3 * values[-1])
        square = np.trapezoid(grid**2 * shares, grid)
        assert square == pytest.approx((values**2).mean(), rel=0.1)
    plain = found["hessian"].ends.top[:, 0]
    assert (np.abs(one.ends.top[:, 0] / plain - 1) > 0.1).all()


@pytest.mark.parametrize(
    ("bottom", "residual", "condition"),
    [(0.02, 1e-3, 100.0), (0.02, 3e-3, None), (-0.02, 0.0, None), (1e-4, 0.0, None)],
)
def test_condition_is_told_where_the_smallest_is_known(
    bottom: float, residual: float, condition: float | None
) -> None:
    """Within a tenth of it, rounding included."""
    top, small = np.array([[2.0, 1.0]]), np.array([bottom])
    found = Found(
        ends=Extremes(top, 0 * top, small, np.array([residual])),
        trace=Trace(small, small),
        density=None,
        rounding=1e-5,
    )
    told = metrics({"hessian": found}, 0)
    assert told.get("probe/hessian/condition") == (condition and pytest.approx(condition))
    assert told["probe/hessian/spread"] == 2.0


def _numbers(found: dict[str, Found], lane: int) -> dict[str, float]:
    rows = spectrum_rows(found, lane, "run", 3)
    return {f"{row['name']}@{row['at']}": row["value"] for row in rows if "dens" not in row["name"]}


@pytest.mark.usefixtures("hooked")
@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-10), ("float32", 1e-4)])
def test_packed_equals_solo_whatever_the_neighbours(
    make_run: Maker, small_data: DataSet, precision: str, rtol: float
) -> None:
    """Also in groups of lanes; one that has exploded has no numbers, and harms none."""
    train = {"steps": 11, "precision": precision}
    runs = [
        make_run(train=train, model=Mlp(hidden=(11,)), optimizer=Sgd(lr=lr, momentum=0.5), seed=s)
        for s, lr in enumerate([0.1, 1e300, 0.2])
    ]
    dtype = getattr(torch, precision)
    config = Spectrum(examples=83, lanczos=7)

    def trained(some: list[RunConfig]) -> Stack:
        stack = Stack(some, Arrays.of(small_data, torch.device("cpu"), dtype))
        stack.advance(5)
        return stack

    packed = spectra(trained(runs), config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "_BASIS", 1)
        apart = spectra(trained(runs), config)
    assert _numbers(packed, 1) == {} == metrics(packed, 1)
    for lane in (0, 2):
        solo = _numbers(spectra(trained([runs[lane]]), config), 0)
        for other in (packed, apart):
            assert _numbers(other, lane) == pytest.approx(solo, rel=rtol, abs=rtol)
    assert set(metrics(packed, 0)) >= {"probe/hessian/top", "probe/preconditioned/trace"}
    assert metrics(packed, 0) != metrics(packed, 2)


@pytest.mark.usefixtures("hooked")
def test_masked_weights_have_no_part(make_run: Maker, small_data: DataSet) -> None:
    """Of a pruned network the eigenvalues are those of the weights that are left."""
    runs = pair(make_run, model=SMALL)
    stack = stack_of(runs, small_data)
    left = ones(stack.params, ["0.weight"])
    left["0.weight"][:, 1::2] = False
    stack = stack.put(runs, with_masks(stack.state_dict(), left))
    stack.advance(5)
    config = Spectrum(examples=83, top=3, lanczos=44)
    found = spectra(stack, config)
    there = flat({n: left.get(n, torch.ones_like(p).bool()) for n, p in stack.params.items()})[0]
    h = dense(flat_curvature(stack, "hessian"), flat(stack.params))[:, there][:, :, there]
    p = flat(stack.state["momentum"]).abs().sqrt()[:, there] + 0.1
    for lane in range(2):
        values = np.linalg.eigvalsh(h[lane].numpy())
        after = eigh(h[lane].numpy(), np.diag(p[lane].numpy()), eigvals_only=True)
        np.testing.assert_allclose(found["hessian"].ends.top[lane], values[::-1][:3], rtol=1e-8)
        np.testing.assert_allclose(found["hessian"].ends.bottom[lane], values[0], rtol=1e-8)
        one = found["preconditioned"].ends
        np.testing.assert_allclose(one.top[lane], after[::-1][:3], rtol=1e-8)


@pytest.mark.parametrize("name", [n for n, o in OPTIMIZERS.items() if o.precondition is not None])
def test_hooks_are_linear_symmetric_and_positive(
    make_run: Maker, small_data: DataSet, name: str
) -> None:
    """What preconditioning rests on."""
    optimizer = CONFIGS[name](lr=0.01)  # type: ignore[call-arg]
    stack = stack_of(pair(make_run, model=SMALL, optimizer=optimizer), small_data)
    stack.advance(5)
    inverse = preconditioned(stack)
    assert inverse is not None
    matrix = dense(inverse, flat(stack.params).double())
    torch.testing.assert_close(matrix, matrix.mT, rtol=1e-8, atol=1e-10)
    assert (torch.linalg.eigvalsh(matrix)[:, 0] > 0).all()
    u, v = random_like(matrix[:, :2]).unbind(1)
    torch.testing.assert_close(inverse(u + 2 * v), inverse(u) + 2 * inverse(v))


def test_measuring_changes_nothing(make_run: Maker, small_data: DataSet) -> None:
    """Not a bit of training, dropout and batch normalization included."""
    model = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.5})
    probed, plain = (stack_of(pair(make_run, model=model), small_data) for _ in range(2))
    for _ in range(2):
        spectra(probed, Spectrum(examples=83, lanczos=5))
        for stack in (probed, plain):
            stack.advance(stack.step + 2)
    found, expected = probed.state_dict(), plain.state_dict()
    for key in ("params", "buffers"):
        assert all(found[key][n].equal(t) for n, t in expected[key].items())
    assert all(a.equal(b) for a, b in zip(found["losses"], expected["losses"], strict=True))


def test_rows(make_run: Maker, small_data: DataSet) -> None:
    stack = stack_of(pair(make_run, model=SMALL), small_data)
    found = spectra(stack, Spectrum(examples=83, top=2, lanczos=5))
    rows = spectrum_rows(found, 1, "b", 17)
    assert {row["run_id"] for row in rows} == {"b"}
    at = {(row["name"], row["at"]): row["value"] for row in rows}
    assert len(at) == len(rows)
    ends = found["hessian"].ends
    assert at["hessian/eigenvalue", "17/1"] == at["hessian/top", "17"] == ends.top[1, 0]
    assert at["hessian/eigenvalue", "17/2"] == ends.top[1, 1]
    assert at["hessian/eigenvalue", "17/-1"] == at["hessian/bottom", "17"] == ends.bottom[1]
    assert at["hessian/residual", "17/2"] == ends.top_residuals[1, 1]
    places = [float(a.split("/")[1]) for n, a in at if n == "hessian/density"]
    assert len(places) == 101
    assert min(places) < ends.bottom[1] < ends.top[1, 0] < max(places)
    none = spectra(stack, Spectrum(examples=83, top=2, lanczos=5, density=False))
    assert not [r for r in spectrum_rows(none, 0, "a", 0) if r["name"] == "hessian/density"]


def test_the_state_of_adam_makes_what_follows_flatter(
    make_run: Maker, small_data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least squares whose Hessian is diagonal: dividing by it leaves eigenvalues of 1 alone."""
    stack = stack_of(pair(make_run, model=SMALL, optimizer=Adam(lr=0.01)), small_data)
    stack.advance(3)
    h = dense(flat_curvature(stack, "gauss_newton"), flat(stack.params))
    h += 0.01 * torch.eye(44, dtype=torch.float64)

    def exact(vector: Tree, *rest: Any) -> Tree:
        solved = torch.linalg.solve(h, flat(vector).double().unsqueeze(2)).squeeze(2)
        return unflat(solved, vector)

    patched = OPTIMIZERS["adam"]._replace(precondition=exact)
    monkeypatch.setitem(spectrum.OPTIMIZERS, "adam", patched)
    config = Spectrum(examples=83, matrix="gauss_newton", top=3)
    found = spectra(stack, config)
    assert (found["preconditioned"].ends.top[:, 0] < 1).all()
    assert (found["preconditioned"].ends.top[:, 0] > 0.9).all()
    before, after = (found[name].scalars()["spread"] for name in ("gauss_newton", "preconditioned"))
    assert (after < 1.2).all()
    assert (before > 1.5 * after).all()
