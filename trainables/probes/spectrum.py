"""The spectrum of each lane's curvature, before and after the optimizer's preconditioner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.configs.probes import Spectrum
from trainables.curvature.density import Density, density, quadrature
from trainables.curvature.lanczos import Column, Extremes, Ritz, extremes, lanczos, power, ritz
from trainables.curvature.sampling import signs
from trainables.curvature.trace import Trace, trace
from trainables.curvature.vectors import Flat, flat, flattened, unflat
from trainables.engine import Stack
from trainables.lanes import Tree, derive
from trainables.optimizers import OPTIMIZERS
from trainables.probes.examples import chunks, curvature
from trainables.pruning.masks import masked

_ROOT_STEPS = 64
"""Of the iteration that draws starts for a preconditioned one; none needs a gradient."""
_BASIS = 2**30
"""Bytes that the vectors of an iteration may take; lanes whose do not fit go one after another."""
_CERTAIN = 0.1
"""A smallest eigenvalue is known where its residual and rounding are below this share of it."""
_ROUNDING = 32
"""In units of the weights' type."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What is known of one matrix in each lane."""

    ends: Extremes
    trace: Trace
    density: Density | None
    rounding: float
    """Of eigenvalues, relative to the largest one."""

    def scalars(self) -> dict[str, Column]:
        """Metric → (L,); NaN where it is not known.

        ``top`` and ``bottom``: the largest and the smallest eigenvalue. ``trace``, and
        ``trace_error``, its standard error. ``spread``: the largest over the last of the ``top``
        ones. ``condition``: the largest over the smallest, where that one is known to be
        above 0 by more than rounding.
        """
        ends = self.ends
        top, last, bottom = ends.top[:, 0], ends.top[:, -1], ends.bottom
        known = ends.bottom_residual + self.rounding * top <= _CERTAIN * bottom
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "top": top,
                "bottom": bottom,
                "trace": self.trace.value,
                "trace_error": self.trace.error,
                "spread": np.where(last > 0, top / last, np.nan),
                "condition": np.where(known, top / bottom, np.nan),
            }


