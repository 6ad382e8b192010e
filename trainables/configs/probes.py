"""Measurements that a run takes while it trains. None changes a number of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from trainables.configs.base import Bound, Config, Count, Fraction, to_plain

_FEWEST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseScale(Config):
    """The gradient noise scale B_simple = tr Σ / |G|² (McCandlish, Kaplan, Amodei et al. 2018)."""

    every: Count = 50
    """Optimizer steps between two measurements, the first of them measured. A measurement takes
    about as long as a step or two."""
    parts: Annotated[int, Bound(ge=_FEWEST)] | None = None
    """Parts of equal size that a batch is measured in; by default those of ``train.accumulate``,
    whose gradients training has anyway, and 2 without it."""
    decay: Fraction = 0.9
    """Of the running averages, from one measurement to the next."""


CurvatureMatrix = Literal["hessian", "gauss_newton"]
Share = Annotated[float, Bound(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spectrum(Config):
    """Eigenvalues, trace and spectral density of the curvature of the training loss."""

    at: tuple[Share, ...] = (0.0, 1.0)
    """Shares of training: 0 is before the first step, others count from the first evaluation
    at or after them."""
    every: Count | None = None
    """Also at every so many evaluations."""
    matrix: CurvatureMatrix = "hessian"
    """Of the loss; or the generalized Gauss-Newton matrix, which is the Fisher matrix of the
    model's own predictions."""
    top: Count = 5
    """Largest eigenvalues that are told one by one."""
    lanczos: Annotated[int, Bound(ge=_FEWEST)] = 30
    """Steps of the Lanczos iteration from each vector: as many products with the matrix."""
    vectors: Annotated[int, Bound(ge=_FEWEST)] = 4
    """Random vectors, over which trace and density are means."""
    examples: Count = 512
    """Training examples that the loss is of, evenly spread; all where there are fewer."""
    density: bool = True
    """Whether the density is kept on a grid."""

    def __post_init__(self) -> None:
        if not self.at and self.every is None:
            raise ValueError("write at or every, or nothing is ever measured")
        if self.top > self.lanczos:
            raise ValueError(
                f"top: {self.top} eigenvalues need as many steps of lanczos, got {self.lanczos}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Probes(Config):
    """What is measured; nothing unless written."""

    noise_scale: NoiseScale | None = None
    spectrum: Spectrum | None = None


def parts_of(noise_scale: NoiseScale, accumulate: int) -> int:
    """The parts that a batch is measured in."""
    return noise_scale.parts or max(_FEWEST, accumulate)


def misfit(noise_scale: NoiseScale, batch_size: int, accumulate: int) -> str | None:
    """Why ``parts`` is none for batches of this size, if it is not."""
    parts = parts_of(noise_scale, accumulate)
    if batch_size % parts == 0:
        return None
    return f"must divide batch_size {batch_size}, got {parts}"


def shared(probes: Probes | None, accumulate: int) -> Any:
    """What lanes of one stack have in common, as plain data."""
    if probes is None:
        return None
    noise = probes.noise_scale
    found = None if noise is None else [noise.every, parts_of(noise, accumulate)]
    if probes.spectrum is None:
        return found
    return [found, to_plain(probes.spectrum)]
