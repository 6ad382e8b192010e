"""One run trained as one writes it by hand: plain eager PyTorch. Shared by all baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from trainables import models, schedules
from trainables.configs.optimizers import Sgd
from trainables.configs.run import RunConfig, evaluation_interval, length
from trainables.data import DataSet
from trainables.lanes import permutation

Pair = tuple[Tensor, Tensor]
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set as tensors: inputs and labels of each split."""

    train: Pair
    valid: Pair
    test: Pair
    outputs: int

    @classmethod
    def of(cls, data: DataSet, device: torch.device = _CPU) -> Self:
        def pair(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Pair:
            return torch.tensor(x, device=device), torch.tensor(y, device=device)

        return cls(
            train=pair(data.train_x, data.train_y),
            valid=pair(data.valid_x, data.valid_y),
            test=pair(data.test_x, data.test_y),
            outputs=data.outputs,
        )


class EagerRun:
    """A network, ``torch.optim.SGD`` and a loop, advanced by one evaluation at a time.

    The data are in memory, shuffled every epoch, the last incomplete batch dropped: no
    ``DataLoader``, which would take longer than the network. The learning rates come from
    the real schedulers, written out once for a run, which is quicker than to step a chain
    of schedulers in the loop. Initialization and order are those of Regatta's run, so
    that results can be compared run by run.
    """

    def __init__(self, config: RunConfig, data: Splits) -> None:
        assert isinstance(config.optimizer, Sgd)
        self._config, self._data = config, data
        x, _ = data.train
        self._per_epoch = len(x) // config.train.batch_size
        self._length = length(config.train, self._per_epoch)
        self._interval = evaluation_interval(config.train, self._per_epoch)
        self._rates = schedules.table(
            config.schedule, config.optimizer.lr, self._length, self._per_epoch
        ).tolist()
        model = models.build(config.model, x.shape[1:], data.outputs, config.seed)
        self._model = model.to(x.device)
        self._optimizer = torch.optim.SGD(
            self._model.parameters(),
            lr=config.optimizer.lr,
            momentum=config.optimizer.momentum,
            nesterov=config.optimizer.nesterov,
            weight_decay=config.optimizer.weight_decay,
        )
        self._step = 0
        self.finished = False

    def advance(self) -> dict[str, float]:
        """Trains to the next evaluation, and evaluates."""
        losses = []
        until = min((self._step // self._interval + 1) * self._interval, self._length)
        while self._step < until:
            losses.append(self.train_step())
        steps = torch.stack(losses)
        diverged = not bool((steps <= self._config.train.diverged_above).all())
        self.finished = diverged or self._step == self._length
        return {
            "step": self._step,
            "train_loss": float(steps.mean()),
            **self._evaluate("valid", self._data.valid),
            **self._evaluate("test", self._data.test),
        }

    def train_step(self) -> Tensor:
        """One step; its loss."""
        x, y = self._data.train
        epoch, position = divmod(self._step, self._per_epoch)
        if position == 0:
            self._order = permutation(self._config.seed, epoch, len(x)).to(x.device)
        size = self._config.train.batch_size
        batch = self._order[position * size : (position + 1) * size]
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[self._step]
        self._optimizer.zero_grad()
        loss = cross_entropy(self._model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._step += 1
        return loss.detach()

    @torch.no_grad()
    def _evaluate(self, name: str, split: Pair) -> dict[str, float]:
        x, y = split
        outputs = self._model(x)
        return {
            f"{name}_loss": float(cross_entropy(outputs, y)),
            f"{name}_accuracy": float((outputs.argmax(1) == y).float().mean()),
        }
