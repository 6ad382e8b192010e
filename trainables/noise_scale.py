"""The gradient noise scale of each lane, estimated while it trains.

McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162), appendix A.1. Let G be the gradient of
the loss over all data and Σ the covariance of one example's gradient. A batch of B examples has a
gradient of E|G_B|² = |G|² + tr Σ / B, so two sizes tell both terms apart, without bias. The noise
scale is their ratio, B_simple = tr Σ / |G|² (their section 2.2), in examples.

The small batches are the parts of a batch, the big one is the whole: its gradient is the mean of
theirs, so that batch normalization, which sees one part at a time, is the same in both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.configs.probes import NoiseScale, misfit, parts_of
from trainables.configs.run import RunConfig
from trainables.lanes import Tree
from trainables.step import Inputs, Method, Squares, gradients_at

AVERAGES = ("trace", "gradient", "weight")


def estimates(small: Tensor, big: Tensor, small_size: int, big_size: int) -> tuple[Tensor, Tensor]:
    """Unbiased |G|² and tr Σ of square norms of gradients at two batch sizes.

    |G|² ≈ (B_big |G_big|² − B_small |G_small|²) / (B_big − B_small)
    tr Σ ≈ (|G_small|² − |G_big|²) / (1/B_small − 1/B_big)

    Nothing else goes in, so that workers which train on a batch together can give the square norms
    of their own gradients and that of the mean of all. An estimate of |G|² may be negative; one of
    tr Σ is not, where the big batch's gradient is the mean of the small ones'.

    Args:
        small: square norms of the gradients of P small batches, (P, L).
        big: square norm of the big batch's gradient, (L,).
        small_size: examples of each small batch, B_small.
        big_size: examples of the big one, B_big.
    """
    mean = small.mean(0)
    gradient = (big_size * big - small_size * mean) / (big_size - small_size)
    trace = (mean - big) / (1 / small_size - 1 / big_size)
    return gradient, trace


@dataclass(frozen=True, slots=True)
class NoiseProbe:
    """How the lanes of a stack measure their noise scale."""

    every: int
    parts: int
    decay: Tensor
    """(L,) float64."""

    def begin(self) -> Tree:
        """The running averages before training, (L,) float64 each."""
        return {name: torch.zeros_like(self.decay) for name in AVERAGES}

    def due(self, updates: int) -> bool:
        """Whether the step after ``updates`` optimizer steps is measured."""
        return updates % self.every == 0

    def next(self, averages: Tree, squares: Squares, examples: int) -> Tree:
        """The averages after one more measurement: a ← β a + (1 − β) x.

        ``weight`` is the average of 1, by which the others are divided (``reported``). What is
        not finite, as where ``float16`` overflows, leaves a lane as it was.

        Args:
            examples: of the batch.
        """
        gradient, trace = estimates(*squares, examples // self.parts, examples)
        found = {"trace": trace, "gradient": gradient, "weight": torch.ones_like(trace)}
        good = gradient.isfinite() & trace.isfinite()
        return {
            name: torch.where(good, torch.lerp(found[name], old, self.decay), old)
            for name, old in averages.items()
        }


def of(runs: Sequence[RunConfig], device: torch.device) -> NoiseProbe | None:
    """How these runs (of one fusion key) measure their noise scale, if they do.

    Raises:
        ValueError: batches do not have such parts.
    """
    chosen = [_chosen(run) for run in runs]
    first, train = chosen[0], runs[0].train
    if first is None:
        return None
    if (why := misfit(first, train.batch_size, train.accumulate)) is not None:
        raise ValueError(f"probes.noise_scale.parts {why}")
    decays = [one.decay for one in chosen if one is not None]
    decay = torch.tensor(decays, dtype=torch.float64, device=device)
    return NoiseProbe(first.every, parts_of(first, train.accumulate), decay)


def _chosen(run: RunConfig) -> NoiseScale | None:
    return None if run.probes is None else run.probes.noise_scale


def squares_apart(method: Method, inputs: Inputs, parts: int) -> Squares:
    """Square norms of a step's gradients in ``parts``, by a pass of its own.

    For steps that do not have them. They are of the batch, the weights, the masks and the dropout
    of the step, and not compiled; the running statistics that the pass makes are dropped.
    """
    apart = dataclasses.replace(method, parts=parts)
    found = gradients_at(apart, inputs, inputs.params, watched=True).squares
    assert found is not None
    return found


def reported(averages: Tree) -> Tree:
    """Metrics of each lane, (L,) float64; NaN before the first measurement.

    ``probe/noise_scale/trace`` is tr Σ, ``probe/noise_scale/gradient`` |G|², and
    ``probe/noise_scale`` the ratio of both averages, in examples: NaN where |G|² is not above 0, so
    that noise hides the gradient. (A ratio of averages, as averages of ratios would be biased.)
    """
    if not averages:
        return {}
    trace, gradient = (averages[name] / averages["weight"] for name in ("trace", "gradient"))
    return {
        "probe/noise_scale": torch.where(gradient > 0, trace / gradient, torch.nan),
        "probe/noise_scale/trace": trace,
        "probe/noise_scale/gradient": gradient,
    }
