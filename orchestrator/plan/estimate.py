"""How long a study will take: from measurements where there are some, else from a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.plan.flops import backward, is_chain, layers
from orchestrator.plan.packs import steps_per_epoch, work
from trainables.configs.models import Gpt, ImageModel, Lenet300100, Mlp, Model
from trainables.configs.run import RunConfig, evaluation_interval, fusion_key

START_SECONDS = 8.0
"""Ray, the first workers and PyTorch: measured on two cores."""
_CHAIN_SECONDS = 1.5e-5
_LAYER_SECONDS = {"mlp": 2e-5, "image": 4e-4}
_VALUE_SECONDS = 1e-8
_FLOPS = 6e10
"""Model of a core, fitted on two: a fixed part a lane and step (of a chain that is differentiated
by hand; of each layer elsewhere), the time that a value between layers of an image's network
takes of memory, forward and back, and floating-point operations a second, of products and
convolutions alike. What a convolution seems to lose to a product is its values: see
docs/performance.md, where the model is within a factor of 2 of what was measured."""
_EVALUATION_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected time of a study; None where nothing is known of its model or data."""

    seconds: float | None
    slot_seconds: float | None
    """Summed over slots: what the study costs."""
    basis: str

    def times(self, factor: float) -> Estimate:
        """The same of so many times the runs."""
        if self.seconds is None or self.slot_seconds is None:
            return self
        seconds = START_SECONDS + (self.seconds - START_SECONDS) * factor
        return Estimate(seconds, self.slot_seconds * factor, self.basis)


def estimate(
    runs: Mapping[str, RunConfig],
    *,
    slots: int,
    measured: Mapping[str, float],
    starts: Mapping[str, int] = MappingProxyType({}),
) -> Estimate:
    """Wall-clock seconds on ``slots`` slots.

    Args:
        measured: fusion key → seconds for one step of one lane, from earlier packs.
        starts: run_id → batches that it has seen already.
    """
    total, known, modelled = 0.0, 0, 0
    for name, config in runs.items():
        per_epoch = steps_per_epoch(config)
        found = measured.get(fusion_key(config))
        cost = lane_cost(config, found)
        if cost is None or (per_epoch is None and config.train.steps is None):
            continue
        known += 1
        modelled += found is None
        steps = work(config) - starts.get(name, 0)
        evaluations = math.ceil(steps / evaluation_interval(config.train, per_epoch or 1))
        total += cost.step * steps + cost.evaluation * evaluations
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


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that one lane takes."""

    step: float
    evaluation: float


def lane_cost(config: RunConfig, measured: float | None) -> Cost | None:
    """What a lane takes; None where nothing is known of it.

    As modelled, to the scale of the measured step; a user's model evaluates a batch in the third
    of a step that a forward pass is.

    Args:
        measured: seconds for one step of one lane.
    """
    model = _modelled(config)
    if measured is None or model is None:
        sizes = config.data.sizes()
        batches = sizes.evaluated / config.train.batch_size if sizes is not None else 0.0
        return model if measured is None else Cost(measured, measured / 3 * batches)
    return Cost(measured, model.evaluation * measured / model.step)


def _modelled(config: RunConfig) -> Cost | None:
    """None where nothing is known of the data's sizes or the model's layers."""
    sizes, train = config.data.sizes(), config.train
    found = layers(config.model, sizes.input_shape, sizes.outputs) if sizes is not None else None
    if sizes is None or found is None:
        return None
    forward = sum(layer.operations for layer in found) / _FLOPS
    back = sum(backward(found)) / _FLOPS
    fixed, values = _overhead(config.model, len(found)), 0.0
    if isinstance(config.model, ImageModel | Gpt):
        values = _VALUE_SECONDS * sum(layer.channels * layer.positions for layer in found)
    gradients = 1 if train.sam_rho is None else 2
    step = fixed * train.accumulate + train.batch_size * (forward + back + values)
    batches = math.ceil(sizes.evaluated / _EVALUATION_BATCH)
    evaluation = fixed / 3 * batches + sizes.evaluated * (forward + values / 3)
    return Cost(gradients * step, evaluation)


def _overhead(model: Model, layers: int) -> float:
    """The part of a step that its batch does not change."""
    if is_chain(model):
        return _CHAIN_SECONDS
    return _LAYER_SECONDS["mlp" if isinstance(model, Mlp | Lenet300100) else "image"] * layers
