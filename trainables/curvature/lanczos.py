"""Lanczos' iteration for L symmetric matrices in lockstep, each seen through its products alone.

**Plain.** q₁ = z/‖z‖; w = A qⱼ, αⱼ = qⱼᵀ w, w less its part in q₁ … qⱼ, βⱼ = ‖w‖, qⱼ₊₁ = w/βⱼ.
Then Qᵀ A Q = T is tridiagonal, with α on its diagonal and β beside it (Golub & Van Loan 2013,
section 10.1). Rounding makes the q lose their orthogonality and T copies of eigenvalues it has
found, so that w is made orthogonal to all q, twice (full reorthogonalization; twice is
enough: Parlett 1998, section 6.9).

**Preconditioned.** P⁻¹A is not symmetric, but self-adjoint in the inner product ⟨x, y⟩ = xᵀ P y:
⟨x, P⁻¹A y⟩ = xᵀ A y = ⟨P⁻¹A x, y⟩. So the same iteration holds in that inner product. It seems
to need P, of which there is only P⁻¹: hence each vector is kept twice, as q and as u = P q, so that
⟨qᵢ, qⱼ⟩ = uᵢᵀ qⱼ. The product A qⱼ = P (P⁻¹A qⱼ) is the u of the next direction, and one
product with P⁻¹ makes its q:

    w = A qⱼ;   αⱼ = qⱼᵀ w = ⟨qⱼ, P⁻¹A qⱼ⟩;   w ← w − Σᵢ uᵢ (qᵢᵀ w);
    βⱼ = √(wᵀ P⁻¹ w);   uⱼ₊₁ = w/βⱼ,   qⱼ₊₁ = P⁻¹w/βⱼ

(Parlett 1998, section 15.11; conjugate gradients keep both r and P⁻¹r for the same reason.) With
x = P^½ q this is the plain iteration for P^-½ A P^-½, whose eigenvalues are those of P⁻¹A: no root
of P is taken. The start is given as u₁.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.curvature.vectors import Flat, inner

Column = npt.NDArray[np.float64]
_ROUNDING = 32.0
"""Roundings, relative to the matrix, below which what is left of a direction is no direction."""


class Iteration(NamedTuple):
    """What the iteration found in each lane, m steps."""

    diagonal: Tensor
    """α, (L, m) float64; NaN throughout where a lane met what is no number."""
    beside: Tensor
    """(L, m + 1) float64: the length of the start √(uᵀ P⁻¹ u), then β₁ … βₘ."""
    alive: Tensor
    """(L, m) bool: false once a lane has seen all that its start reaches. An eigenvalue that
    occurs several times is seen once."""
    basis: Tensor
    """Q, (L, m, P): its rows are the qⱼ, 0 where not alive."""


def lanczos(
    product: Flat, start: Tensor, steps: int, sizes: Tensor, inverse: Flat | None = None
) -> Iteration:
    """The iteration from ``start``, with A as ``product`` and P⁻¹ as ``inverse`` (the identity).

    Lanes that end early go on with zeros. Nothing is read from the device.

    Args:
        start: (L, P), u₁ before it is scaled.
        sizes: (L,), dimensions of the space that a lane's vectors live in (P less its masked
            weights): more steps there cannot be.
    """
    lanes, count = start.shape
    q_basis = start.new_zeros(lanes, steps, count)
    u_basis = q_basis if inverse is None else torch.zeros_like(q_basis)
    alive = torch.ones(lanes, dtype=torch.bool, device=start.device)
    broken = torch.zeros_like(alive)
    scale = torch.zeros(lanes, dtype=torch.float64, device=start.device)
    tolerance = _ROUNDING * torch.finfo(start.dtype).eps
    alphas, betas, living = [], [], []
    w = start
    for step in range(steps + 1):
        q = w if inverse is None else inverse(w)
        square = inner(q, w)
        least = tolerance * scale
        # Below 0 by more than rounding: P is not positive.
        broken = broken | ~(square >= -least.square()) | square.isinf()
        length = square.clamp(min=0).sqrt()
        alive = alive & (length > least) & (step < sizes)
        betas.append(torch.where(alive, length, 0))
        if step == steps:
            break
        factor = torch.where(alive, 1 / length, 0).to(start.dtype).unsqueeze(1)
        kept = alive.unsqueeze(1)
        q = torch.where(kept, q * factor, 0)
        q_basis[:, step] = q
        if inverse is not None:
            u_basis[:, step] = torch.where(kept, w * factor, 0)
        w = product(q)
        alpha = inner(q, w)
        alphas.append(alpha)
        living.append(alive)
        known_q, known_u = q_basis[:, : step + 1], u_basis[:, : step + 1]
        for _ in range(2):
            w = w - (known_u.mT @ (known_q @ w.unsqueeze(2))).squeeze(2)
        beta = betas[step] if step else torch.zeros_like(scale)
        scale = torch.maximum(scale, torch.maximum(alpha.abs(), beta))
    diagonal = torch.stack(alphas, 1)
    broken = broken | ~diagonal.isfinite().all(1)
    diagonal = torch.where(broken.unsqueeze(1), torch.nan, diagonal)
    return Iteration(diagonal, torch.stack(betas, 1), torch.stack(living, 1), q_basis)


class Ritz(NamedTuple):
    """Eigenvalues θ of T in each lane, smallest first; NaN behind where there are fewer."""

    values: Column
    """θ, (L, m)."""
    weights: Column
    """The squares of the first entries of T's eigenvectors, (L, m): their sum is 1. With θ the
    Gauss quadrature for the start, exact for polynomials up to degree 2m − 1 (Golub & Meurant
    2010, section 6.2). 0 behind."""
    residuals: Column
    """βₘ |sₘ|, (L, m): within so far of θ there is an eigenvalue (Parlett 1998, section 13.2)."""
    vectors: Column
    """T's eigenvectors s, as columns, (L, m, m)."""


