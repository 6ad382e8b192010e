"""Measurements that a run takes while it trains. None changes a number of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from trainables.configs.base import Bound, Config, Count, Fraction

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Probes(Config):
    """What is measured; nothing unless written."""

    noise_scale: NoiseScale | None = None


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
    if probes is None or probes.noise_scale is None:
        return None
    return [probes.noise_scale.every, parts_of(probes.noise_scale, accumulate)]
