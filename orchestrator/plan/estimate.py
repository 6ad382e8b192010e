"""How long a study will take: from measurements where there are some, else from a model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.plan.packs import steps_per_epoch
from trainables.configs.models import DeepLinear, Lenet300100, Linear, Mlp
from trainables.configs.run import RunConfig, fusion_key, length

START_SECONDS = 8.0
"""Ray, the first workers and PyTorch: measured on two cores."""
_LANE_STEP_SECONDS = 1.5e-5
_FLOPS = 6e10
"""Model of a core: a fixed part a lane and step, and floating-point operations a second
(fitted to the digits network in docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected time of a study; None where nothing is known of its model or data."""

    seconds: float | None
    slot_seconds: float | None
    """Summed over slots: what the study costs."""
    basis: str


def estimate(
    runs: Mapping[str, RunConfig], *, slots: int, measured: Mapping[str, float]
) -> Estimate:
    """Wall-clock seconds on ``slots`` slots.

    Args:
        measured: fusion key → seconds for one step of one lane, from earlier packs.
    """
    total, known, modelled = 0.0, 0, 0
    for config in runs.values():
        per_epoch = steps_per_epoch(config)
        found = measured.get(fusion_key(config))
        step = found or _modelled_step(config)
        if step is None or (per_epoch is None and config.train.steps is None):
            continue
        known += 1
        modelled += found is None
        total += step * length(config.train, per_epoch or 1)
    if known < len(runs):
        return Estimate(None, None, f"{len(runs) - known} runs have a model or data not seen yet")
    seconds = START_SECONDS + total / slots if runs else 0.0
    basis = "modelled" if modelled == len(runs) else "measured" if not modelled else "part measured"
    return Estimate(seconds, total, basis)


def estimate_own(runs: int, *, slots: int, measured: Sequence[float]) -> Estimate:
    """Wall-clock seconds of so many runs of a user's own function.

    Args:
        measured: seconds that each finished run of the study took.
    """
    if runs and not measured:
        return Estimate(None, None, "a training of your own is measured by its first runs")
    total = runs * sum(measured) / len(measured) if runs else 0.0
    return Estimate(START_SECONDS + total / slots if runs else 0.0, total, "measured")


def _modelled_step(config: RunConfig) -> float | None:
    """Seconds for one step of one lane: 6 operations a weight and example (forward, and
    backward twice that)."""
    model, sizes = config.model, config.data.sizes()
    if isinstance(model, Linear | DeepLinear | Lenet300100):
        model = model.as_mlp()
    if not isinstance(model, Mlp) or sizes is None:
        return None
    widths = [math.prod(sizes.input_shape), *model.hidden, sizes.outputs]
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    return _LANE_STEP_SECONDS + 6 * weights * config.train.batch_size / _FLOPS