def spectra(stack: Stack, config: Spectrum) -> dict[str, Found]:
    """Of the matrix (by its name), and ``preconditioned`` where the optimizer has such a hook.

    Both at the weights that train, over a fixed part of the training set (``examples``). Random
    vectors derive from a lane's seed and are the same at every measurement, so that what
    moves from one to the next is the matrix. Before the first step there is no preconditioner.
    """
    size = sum(tensor[0].numel() for tensor in stack.params.values())
    width = stack.arrays.dtype.itemsize
    each = max(2 * config.lanczos * width, _ROOT_STEPS * 8) * size
    at_once = max(1, int(_BASIS // each))
    if at_once >= stack.lanes:
        return _spectra(stack, config)
    parts = [range(stack.lanes)[at : at + at_once] for at in range(0, stack.lanes, at_once)]
    return _joined([_spectra(stack.keep(part), config) for part in parts])


def _spectra(stack: Stack, config: Spectrum) -> dict[str, Found]:
    product = curvature(stack, config.matrix, chunks(stack, config.examples))
    with torch.no_grad():
        matrix = flattened(product, stack.params)
        starts, sizes = _starts(stack, config.vectors), _sizes(stack)
        found: dict[str, Found] = {config.matrix: _found(matrix, starts, sizes, config)}
        preconditioner = preconditioned(stack)
        if preconditioner is not None:
            dtype = starts[0].dtype
            roots = [
                power(preconditioner, start.to(torch.float64), -0.5, _ROOT_STEPS, sizes).to(dtype)
                for start in starts
            ]

            def inverse(vector: Tensor) -> Tensor:
                return preconditioner(vector.to(torch.float64)).to(dtype)

            found["preconditioned"] = _found(matrix, roots, sizes, config, inverse)
    return found


def _found(
    matrix: Flat, starts: list[Tensor], sizes: Tensor, config: Spectrum, inverse: Flat | None = None
) -> Found:
    """One Lanczos iteration from each start gives all: its first α is a sample of the trace.

    A start u is P^½ z with z of ±1 (z itself without P), so that P^-½ u has the mean square of I
    that quadrature and trace need; √(uᵀ P⁻¹ u) is its length.
    """
    several: list[Ritz] = []
    samples: list[Tensor] = []
    for start in starts:
        done = lanczos(matrix, start, config.lanczos, sizes, inverse)
        several.append(ritz(done))
        samples.append(done.beside[:, 0].square() * done.diagonal[:, 0])
        del done  # its vectors, before the next ones are made
    return Found(
        ends=extremes(several, config.top),
        trace=trace(torch.stack(samples).cpu().numpy()),
        density=density(quadrature(several)) if config.density else None,
        rounding=_ROUNDING * torch.finfo(starts[0].dtype).eps,
    )


def preconditioned(stack: Stack) -> Flat | None:
    """v → P⁻¹ v as the optimizer's state stands, in float64 (L, P); None where it has none.

    Its state is taken in float64, too: preconditioners span many powers of ten.
    """
    hook = OPTIMIZERS[stack.runs[0].optimizer.name].precondition
    if hook is None or not stack.updates:
        return None
    state = {name: _double(tree) for name, tree in stack.state.items()}
    like, hyper, config = _double(stack.params), stack.hyper_at(stack.last), stack.runs[0].optimizer

    def product(vector: Tensor) -> Tensor:
        found = hook(unflat(vector, like), state, hyper, config, stack.network)
        return flat(masked(found, stack.masks)).to(torch.float64)

    return product


def _double(tree: Tree) -> Tree:
    return {n: t.to(torch.float64) if t.is_floating_point() else t for n, t in tree.items()}


def _starts(stack: Stack, count: int) -> list[Tensor]:
    """z of ±1, 0 where masked, (L, P) each."""
    seeds = [derive(run.seed, "spectrum") for run in stack.runs]
    keys = torch.tensor(seeds, device=stack.arrays.train[0].device)
    every = len(stack.params)
    drawn = (signs(stack.params, keys, 1 + index * every) for index in range(count))
    return [flat(masked(tree, stack.masks)) for tree in drawn]


def _sizes(stack: Stack) -> Tensor:
    """Weights of each lane that are not masked, (L,)."""
    whole = {name: torch.ones_like(tensor) for name, tensor in stack.params.items()}
    left = masked(whole, stack.masks)
    return torch.stack([t.flatten(1).to(torch.float64).sum(1) for t in left.values()]).sum(0)


def _joined(parts: Sequence[dict[str, Found]]) -> dict[str, Found]:
    return {name: _joined_found([part[name] for part in parts]) for name in parts[0]}


def _joined_found(parts: Sequence[Found]) -> Found:
    densities = [part.density for part in parts if part.density is not None]
    return Found(
        ends=Extremes(*map(np.concatenate, zip(*(part.ends for part in parts), strict=True))),
        trace=Trace(*map(np.concatenate, zip(*(part.trace for part in parts), strict=True))),
        density=Density(*map(np.concatenate, zip(*densities, strict=True))) if densities else None,
        rounding=parts[0].rounding,
    )


def metrics(found: Mapping[str, Found], lane: int) -> dict[str, float]:
    """``probe/hessian/top`` and its like of one lane; what is not known is left out."""
    values = {
        f"probe/{matrix}/{name}": float(column[lane])
        for matrix, one in found.items()
        for name, column in one.scalars().items()
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def spectrum_rows(
    found: Mapping[str, Found], lane: int, run_id: str, step: int
) -> list[dict[str, Any]]:
    """Rows of ``Report.probes``: places are ``step``, or ``step/…`` and a rank or an eigenvalue.

    Steps are those of the history.

    ``hessian/top`` and the other metrics at the step; ``hessian/eigenvalue`` and
    ``hessian/residual`` at the rank (1 is the largest, −1 the smallest); ``hessian/density`` at
    the points of its grid.
    """
    rows = []
    for matrix, one in found.items():
        ends, places = one.ends, {}
        for name, column in one.scalars().items():
            places[name, ""] = column[lane]
        for rank in range(ends.top.shape[1]):
            places["eigenvalue", f"/{rank + 1}"] = ends.top[lane, rank]
            places["residual", f"/{rank + 1}"] = ends.top_residuals[lane, rank]
        places["eigenvalue", "/-1"] = ends.bottom[lane]
        places["residual", "/-1"] = ends.bottom_residual[lane]
        if one.density is not None:
            points = zip(one.density.grid[lane], one.density.values[lane], strict=True)
            places |= {("density", f"/{at:.6g}"): value for at, value in points}
        rows += [
            {"run_id": run_id, "name": f"{matrix}/{name}", "at": f"{step}{at}", "value": float(v)}
            for (name, at), v in places.items()
            if np.isfinite(v)
        ]
    return rows
