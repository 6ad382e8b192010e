"""Twenty steps of K-FAC and E-KFAC equal the methods written out, lane by lane, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kronecker.dense import DENSE
from tests.kronecker.networks import batch_of, curvature_of, lanes_of
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.curvature.local import Curvature
from trainables.gradients import Batch
from trainables.hyper import hyperparameters
from trainables.lanes import Tree, norm
from trainables.losses import LOSSES
from trainables.optimizers import OPTIMIZERS, Context

CPU = torch.device("cpu")
STEPS = 20


def _plain() -> nn.Module:
    return nn.Sequential(nn.Linear(7, 3), nn.Tanh(), nn.Linear(3, 5, bias=False))


def _normed() -> nn.Module:
    """A normalization's parameters have no factors."""
    return nn.Sequential(nn.Linear(7, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 5))


def _lanes(kind: type, lanes: list[dict[str, Any]], **shared: Any) -> list[Any]:
    return [kind(**shared, **options) for options in lanes]


VARIED: list[dict[str, Any]] = [
    {"lr": 0.1, "damping": 0.03, "stat_decay": 0.5},
    {"lr": 0.003, "damping": 0.01, "momentum": 0.0, "kl_clip": 0.0, "weight_decay": 0.1},
    {"lr": 0.3, "damping": 0.3, "kl_clip": 0.1, "momentum": 0.5},
]
OFTEN = {"statistics_every": 2, "inverse_every": 6}
CASES = [
    ("kfac", _plain, _lanes(Kfac, VARIED, **OFTEN)),
    ("kfac", _normed, _lanes(Kfac, VARIED, **OFTEN, fisher="exact", pi=False)),
    ("kfac", _normed, _lanes(Kfac, VARIED, fisher="empirical", skip_vectors=True)),
    ("kfac", _plain, _lanes(Kfac, VARIED[1:], **OFTEN, decoupled=True)),
    ("ekfac", _plain, _lanes(Ekfac, VARIED, **OFTEN)),
    ("ekfac", _normed, _lanes(Ekfac, VARIED, **OFTEN, fisher="exact")),
    ("ekfac", _normed, _lanes(Ekfac, VARIED, fisher="empirical", decoupled=True)),
]


@pytest.mark.parametrize(("name", "build", "configs"), CASES)
def test_equals_the_method_written_out(name: str, build: Any, configs: list[Any]) -> None:
    modules, network, params, buffers = lanes_of(build, len(configs))
    optimizer = OPTIMIZERS[name]
    state = optimizer.init(params, configs[0], network)
    hyper = hyperparameters(configs, CPU)
    runs = [DENSE[name](m, c) for m, c in zip(modules, configs, strict=True)]
    for step in range(STEPS):
        batch = _small(batch_of((7,), lanes=len(configs), seed=step))
        curvature = curvature_of(network, buffers, batch)
        rates = hyper["lr"] * (1 + 0.5 * (step % 7))
        losses, gradient = curvature.gradient(params)
        context = Context(configs[0], losses, 0.1, curvature.losses, step, curvature)
        params, state = optimizer.update(gradient, state, params, hyper | {"lr": rates}, context)
        for lane, run in enumerate(runs):
            run.step(batch.x[lane], batch.targets[lane], batch.keys[lane], float(rates[lane]))
    for lane, module in enumerate(modules):
        for key, expected in module.named_parameters():
            torch.testing.assert_close(params[key][lane], expected.detach(), rtol=1e-8, atol=1e-11)


def _small(batch: Batch) -> Batch:
    return batch._replace(x=batch.x[:, :11], targets=batch.targets[:, :11])


def _quadratic(targets: Tensor) -> tuple[Any, Tree, Curvature]:
    _, network, params, buffers = lanes_of(lambda: nn.Sequential(nn.Linear(7, 5)))
    batch = batch_of((7,))
    batch = batch._replace(targets=targets)
    loss = LOSSES["quadratic"]
    return network, params, Curvature(network, buffers, batch, "quadratic", 0.0, loss, 1, dict)


@pytest.mark.parametrize("kind", [Kfac, Ekfac])
def test_is_newton_on_a_linear_model(kind: type) -> None:
    """F = I ⊗ A exactly, which is the Hessian: one undamped step of the whole batch solves it."""
    targets = torch.randn(3, 23, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    network, params, curvature = _quadratic(targets)
    config = kind(lr=1.0, damping=0.0, momentum=0.0, kl_clip=0.0, fisher="exact")
    optimizer = OPTIMIZERS[config.name]
    state = optimizer.init(params, config, network)
    losses, gradient = curvature.gradient(params)
    context = Context(config, losses, 1.0, curvature.losses, 0, curvature)
    new, state = optimizer.update(
        gradient, state, params, hyperparameters([config] * 3, CPU), context
    )
    assert (norm(curvature.gradient(new)[1]) < 1e-10).all()
    x = torch.cat([curvature.batch.x, torch.ones(3, 23, 1, dtype=torch.float64)], -1)
    solved = torch.linalg.lstsq(x, targets).solution.mT
    torch.testing.assert_close(new["0.weight"], solved[..., :-1], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(new["0.bias"], solved[..., -1], rtol=1e-9, atol=1e-11)
    if kind is Kfac:
        hessian = curvature.hessian(params)
        vector = {n: torch.randn_like(p) for n, p in params.items()}
        assert optimizer.precondition is not None
        back = optimizer.precondition(hessian(vector), state, {}, config, network)
        for name, tensor in vector.items():
            torch.testing.assert_close(back[name], tensor, rtol=1e-8, atol=1e-10)


def test_a_clipped_step_changes_predictions_by_what_is_allowed() -> None:
    """Of a linear model with quadratic loss the divergence is ½ |f(θ + δ) − f(θ)|², exactly."""
    targets = 7 * torch.ones(3, 23, 5, dtype=torch.float64)
    network, params, curvature = _quadratic(targets)
    configs = [
        Kfac(lr=0.3, damping=0.0, momentum=0.0, kl_clip=clip, fisher="exact")
        for clip in (1e-3, 0.1, 0.0)
    ]
    optimizer = OPTIMIZERS["kfac"]
    state = optimizer.init(params, configs[0], network)
    losses, gradient = curvature.gradient(params)
    context = Context(configs[0], losses, 1.0, curvature.losses, 0, curvature)
    new, _ = optimizer.update(gradient, state, params, hyperparameters(configs, CPU), context)
    moved = {n: new[n] - p for n, p in params.items()}
    change = curvature.batch.x @ moved["0.weight"].mT + moved["0.bias"].unsqueeze(1)
    divergence = change.square().sum(-1).mean(1) / 2
    assert divergence[:2].tolist() == pytest.approx([1e-3, 0.1], rel=1e-8)
    assert divergence[2] > 0.2