def ritz(found: Iteration) -> Ritz:
    """The eigenvalues of each lane's T, on the host. A broken lane has NaN in all."""
    alpha, beside, alive = (t.cpu().numpy() for t in found[:3])
    lanes, steps = alpha.shape
    whole = np.isfinite(alpha).all(1)
    safe = np.where(whole[:, None], alpha, 0.0)
    beta = np.where(whole[:, None], beside[:, 1:], 0.0)
    # What is not alive is moved beyond all that is, and lies behind it when sorted.
    beyond = 1 + 4 * (np.abs(safe).max(1) + 2 * beta.max(1))
    t = np.zeros((lanes, steps, steps))
    at = np.arange(steps)
    t[:, at, at] = np.where(alive, safe, beyond[:, None])
    coupled = beta[:, :-1] * alive[:, 1:]
    t[:, at[:-1], at[1:]] = t[:, at[1:], at[:-1]] = coupled
    values, vectors = np.linalg.eigh(t)
    real = (at < alive.sum(1)[:, None]) & whole[:, None]
    last = beta[:, -1:] * np.abs(vectors[:, -1])
    nothing = np.where(whole[:, None], 0.0, np.nan)
    return Ritz(
        values=np.where(real, values, np.nan),
        weights=np.where(real, vectors[:, 0] ** 2, nothing),
        residuals=np.where(real, last, np.nan),
        vectors=vectors,
    )


class Extremes(NamedTuple):
    """Of each lane, from Ritz values of one start or several."""

    top: Column
    """(L, k), largest first."""
    top_residuals: Column
    bottom: Column
    """(L,)."""
    bottom_residual: Column


def extremes(several: list[Ritz], top: int) -> Extremes:
    """The ``top`` largest eigenvalues and the smallest one; NaN where there are fewer.

    The i-th largest Ritz value is never above the i-th largest eigenvalue (Parlett 1998, section
    10.1), whatever the start: the largest over starts is the best of these bounds, and of
    the smallest ones the smallest.
    """
    values = np.stack([one.values for one in several])  # (V, L, m)
    residuals = np.stack([one.residuals for one in several])
    order = np.argsort(np.where(np.isnan(values), -np.inf, values), 2)[..., ::-1][..., :top]
    ranked = np.take_along_axis(values, order, 2)
    best = np.where(np.isnan(ranked), -np.inf, ranked).argmax(0)[None]
    first = np.where(np.isnan(values[..., 0]), np.inf, values[..., 0]).argmin(0)[None]
    return Extremes(
        top=np.take_along_axis(ranked, best, 0)[0],
        top_residuals=np.take_along_axis(np.take_along_axis(residuals, order, 2), best, 0)[0],
        bottom=np.take_along_axis(values[..., 0], first, 0)[0],
        bottom_residual=np.take_along_axis(residuals[..., 0], first, 0)[0],
    )


def power(matrix: Flat, start: Tensor, exponent: float, steps: int, sizes: Tensor) -> Tensor:
    """Mᵖ z for positive M in each lane, (L, P): ‖z‖ Q Tᵖ e₁ (Higham 2008, section 13.2).

    Exact once ``steps`` reach the number of different eigenvalues. NaN in lanes whose M is found
    not to be positive.
    """
    found = lanczos(matrix, start, steps, sizes)
    values, _, _, vectors = ritz(found)
    with np.errstate(invalid="ignore", divide="ignore"):
        powers = np.where(np.isnan(values), 0.0, np.where(values > 0, values, np.nan) ** exponent)
    powers = np.where(np.isnan(values).all(1, keepdims=True), np.nan, powers)
    along = np.einsum("lij,lj,lj->li", vectors, powers, vectors[:, 0])
    known = torch.from_numpy(along).to(start.device) * found.beside[:, :1]
    return (found.basis.mT @ known.to(start.dtype).unsqueeze(2)).squeeze(2)
