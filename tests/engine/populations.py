"""Small populations of SGD on least squares, and a member that PyTorch trains alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables import models
from trainables.configs.base import Epochs
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.optimizers import Sgd
from trainables.configs.population import Mutable, Population
from trainables.configs.run import RunConfig, Train, data_key, run_id
from trainables.data import DataSet, load
from trainables.lanes import permutation
from trainables.session import PackSession, Settings

DATA = LeastSquares(features=5, examples=31, noise=0.5)
LR = Mutable(name="lr", low=1e-3, high=0.5, log=True)
MOMENTUM = Mutable(name="momentum", low=0.0, high=0.97)
STARTS = [(0.002, 0.9), (0.05, 0.3), (0.3, 0.1), (0.01, 0.5), (0.1, 0.8), (0.004, 0.0), (0.2, 0.6)]


def members(
    starts: list[tuple[float, float]] = STARTS, *, seed: int = 3, **parts: Any
) -> list[RunConfig]:
    """A population of SGD on least squares, 7 steps an epoch of 31 examples."""
    train = {"epochs": 8.0, "batch_size": 4, "loss": "quadratic", "precision": "float64"}
    train |= parts.pop("train", {})
    defaults: dict[str, Any] = {
        "size": len(starts),
        "interval": Epochs(epochs=2.0),
        "quantile": 0.3,
        "resample": 0.25,
        "factors": (0.8, 1.2),
        "seed": 5,
        "metric": "valid/loss",
        "mode": "min",
        "space": (LR, MOMENTUM),
        "members": "m",
    }
    rules = Population(**defaults | parts.pop("rules", {}))
    shared: dict[str, Any] = {"data": DATA, "model": Linear(), **parts}
    return [
        RunConfig(
            optimizer=Sgd(lr=lr, momentum=momentum),
            train=Train(**train),
            seed=seed,
            population=rules,
            **shared,
        )
        for lr, momentum in starts
    ]


def data_of(runs: list[RunConfig]) -> dict[str, DataSet]:
    return {data_key(run): load(run.data) for run in runs}


def session_of(runs: list[RunConfig], **options: Any) -> PackSession:
    settings = Settings(**{"strategy": "fused", **options})
    return PackSession([(run_id(run), run) for run in runs], data_of(runs), settings)


def finished(session: PackSession) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    while not session.finished:
        report = session.advance()
        rows += report.rows
        events += report.events
    return {"rows": rows, "events": events, "progress": session.progress}


def timeless(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, float]]:
    return {
        (row["run_id"], row["step"]): {
            k: v for k, v in row.items() if k not in ("seconds", "run_id")
        }
        for row in rows
    }


class Eager:
    """A member that PyTorch trains alone."""

    def __init__(self, run: RunConfig, data: DataSet) -> None:
        self.values = {"lr": run.optimizer.lr, "momentum": run.optimizer.momentum}  # type: ignore[union-attr]
        self.module = models.build(run.model, data.input_shape, data.outputs, run.seed).double()
        self.state = torch.optim.SGD(self.module.parameters(), **self.values)
        self.seed = run.seed
        arrays = (data.train_x, data.train_y, data.valid_x, data.valid_y)
        self.x, self.y, *self.valid = (torch.from_numpy(at).double() for at in arrays)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return 0.5 * (self.module(x) - y).square().sum(1).mean()

    def train(self, first: int, last: int) -> float:
        for step in range(first, last):
            order = permutation(self.seed, step // 7, 31)
            batch = order[step % 7 * 4 : step % 7 * 4 + 4]
            self.state.zero_grad()
            self.loss(self.x[batch], self.y[batch]).backward()
            self.state.step()
        return float(self.loss(*self.valid).detach())
