"""Lanczos in lanes against dense eigenvalues; quadrature, density, trace against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from scipy.special import stdtrit
from torch import Tensor

from trainables.curvature.density import density, quadrature
from trainables.curvature.lanczos import Ritz, extremes, lanczos, power, ritz
from trainables.curvature.trace import quadratic_forms, trace
from trainables.curvature.vectors import Flat

LANES, SIZE = 3, 13


def symmetric(seed: int, spectrum: Tensor) -> Tensor:
    """(L, n, n) with these eigenvalues, and a basis of its own in each lane."""
    generator = torch.Generator().manual_seed(seed)
    n = len(spectrum)
    q, _ = torch.linalg.qr(torch.randn(LANES, n, n, generator=generator, dtype=torch.float64))
    return q * spectrum @ q.mT


def of(matrix: Tensor) -> Flat:
    return lambda v: (matrix @ v.unsqueeze(2)).squeeze(2)


def vectors(seed: int, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(LANES, n, generator=generator, dtype=torch.float64)


def sizes(n: int) -> Tensor:
    return torch.full((LANES,), n)


SPREAD = torch.linspace(-2, 5, SIZE, dtype=torch.float64)
POSITIVE = 10 ** torch.linspace(-2, 1, SIZE, dtype=torch.float64)


@pytest.mark.parametrize("steps", [13, 17])
def test_all_eigenvalues(steps: int) -> None:
    """Of more steps than there are dimensions those beyond find nothing."""
    a = symmetric(1, SPREAD)
    found = ritz(lanczos(of(a), vectors(2, SIZE), steps, sizes(SIZE)))
    np.testing.assert_allclose(found.values[:, :13], np.tile(SPREAD, (3, 1)), rtol=1e-10)
    assert np.isnan(found.values[:, 13:]).all()
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-12)
    assert (found.residuals[:, :13] < 1e-8).all()


def test_the_largest_ones_of_a_large_matrix() -> None:
    spectrum = torch.cat(
        [torch.linspace(-1, 1, 97, dtype=torch.float64), torch.tensor([3.0, 5, 8, 11])]
    )
    a = symmetric(3, spectrum)
    several = [ritz(lanczos(of(a), vectors(seed, 101), 41, sizes(101))) for seed in (4, 5)]
    found = extremes(several, 3)
    np.testing.assert_allclose(found.top, [[11, 8, 5]] * 3, rtol=1e-8)
    np.testing.assert_allclose(found.bottom, -1, rtol=0.02)
    for one in (found.bottom, *found.top.T):
        assert (np.abs(one[:, None] - spectrum.numpy()).min(1) < 1.01).all()
    # Before they have converged, the bounds hold, and the best start counts.
    early = [ritz(lanczos(of(a), vectors(seed, 101), 7, sizes(101))) for seed in (4, 5)]
    for one in early:
        off = np.abs(one.values[..., None] - spectrum.numpy()).min(2)
        assert (off <= one.residuals + 1e-12).all()
        assert (one.residuals > 1e-3).any()
    best = extremes(early, 2)
    tops = np.stack([one.values[:, -1] for one in early])
    assert (best.top[:, 0] == tops.max(0)).all()
    assert (best.bottom == np.stack([one.values[:, 0] for one in early]).min(0)).all()
    first = tops.argmax(0)
    own = np.stack([one.residuals[:, -1] for one in early])[first, range(3)]
    assert (best.top_residuals[:, 0] == own).all()


def test_single_precision() -> None:
    a = symmetric(1, SPREAD).float()
    found = ritz(lanczos(of(a), vectors(2, SIZE).float(), 13, sizes(SIZE)))
    np.testing.assert_allclose(found.values, np.tile(SPREAD, (3, 1)), rtol=1e-4)


def test_preconditioned() -> None:
    """The eigenvalues of A x = λ P x; and step by step the plain iteration of P^-½ A P^-½."""
    a, p = symmetric(1, SPREAD), symmetric(7, POSITIVE)
    inverse, start = of(torch.linalg.inv(p)), vectors(2, SIZE)
    found = lanczos(of(a), start, 13, sizes(SIZE), inverse)
    for lane in range(LANES):
        expected = eigh(a[lane].numpy(), p[lane].numpy(), eigvals_only=True)
        np.testing.assert_allclose(ritz(found).values[lane], expected, rtol=1e-8)
    values, basis = torch.linalg.eigh(p)
    root = basis * values.rsqrt().unsqueeze(1) @ basis.mT
    plain = lanczos(of(root @ a @ root), of(root)(start), 7, sizes(SIZE))
    early = lanczos(of(a), start, 7, sizes(SIZE), inverse)
    torch.testing.assert_close(early.diagonal, plain.diagonal, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(early.beside, plain.beside, rtol=1e-9, atol=1e-9)


def test_what_a_start_does_not_reach() -> None:
    """Multiples count once, masked dimensions not at all, and the end is no garbage."""
    a = torch.diag_embed(
        torch.tensor([[2.0] * 7, [3.0, 3, 3, 1, 1, 1, 1], [4.0, 1, 5, 0, 0, 0, 0]])
    )
    start = torch.ones(3, 7) * torch.tensor([[1.0], [1.0], [0.0]])
    start[2, :3] = 1
    found = ritz(lanczos(of(a), start, 5, torch.tensor([7, 7, 3])))
    expected = [[2.0] + [math.nan] * 4, [1.0, 3] + [math.nan] * 3, [1.0, 4, 5] + [math.nan] * 2]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    np.testing.assert_allclose(found.weights.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(found.weights[1, :2], [4 / 7, 3 / 7], rtol=1e-5)
    fewer = ritz(lanczos(of(symmetric(1, SPREAD)), vectors(2, SIZE), 7, sizes(5)))
    assert (np.isfinite(fewer.values).sum(1) == 5).all(), "no more steps than dimensions"


def test_no_lane_harms_another() -> None:
    """What is no number, and what is no preconditioner."""
    a, p = symmetric(1, SPREAD), symmetric(7, POSITIVE)
    start = vectors(2, SIZE)
    good = ritz(lanczos(of(a), start, 5, sizes(SIZE), of(p)))
    a[0, 3, 3] = math.nan
    p[1] = -p[1]
    found = ritz(lanczos(of(a), start, 5, sizes(SIZE), of(p)))
    assert np.isnan(found.values[:2]).all()
    assert np.isnan(found.weights[:2]).all()
    np.testing.assert_allclose(found.values[2], good.values[2], rtol=1e-12)
    assert np.isnan(extremes([found], 2).top[:2]).all()
    assert np.isnan(density(quadrature([found])).values[:2]).all()
    roots = power(of(p), start, -0.5, 13, sizes(SIZE))
    assert roots.isfinite().all(1).tolist() == [True, False, True]


def test_powers() -> None:
    p, z = symmetric(7, POSITIVE), vectors(2, SIZE)
    values, basis = torch.linalg.eigh(p)
    for exponent in (-0.5, 0.5, 2.0):
        expected = of(basis * values.pow(exponent).unsqueeze(1) @ basis.mT)(z)
        found = power(of(p), z, exponent, 17, sizes(SIZE))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def _units() -> list[Tensor]:
    """√n e_i, whose mean square is I exactly."""
    return [13**0.5 * unit.expand(LANES, -1) for unit in torch.eye(13, dtype=torch.float64)]


@pytest.mark.parametrize("preconditioned", [False, True])
def test_moments_of_the_quadrature(preconditioned: bool) -> None:
    """Σ ω θᵏ = tr(Mᵏ)/n for k ≤ 2m − 1, and no further, where starts are of mean square I."""
    a, p = symmetric(1, SPREAD), symmetric(7, POSITIVE)
    inverse = torch.linalg.inv(p)
    steps = 4

    def one(z: Tensor) -> Ritz:
        if not preconditioned:
            return ritz(lanczos(of(a), z, steps, sizes(SIZE)))
        u = power(of(inverse), z, -0.5, 13, sizes(SIZE))
        return ritz(lanczos(of(a), u, steps, sizes(SIZE), of(inverse)))

    nodes, weights = quadrature([one(z) for z in _units()])
    matrix = inverse @ a if preconditioned else a
    powers, errors = torch.eye(13, dtype=torch.float64), []
    for k in range(10):
        expected = powers.diagonal(dim1=-2, dim2=-1).sum(-1).expand(LANES) / 13
        errors.append(np.abs((weights * nodes**k).sum(1) / expected.numpy() - 1).max())
        powers = matrix @ powers
    assert max(errors[: 2 * steps]) < 1e-8
    assert errors[2 * steps] > 1e-5


def test_density_is_that_of_the_eigenvalues() -> None:
    """With all steps and all starts each eigenvalue has its share; it integrates to 1."""
    a = symmetric(1, SPREAD)
    several = [ritz(lanczos(of(a), z, 13, sizes(SIZE))) for z in _units()]
    grid, values = density(quadrature(several), points=1009, width=0.05)
    sigma = 0.05 * 7
    bumps = np.exp(-((grid[0][:, None] - SPREAD.numpy()) ** 2) / (2 * sigma**2))
    expected = bumps.sum(1) / (13 * sigma * (2 * np.pi) ** 0.5)
    np.testing.assert_allclose(values, np.tile(expected, (3, 1)), rtol=1e-6)
    assert np.trapezoid(values[0], grid[0]) == pytest.approx(1, abs=3e-3)
    same = ritz(lanczos(lambda v: 2 * v, vectors(2, SIZE), 3, sizes(SIZE)))
    grid, values = density(quadrature([same]))
    assert grid.mean() == pytest.approx(2)
    assert np.trapezoid(values[0], grid[0]) == pytest.approx(1, abs=3e-3)


def test_trace_and_its_standard_error() -> None:
    """Unbiased, and its t-interval covers 95 % of the time; of diagonals ±1 tell it exactly."""
    a = symmetric(1, SPREAD)
    generator = torch.Generator().manual_seed(5)
    total, inside, repeats = 0.0, 0, 400
    quantile = stdtrit(6, 0.975)
    for _ in range(repeats):
        z = torch.randint(0, 2, (7, LANES, SIZE), generator=generator).double() * 2 - 1
        value, error = trace(quadratic_forms(of(a), list(z)))
        total += value.mean() / repeats
        inside += (np.abs(value - 19.5) <= quantile * error).sum()
    assert total == pytest.approx(19.5, abs=0.3)
    assert inside / (repeats * LANES) == pytest.approx(0.95, abs=0.02)
    exact = trace(quadratic_forms(of(torch.diag_embed(a.diagonal(dim1=1, dim2=2))), list(z)))
    np.testing.assert_allclose(exact.value, 19.5, rtol=1e-12)
    assert (exact.error < 1e-12).all()
    assert np.isnan(trace(np.ones((1, 3))).error).all()
    value, error = trace(np.array([[1.0], [2.0], [6.0]]))
    assert (value[0], error[0]) == pytest.approx((3.0, (14 / 2 / 3) ** 0.5))
