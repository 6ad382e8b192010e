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
    scales = rate_scales(runs, steps_per_epoch)
    return rates if scales is None else rates * scales


def rate_scales(runs: Sequence[RunConfig], steps_per_epoch: int) -> Tensor | None:
    """What every lane's schedule is multiplied by, as its ``lr`` has changed: new / first.

    Returns:
        (longest training, L) float64; None where no lane changes it.
    """
    if "lr" not in changing(runs):
        return None
    own = torch.tensor([run.optimizer.lr for run in runs], dtype=torch.float64)
    return _changed("lr", runs, own, steps_per_epoch) / own


def changing(runs: Sequence[RunConfig]) -> set[str]:
    """Hyperparameters that some lane changes on the way, or may."""
    listed = {name for run in runs for change in run.train.changes for name in change.optimizer}
    found = {at.name for run in runs if run.population for at in run.population.space}
    return listed | found


def courses(runs: Sequence[RunConfig], steps_per_epoch: int) -> dict[str, Tensor]:
    """Hyperparameters other than ``lr`` in every step and lane, where a lane changes them.

    The momentum (or beta1) is among them where a schedule cycles it, which overrules changes.
    Lanes that keep theirs have the same numbers as without a table.

    Returns:
        Name → (longest training, L) float64; nothing where nothing changes.

    Raises:
        ValueError: a schedule cycles the momentum, and the optimizer has neither.
    """
    cycled = cycled_field(runs)
    found = {}
    for name in sorted((changing(runs) | ({cycled} if cycled else set())) - {"lr"}):
        own = [getattr(run.optimizer, name) for run in runs]
        values = _changed(name, runs, torch.tensor(own, dtype=torch.float64), steps_per_epoch)
        found[name] = _with_cycles(values, runs, steps_per_epoch) if name == cycled else values
    return found


def cycled_field(runs: Sequence[RunConfig]) -> str | None:
    """The hyperparameter that some lane's schedule cycles; None where none does.

    Raises:
        ValueError: the optimizer has neither momentum nor beta1.
    """
    if all(cycling(run.schedule) is None for run in runs):
        return None
    name = momentum_field(runs[0].optimizer)
    if name is None:
        raise ValueError(f"{runs[0].optimizer.name} has neither momentum nor beta1 to cycle")
    return name


def _changed(name: str, runs: Sequence[RunConfig], own: Tensor, steps_per_epoch: int) -> Tensor:
    """Each lane's own value (L,) from the first step, and what it changes to from then on."""
    values = own.repeat(max(length(run.train, steps_per_epoch) for run in runs), 1)
    for lane, run in enumerate(runs):
        for change in run.train.changes:
            if name in change.optimizer:
                values[change.step :, lane] = change.optimizer[name]
    return values


def _with_cycles(values: Tensor, runs: Sequence[RunConfig], steps_per_epoch: int) -> Tensor:
    for lane, run in enumerate(runs):
        steps = length(run.train, steps_per_epoch)
        cycled = schedules.course(run.schedule, run.optimizer.lr, steps, steps_per_epoch).momenta
        if cycled is not None:
            values[:steps, lane] = cycled
    return values


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
