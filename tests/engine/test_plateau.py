"""A schedule that follows its lane's metric: torch's own, lane by lane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.configs.base import Steps
from trainables.configs.optimizers import Sgd
from trainables.configs.run import run_id
from trainables.configs.schedules import Constant, Plateau
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.session import PackSession, Settings

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]
SCHEDULE = Plateau(factor=0.3, patience=1, threshold=0.05, cooldown=1, final=0.01)
TRAIN = {"steps": 60, "precision": "float64", "evaluate_every": Steps(steps=3)}


def _runs(make_run: Maker) -> list[RunConfig]:
    schedules = (
        SCHEDULE,
        Constant(),
        SCHEDULE,
        Plateau(patience=0, metric="train/loss", warmup=0.2),
    )
    rates = (0.5, 0.1, 2.0, 0.3)
    return [
        make_run(train=TRAIN, schedule=schedule, optimizer=Sgd(lr=lr), seed=seed)
        for seed, (schedule, lr) in enumerate(zip(schedules, rates, strict=True))
    ]


def _session(runs: list[RunConfig], data: dict[str, DataSet]) -> PackSession:
    return PackSession([(run_id(r), r) for r in runs], data, Settings(strategy="fused"))


def _histories(session: PackSession, runs: list[RunConfig]) -> list[list[dict[str, float]]]:
    rows = []
    while not session.finished:
        rows += session.advance().rows
    return [[row for row in rows if row["run_id"] == run_id(run)] for run in runs]


def test_follows_torch(make_run: Maker, data_of: Callable[..., dict[str, DataSet]]) -> None:
    """The real scheduler on the metrics that were recorded gives the rates that were used."""
    runs = _runs(make_run)
    histories = _histories(_session(runs, data_of(runs[0])), runs)
    for run, rows in zip(runs, histories, strict=True):
        schedule, lr = run.schedule, run.optimizer.lr
        if not isinstance(schedule, Plateau):
            assert {row["lr"] for row in rows} == {lr}
            continue
        weight = torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=lr)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=schedule.factor,
            patience=schedule.patience,
            threshold=schedule.threshold,
            cooldown=schedule.cooldown,
            min_lr=schedule.final * lr,
            eps=0.0,
        )
        warmup = 12 if schedule.warmup else 0
        for row in rows:
            step = row["step"]
            used = lr * step / warmup if step <= warmup else optimizer.param_groups[0]["lr"]
            assert row["lr"] == pytest.approx(used, rel=1e-15)
            if step > warmup:
                scheduler.step(row[schedule.metric])
    falls = [len({row["lr"] for row in rows}) for rows in histories]
    assert falls[1] == 1
    assert min(falls[0], falls[2], falls[3]) > 2, falls


def test_resumed_is_bitwise_and_neighbours_do_not_matter(
    make_run: Maker, data_of: Callable[..., dict[str, DataSet]]
) -> None:
    runs = _runs(make_run)
    data = data_of(runs[0])
    whole, pairs = _session(runs, data), [(run_id(r), r) for r in runs]
    for _ in range(11):
        whole.advance()
    resumed = PackSession.restore(whole.state_dict(), pairs, data, Settings(strategy="fused"))
    expected, found = _histories(whole, runs), _histories(resumed, runs)
    for run, rows, again in zip(runs, expected, found, strict=True):
        assert [r["lr"] for r in again] == [r["lr"] for r in rows]
        assert [r["valid/loss"] for r in again] == [r["valid/loss"] for r in rows]
        solo = _histories(_session([run], data), [run])[0][-len(rows) :]
        assert [r["valid/loss"] for r in solo] == pytest.approx(
            [r["valid/loss"] for r in rows], rel=1e-9
        )


def test_compaction_keeps_what_was_seen(make_run: Maker, small_data: DataSet) -> None:
    stack = Stack(_runs(make_run)[:3], Arrays.of(small_data, CPU, torch.float64))
    stack.advance(6)
    for _ in range(6):
        stack.adapt({"valid/loss": np.ones(3)})
    kept = stack.keep([2])
    assert kept._rates[6:, 0].equal(stack._rates[6:, 2])
    assert kept._rates[6, 0].item() == pytest.approx(2.0 * 0.3**2)
