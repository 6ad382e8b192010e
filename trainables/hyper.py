"""What lanes may differ in, as tensors: learning rates by step, and hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables import schedules
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.run import RunConfig, length


def learning_rates(runs: Sequence[RunConfig], steps_per_epoch: int) -> Tensor:
    """The rate of every step and lane, (longest training, L) float64; 0 once a lane has ended."""
    lengths = [length(run.train, steps_per_epoch) for run in runs]
    rates = torch.zeros(max(lengths), len(runs), dtype=torch.float64)
    for lane, (run, steps) in enumerate(zip(runs, lengths, strict=True)):
        rates[:steps, lane] = schedules.table(
            run.schedule, run.optimizer.lr, steps, steps_per_epoch
        )
    return rates


def hyperparameters(
    optimizers: Sequence[OptimizerConfig], device: torch.device, names: set[str] | None = None
) -> dict[str, Tensor]:
    """Float fields of the lanes' optimizers as (L,) float64; those 0 in every lane are left out.

    Args:
        names: the fields wanted, whatever their values.
    """
    found = {}
    for field in dataclasses.fields(optimizers[0]):
        values = [getattr(optimizer, field.name) for optimizer in optimizers]
        wanted = any(values) if names is None else field.name in names
        if isinstance(values[0], float) and wanted:
            found[field.name] = torch.tensor(values, dtype=torch.float64, device=device)
    return found
