"""The benchmark's baseline is K-FAC, and what steps cost stays within what is promised."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.eager_kfac import EagerKfac
from benchmarks.second_order import Cost, config_of, costs, main, period_of, speedup
from benchmarks.workloads import WORKLOADS
from tests.kronecker.networks import batch_of, chain, curvature_of, lanes_of
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.curvature.sampling import drawn
from trainables.hyper import hyperparameters
from trainables.optimizers import OPTIMIZERS, Context

DIGITS = WORKLOADS["digits-mlp"]


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_the_run_by_hand_is_a_lane(clip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine steps with the same targets drawn, in float64."""
    monkeypatch.setattr(torch, "get_default_dtype", torch.get_default_dtype)
    torch.set_default_dtype(torch.float64)
    try:
        _compare(clip)
    finally:
        torch.set_default_dtype(torch.float32)


def _compare(clip: float) -> None:
    config = Kfac(lr=0.05, weight_decay=0.1, kl_clip=clip, statistics_every=2, inverse_every=4)
    (module, *_), network, params, buffers = lanes_of(chain, 1)
    now: dict[str, Any] = {}

    def draw(logits: torch.Tensor) -> torch.Tensor:
        return drawn("cross_entropy", logits[None], now["keys"], 1 << 10)[0]

    alone = EagerKfac(module, config, draw)
    optimizer, hyper = OPTIMIZERS["kfac"], hyperparameters([config], torch.device("cpu"))
    state = optimizer.init(params, config, network)
    for step in range(9):
        batch = batch_of((7,), lanes=1, seed=step)
        now["keys"] = batch.keys
        curvature = curvature_of(network, buffers, batch)
        losses, gradient = curvature.gradient(params)
        context = Context(config, losses, 0.1, curvature.losses, step, curvature)
        params, state = optimizer.update(gradient, state, params, hyper, context)
        loss = alone.train_step(batch.x[0], batch.targets[0])
        torch.testing.assert_close(loss, losses[0])
    for name, p in module.named_parameters():
        torch.testing.assert_close(params[name][0], p.detach(), rtol=1e-8, atol=1e-11)


def test_periods_and_configurations() -> None:
    assert period_of(Kfac(statistics_every=6, inverse_every=15)) == 30
    assert period_of(Ekfac()) == 100
    assert period_of(config_of("adam")) == 20
    config = config_of("kfac")
    assert (config.momentum, config.weight_decay, config.statistics_every) == (0.9, 0.001, 10)


def test_it_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        main(["--rounds", "1", "--lanes", "2", "--optimizers", "sgd", "kfac"])
    finally:
        torch.set_flush_denormal(False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[3:5]] == ["| `sgd`", "| `kfac`"]
    assert "times as many steps" in lines[5]


def test_what_refuses_the_network_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise ValueError("not for this network")

    refusing = OPTIMIZERS["kfac"]._replace(init=refuse)
    monkeypatch.setitem(OPTIMIZERS, "kfac", refusing)
    found = costs(DIGITS, {"kfac": Kfac(), "sgd": config_of("sgd")}, lanes=2, rounds=1)
    assert found["kfac"] == "not for this network"
    assert isinstance(found["sgd"], Cost)


@pytest.mark.timed
def test_a_step_of_kfac_costs_about_two_of_sgd() -> None:
    """With statistics every 10 steps, in a pack of 32 lanes; 2 on a machine with nothing else to
    do, and more where others fill its caches."""
    cost = costs(DIGITS, {"kfac": config_of("kfac")}, rounds=9)["kfac"]
    assert isinstance(cost, Cost)
    assert cost.step < 2.6
    assert 1 < cost.memory < 3


@pytest.mark.timed
def test_a_pack_of_kfac_is_far_ahead_of_single_runs() -> None:
    """Fivefold on a machine with nothing else to do."""
    assert speedup(DIGITS) > 3
