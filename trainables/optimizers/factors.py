"""Kronecker factors: a matrix for each dimension of a tensor, or of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.lanes import Tree

SHIFT = 1e-7
"""Of a matrix in orthogonal iteration, as a share of its norm."""


def of(tree: Tree, name: str) -> list[Tensor]:
    """The factors of a parameter, in the order in which they were named (``key``)."""
    return [tensor for key, tensor in tree.items() if key.rsplit("/", 1)[0] == name]


def key(name: str, number: int) -> str:
    """Not a parameter's name: a mask of a square weight would take a factor for its own kind."""
    return f"{name}/{number}"


def folded(tensor: Tensor, kernels: str) -> Tensor:
    """(L, out, …) as it is ("tensor"), or as (L, out, rest) ("matrix")."""
    return tensor.flatten(2) if kernels == "matrix" else tensor


def blocks(tensor: Tensor, size: int) -> list[Tensor]:
    """(L, …) cut along every dimension but the first into blocks of at most ``size``."""
    parts = [tensor]
    for dim in range(1, tensor.dim()):
        parts = [piece for part in parts for piece in torch.split(part, size, dim)]
    return parts


def joined(parts: Sequence[Tensor], shape: Sequence[int], size: int) -> Tensor:
    """A tensor of this shape (L, …) from its ``blocks``."""
    for dim in reversed(range(1, len(shape))):
        count = -(-shape[dim] // size)
        if count > 1:
            starts = range(0, len(parts), count)
            parts = [torch.cat([*parts[at : at + count]], dim) for at in starts]
    return parts[0]


def gram(block: Tensor, dim: int) -> Tensor:
    """Σ g gᵀ over all dimensions of (L, …) but this one and the lanes: (L, d, d)."""
    rows = block.movedim(dim, 1).flatten(2)
    return rows @ rows.mT


def along(block: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Each dimension of (L, d₀, d₁, …) times its matrix: Σᵢ x[…, i, …] M[i, j].

    None stands for the identity. Each product takes the first dimension to the end, so after the
    last one they stand as they stood.
    """
    for matrix in matrices:
        shape = block.shape
        turned = block.flatten(2).mT
        if matrix is not None:
            turned = turned @ matrix
        block = turned.reshape(len(block), *shape[2:], shape[1])
    return block


def inverse_roots(
    matrices: Sequence[Tensor], orders: Sequence[int], eps: Tensor, ridge: Tensor | None
) -> list[Tensor]:
    """(M + (ε + ρ λ_max) I)^(−1/p) of symmetric M ≥ 0, (L, n, n) each, p its order.

    By eigen-decompositions in float64, one call for all of a size. Eigenvalues below 0 are
    rounding, and count as 0. Where a lane's matrix is not finite, so is its root; no other lane
    notices (one call would raise for all). On a GPU this waits for the device, as PyTorch asks
    whether the decomposition has converged: one more reason for it to be rare.

    Args:
        eps: (L,) float64.
        ridge: ρ, (L,) float64.
    """
    found: dict[int, Tensor] = {}
    for size in {matrix.shape[-1] for matrix in matrices}:
        group = [i for i, matrix in enumerate(matrices) if matrix.shape[-1] == size]
        together = torch.stack([matrices[i] for i in group])
        order = torch.tensor([float(orders[i]) for i in group], dtype=torch.float64)
        power = (-1 / order).view(-1, 1, 1).to(together.device)
        values, vectors, good = _eigen(together)
        floor = eps.view(1, -1, 1)
        if ridge is not None:
            floor = floor + ridge.view(1, -1, 1) * values[..., -1:]
        scaled = vectors * ((values + floor) ** power).unsqueeze(-2)
        root = torch.where(good, scaled @ vectors.mT, torch.nan).to(together.dtype)
        found |= dict(zip(group, root, strict=True))
    return [found[i] for i in range(len(matrices))]


def eigenbasis(matrix: Tensor) -> Tensor:
    """Eigenvectors of symmetric M ≥ 0, (L, n, n), in columns, those of large eigenvalues first.

    Where M has no rank any basis would do, and rounding would choose: it is that of a diagonal
    matrix restricted to the null space, so that a lane's basis is the same in any company.
    """
    values, vectors, good = _eigen(matrix)
    size = matrix.shape[-1]
    null = values <= size * torch.finfo(matrix.dtype).eps * values[..., -1:]
    kernel = vectors * null.unsqueeze(-2)
    projector = kernel @ kernel.mT
    marks = torch.linspace(1, 2, size, dtype=torch.float64, device=matrix.device)
    _, chosen, _ = _eigen(projector * marks @ projector)
    # Ascending, M's null space comes first, and the restricted matrix's comes last.
    basis = torch.where(null.unsqueeze(-2), chosen.flip(-1), vectors).flip(-1)
    return torch.where(good, basis, torch.nan).to(matrix.dtype)


def iterated(matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """One step of orthogonal iteration: (M + δI) Q = Q₊ R in float64; Q and M are (L, n, n).

    δ = 10⁻⁷ ‖M‖, at the rounding of those who do it in float32. Where M has no rank Q₊ then is
    what was there, not what rounding makes of it.

    Returns:
        Q₊, with columns in the order of the estimated eigenvalues qᵀ M q, large ones first; and
        that order (L, n) of the columns of Q.
    """
    exact, old = matrix.to(torch.float64), basis.to(torch.float64)
    shift = SHIFT * torch.linalg.matrix_norm(exact, keepdim=True)
    product = torch.addcmul(exact @ old, shift, old)
    order = (old * product).sum(-2).argsort(dim=-1, descending=True, stable=True)
    product = product.gather(-1, order.unsqueeze(-2).expand_as(product))
    return torch.linalg.qr(product)[0].to(basis.dtype), order


def _eigen(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues (…, n) ≥ 0, ascending, eigenvectors (…, n, n), and which are finite (…, 1, 1)."""
    exact = matrices.to(torch.float64)
    good = exact.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    exact = torch.where(good, exact, 0)
    size = exact.abs().amax((-2, -1), keepdim=True)
    size = torch.where(size > 0, size, 1)
    values, vectors = torch.linalg.eigh(exact / size)
    return values.clamp_min(0) * size.squeeze(-1), vectors, good
