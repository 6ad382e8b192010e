"""What lanes may differ in, as tensors: learning rates by step, and hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from trainables import schedules
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.optimizers import momentum_field
from trainables.configs.run import RunConfig, length
from trainables.configs.schedules import cycling


def learning_rates(runs: Sequence[RunConfig], steps_per_epoch: int) -> Tensor:
    """The rate of every step and lane, (longest training, L) float64; 0 once a lane has ended."""
    lengths = [length(run.train, steps_per_epoch) for run in runs]
    rates = torch.zeros(max(lengths), len(runs), dtype=torch.float64)
    for lane, (run, steps) in enumerate(zip(runs, lengths, strict=True)):
        rates[:steps, lane] = schedules.table(
            run.schedule, run.optimizer.lr, steps, steps_per_epoch
        )
    return rates


def momenta(runs: Sequence[RunConfig], steps_per_epoch: int) -> dict[str, Tensor]:
    """The momentum (or beta1) of every step and lane where a lane's schedule cycles it.

    Lanes that do not cycle it keep their own throughout: the same numbers as without a table.

    Returns:
        Its name → (longest training, L) float64; nothing where no lane cycles it.

    Raises:
        ValueError: the optimizer has neither.
    """
    if all(cycling(run.schedule) is None for run in runs):
        return {}
    name = momentum_field(runs[0].optimizer)
    if name is None:
        raise ValueError(f"{runs[0].optimizer.name} has neither momentum nor beta1 to cycle")
    lengths = [length(run.train, steps_per_epoch) for run in runs]
    own = torch.tensor([getattr(run.optimizer, name) for run in runs], dtype=torch.float64)
    values = own.repeat(max(lengths), 1)
    for lane, (run, steps) in enumerate(zip(runs, lengths, strict=True)):
        cycled = schedules.course(run.schedule, run.optimizer.lr, steps, steps_per_epoch).momenta
        if cycled is not None:
            values[:steps, lane] = cycled
    return {name: values}


def hyperparameters(
    optimizers: Sequence[OptimizerConfig],
    device: torch.device,
    names: set[str] | None = None,
    cycled: Iterable[str] = (),
) -> dict[str, Tensor]:
    """Float fields of the lanes' optimizers as (L,) float64; those 0 in every lane are left out.

    Args:
        names: the fields wanted, whatever their values.
        cycled: fields that have values in other steps, and so are not left out.
    """
    found = {}
    for field in dataclasses.fields(optimizers[0]):
        values = [getattr(optimizer, field.name) for optimizer in optimizers]
        wanted = any(values) or field.name in cycled if names is None else field.name in names
        if isinstance(values[0], float) and wanted:
            found[field.name] = torch.tensor(values, dtype=torch.float64, device=device)
    return found
