"""The training batches of a stack's lanes, loaded and augmented once for each seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.augment import augment
from trainables.configs.run import RunConfig
from trainables.lanes import derive, permutation


class Batches:
    """What each lane trains on at any step: a pure function of its run's seed and the step."""

    def __init__(self, runs: Sequence[RunConfig], arrays: Arrays) -> None:
        self._arrays = arrays
        self._lanes = len(runs)
        self._size = runs[0].train.batch_size
        self._steps_per_epoch = arrays.examples // self._size
        self._seeds = sorted({run.seed for run in runs})
        self._augment = runs[0].train.augment
        keys = [derive(seed, "augment") for seed in self._seeds]
        self._keys = torch.tensor(keys, device=arrays.train[0].device)
        lane_of = [self._seeds.index(run.seed) for run in runs]
        self._seed_of_lane = torch.tensor(lane_of, device=arrays.train[0].device)
        self._epoch = -1

    def at(self, step: int, count: int = 1) -> tuple[Tensor, Tensor]:
        """Inputs (L, B, …) and targets (L, B, …) of ``count`` batches of one epoch, as one."""
        x, y = self._arrays.train
        index = self._index(step, count)
        if self._augment is not None:
            inputs = augment(_taken(x, index), self._augment, self._keys + derive(step))
            return self._of_lanes(inputs), self._of_lanes(_taken(y, index))
        if len(self._seeds) == 1:
            return self._of_lanes(_taken(x, index)), self._of_lanes(_taken(y, index))
        index = index.index_select(0, self._seed_of_lane)  # (L, B)
        return _taken(x, index), _taken(y, index)

    def _of_lanes(self, of_seeds: Tensor) -> Tensor:
        """What each seed has (seeds, …), for each lane (L, …)."""
        if len(self._seeds) == 1:
            return of_seeds.expand(self._lanes, *of_seeds.shape[1:])
        return of_seeds.index_select(0, self._seed_of_lane)

    def _index(self, step: int, count: int) -> Tensor:
        """The examples of a step, (seeds, B)."""
        epoch, position = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            orders = [permutation(seed, epoch, self._arrays.examples) for seed in self._seeds]
            self._order = torch.stack(orders).to(self._seed_of_lane.device)
        return self._order[:, position * self._size : (position + count) * self._size]


def _taken(examples: Tensor, index: Tensor) -> Tensor:
    """Examples (n, …) at an index (S, B): (S, B, …)."""
    return examples.index_select(0, index.flatten()).view(*index.shape, *examples.shape[1:])


def check_size(batch_size: int, examples: int) -> None:
    """
    Raises:
        ValueError: the batch is larger than the training set.
    """
    if batch_size > examples:
        raise ValueError(f"batch_size {batch_size} exceeds the {examples} training examples")
