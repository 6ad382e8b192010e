"""The training batches of a stack's lanes, each loaded once for all lanes of a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs.run import RunConfig
from trainables.lanes import permutation


class Batches:
    """What each lane trains on at any step: a pure function of its run's seed and the step."""

    def __init__(self, runs: Sequence[RunConfig], arrays: Arrays) -> None:
        self._arrays = arrays
        self._lanes = len(runs)
        self._size = runs[0].train.batch_size
        self._steps_per_epoch = arrays.examples // self._size
        self._seeds = sorted({run.seed for run in runs})
        lane_of = [self._seeds.index(run.seed) for run in runs]
        self._seed_of_lane = torch.tensor(lane_of, device=arrays.train[0].device)
        self._epoch = -1

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (L, B, …) and targets (L, B, …)."""
        x, y = self._arrays.train
        index = self._index(step)
        if len(self._seeds) == 1:
            inputs, labels = x.index_select(0, index[0]), y.index_select(0, index[0])
            return (
                inputs.expand(self._lanes, *inputs.shape),
                labels.expand(self._lanes, *labels.shape),
            )
        index = index.index_select(0, self._seed_of_lane)  # (L, B)
        return _taken(x, index), _taken(y, index)

    def _index(self, step: int) -> Tensor:
        """The examples of a step, (seeds, B)."""
        epoch, position = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            orders = [permutation(seed, epoch, self._arrays.examples) for seed in self._seeds]
            self._order = torch.stack(orders).to(self._seed_of_lane.device)
        return self._order[:, position * self._size : (position + 1) * self._size]


def _taken(examples: Tensor, index: Tensor) -> Tensor:
    """Examples (n, …) at an index (S, B): (S, B, …)."""
    return examples.index_select(0, index.flatten()).view(*index.shape, *examples.shape[1:])
