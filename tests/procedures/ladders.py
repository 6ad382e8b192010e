"""Small lottery studies in float64, and what a session makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables import saved_run
from trainables.configs import Lottery, Mlp, RunConfig, Train, run_id
from trainables.configs.base import Steps
from trainables.configs.data import GaussianMixture
from trainables.configs.lottery import networks
from trainables.configs.optimizers import Sgd
from trainables.configs.run import data_key
from trainables.data import DataSet, load
from trainables.procedures.lottery import NO_ARCHIVE, Archive
from trainables.session import PackSession, Settings

DATA = GaussianMixture(classes=5, features=7, examples=131, valid=0.15, test=0.15)
REWOUND = Steps(steps=4)
"""Between two evaluations, in the first epoch."""


def dense_runs(seeds: int = 2, **parts: Any) -> list[RunConfig]:
    train = {"steps": 17, "batch_size": 13, "precision": "float64"} | parts.pop("train", {})
    shared: dict[str, Any] = {
        "data": DATA,
        "model": Mlp(hidden=(11, 3)),
        "optimizer": Sgd(lr=0.2, momentum=0.9),
        **parts,
    }
    return [RunConfig(train=Train(**train), seed=seed, **shared) for seed in range(seeds)]


def tree(dense: RunConfig, **options: Any) -> list[RunConfig]:
    return networks(dense, Lottery(**{"levels": 3, "rate": 0.3, **options}))


def named(runs: list[RunConfig]) -> list[tuple[str, RunConfig]]:
    return [(run_id(run), run) for run in runs]


def data_for(runs: list[RunConfig]) -> dict[str, DataSet]:
    return {data_key(run): load(run.data) for run in runs[:1]}


class Kept:
    """What a session shows of lanes that have ended, and an archive in memory."""

    def __init__(self) -> None:
        self.ends: dict[str, dict[str, Any]] = {}
        self.lanes: dict[tuple[str, int], dict[str, Any]] = {}
        self.archive = Archive(self._keep, self._load)

    def ended(self, stack: Any, ended: Any) -> None:
        for lane, progress in ended.items():
            self.ends[progress.run_id] = stack.lane_states([lane])

    def _keep(self, name: str, at: int, lane: dict[str, Any]) -> None:
        self.lanes[name, at] = lane

    def _load(self, name: str, at: int | None) -> dict[str, Any] | None:
        return self.ends.get(name) if at is None else self.lanes.get((name, at))

    def params(self, run: RunConfig) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.ends[run_id(run)]["params"]
        return {name: tensor[0] for name, tensor in found.items()}

    def masks(self, run: RunConfig) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.ends[run_id(run)]["masks"]
        return {name: tensor[0] for name, tensor in found.items()}


def archive_in(folder: Path) -> Archive:
    return Archive(
        lambda name, at, lane: saved_run.save_lane(folder, name, at, lane),
        lambda name, at: saved_run.load_lane(folder, name, at),
    )


def session_of(
    runs: list[RunConfig], kept: Kept | None = None, archive: Archive = NO_ARCHIVE, **options: Any
) -> PackSession:
    settings = Settings(**{"strategy": "fused", **options})
    ended = None if kept is None else kept.ended
    return PackSession(named(runs), data_for(runs), settings, ended=ended, archive=archive)


def finish(session: PackSession) -> list[dict[str, Any]]:
    """Trains to the end; all rows that were reported."""
    rows: list[dict[str, Any]] = []
    while not session.finished:
        rows += session.advance().rows
    return rows


def trained(runs: list[RunConfig], **options: Any) -> tuple[Kept, PackSession]:
    kept = Kept()
    session = session_of(runs, kept, kept.archive, **options)
    finish(session)
    statuses = {p.status for p in session.progress.values()}
    assert statuses == {"completed"}, {p.error for p in session.progress.values()}
    return kept, session


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 0.0) -> None:
    """Equal to the bit, or to a relative tolerance."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=tolerance, atol=tolerance)
