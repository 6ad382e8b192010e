"""Averages of the weights, evaluated in place of those that train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.configs.base import steps_in
from trainables.configs.run import RunConfig
from trainables.forward import Network, training_pass
from trainables.gradients import Batch
from trainables.lanes import Tree, per_lane
from trainables.optimizers import OPTIMIZERS
from trainables.precision import kept_where


@dataclass(frozen=True, slots=True)
class Averaging:
    """θ̄ ← θ̄ + w(θ − θ̄) after a step, with w of each step and lane known before training.

    Exponential (``train.ema``): w = 1 − β after every step, from θ̄ = θ₀; floating buffers
    (running statistics) are averaged in the same way. As
    ``torch.optim.swa_utils.AveragedModel(…, use_buffers=True)``, but for integer buffers, which
    are taken as they are.

    Equal (``train.swa``, Izmailov et al. 2018, algorithm 1): w = 1/k at the k-th of the steps
    start, start + every, …, and 0 at others. Deviation: the learning rate is the schedule's own;
    ``sgdr`` and ``cyclic`` are the paper's. Batch normalization is given statistics that fit the
    average at each evaluation (``batch_statistics``).
    """

    equal: bool
    weights: Tensor
    """The rows of w that are not all 0, (rows, L) float64."""
    rows: Mapping[int, int] | None
    """Steps done → row; None: row 0 after every step."""
    starts: tuple[int, ...]
    """Steps after which a lane's average is evaluated."""

    def begin(self, params: Tree, buffers: Tree) -> Tree:
        """The average before training: of parameters, and with them of what else it is of."""
        if self.equal:
            return dict(params)
        return params | {n: b for n, b in buffers.items() if b.is_floating_point()}

    def next(self, average: Tree, params: Tree, buffers: Tree, done: int) -> Tree:
        """The average after ``done`` steps. Nothing given is changed."""
        row = 0 if self.rows is None else self.rows.get(done)
        if row is None:
            return average
        new, weight = params | buffers, self.weights[row]
        return {
            name: torch.lerp(old, new[name], per_lane(weight.to(old.dtype), old))
            for name, old in average.items()
        }

    def evaluated(
        self,
        network: Network,
        average: Tree,
        params: Tree,
        buffers: Tree,
        done: int,
        batches: Iterable[Batch],
    ) -> tuple[Tree, Tree]:
        """Parameters and buffers to evaluate after ``done`` steps.

        Args:
            batches: training batches of an epoch, read only where statistics must be taken.
        """
        if not self.equal:
            average = buffers | average
            return {n: average[n] for n in params}, {n: average[n] for n in buffers}
        begun = [done >= start for start in self.starts]
        if not any(begun):
            return params, buffers
        lanes = torch.tensor(begun, device=self.weights.device)
        params = kept_where(lanes, average, params)
        if not norms(network.module):
            return params, buffers
        return params, kept_where(
            lanes, batch_statistics(network, params, buffers, batches), buffers
        )


def of(
    runs: Sequence[RunConfig],
    lengths: Sequence[int],
    steps_per_epoch: int,
    ends: Sequence[int],
    device: torch.device,
) -> Averaging | None:
    """How these runs (of one fusion key) average their weights, if they do.

    Args:
        ends: ``configs.run.step_ends``; a moment within a step that takes several batches is
            its end.

    Raises:
        ValueError: the optimizer evaluates an average of its own.
    """
    train, optimizer = runs[0].train, runs[0].optimizer.name
    if train.ema is None and train.swa is None:
        return None
    if OPTIMIZERS[optimizer].evaluated is not OPTIMIZERS["sgd"].evaluated:
        raise ValueError(f"{optimizer} evaluates an average of its own; leave out ema and swa")
    if train.ema is not None:
        weights = [1 - (run.train.ema or 0.0) for run in runs]
        table = torch.tensor([weights], dtype=torch.float64, device=device)
        return Averaging(False, table, None, (0,) * len(runs))
    starts, periods = [], []
    for run, total in zip(runs, lengths, strict=True):
        assert run.train.swa is not None
        unit = {"total_steps": total, "steps_per_epoch": steps_per_epoch}
        starts.append(steps_in(run.train.swa.start, **unit))
        periods.append(max(1, steps_in(run.train.swa.every, **unit)))
    table, rows = _equal_weights(torch.tensor(starts), torch.tensor(periods), ends)
    return Averaging(True, table.to(device), rows, tuple(starts))


def _equal_weights(
    starts: Tensor, periods: Tensor, ends: Sequence[int]
) -> tuple[Tensor, Mapping[int, int]]:
    """w = 1/k where a lane averages for the k-th time; the initial weights count, if start is 0."""
    since = torch.tensor(ends).unsqueeze(1) - starts  # (1 + T, L)
    passed = torch.where(since < 0, 0, since // periods + 1)
    due = passed.diff(dim=0, prepend=torch.zeros_like(passed[:1])) > 0
    weights = due / due.cumsum(0).clamp(min=1).to(torch.float64)
    steps = due[1:].any(1).nonzero().flatten() + 1
    return weights[steps], {ends[step]: row for row, step in enumerate(steps.tolist())}


def norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """Batch normalizations with running statistics, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    }


def batch_statistics(
    network: Network, params: Tree, buffers: Tree, batches: Iterable[Batch]
) -> Tree:
    """Buffers with batch normalization's mean and variance averaged over ``batches`` at ``params``.

    As ``torch.optim.swa_utils.update_bn``, in all lanes at once: forward passes in training mode
    with momentum 1/k at the k-th batch, which makes running statistics their mean over batches.
    """
    layers = norms(network.module)
    momenta = {name: layer.momentum for name, layer in layers.items()}
    found = buffers
    try:
        for count, batch in enumerate(batches, start=1):
            for layer in layers.values():
                layer.momentum = 1 / count
            _, found = training_pass(network, params, found, batch.x, batch.keys)
    finally:
        for name, layer in layers.items():
            layer.momentum = momenta[name]
    return found
