"""Every optimizer equals torch.optim, lane by lane, in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.configs.optimizers import Adam, AdamW, Sgd
from trainables.engine import hyperparameters
from trainables.optimizers import OPTIMIZERS

STEPS = 200
SHAPES = {"weight": (5, 3), "bias": (5,)}
RATES = (0.003, 0.1)

Oracle = Callable[[list[Tensor], Any], torch.optim.Optimizer]


def _grid(kind: type, **values: tuple[Any, ...]) -> list[Any]:
    return [
        kind(**dict(zip(values, point, strict=True)))
        for point in itertools.product(*values.values())
    ]


CASES: dict[str, tuple[list[list[Any]], Oracle]] = {
    "sgd": (
        [
            _grid(Sgd, lr=RATES, momentum=(0.0, 0.5, 0.9), weight_decay=(0.0, 0.01)),
            _grid(Sgd, lr=RATES),
            _grid(Sgd, lr=RATES, momentum=(0.5, 0.9), nesterov=(True,), weight_decay=(0.0, 0.01)),
        ],
        lambda params, c: torch.optim.SGD(
            params,
            lr=c.lr,
            momentum=c.momentum,
            nesterov=c.nesterov,
            weight_decay=c.weight_decay,
        ),
    ),
    "adam": (
        [_grid(Adam, lr=RATES, beta1=(0.0, 0.9), beta2=(0.9, 0.999), weight_decay=(0.0, 0.1))],
        lambda params, c: torch.optim.Adam(
            params, lr=c.lr, betas=(c.beta1, c.beta2), eps=c.eps, weight_decay=c.weight_decay
        ),
    ),
    "adamw": (
        [_grid(AdamW, lr=RATES, beta1=(0.0, 0.9), eps=(1e-8, 1e-3), weight_decay=(0.0, 0.1))],
        lambda params, c: torch.optim.AdamW(
            params, lr=c.lr, betas=(c.beta1, c.beta2), eps=c.eps, weight_decay=c.weight_decay
        ),
    ),
}


def test_every_optimizer_has_an_oracle() -> None:
    assert set(CASES) == set(CONFIGS) == set(OPTIMIZERS)


def _gradient(params: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    """An ill-conditioned quadratic with a disturbance that depends on the step."""
    return {
        name: p * torch.linspace(0.1, 3.0, p[0].numel(), dtype=p.dtype).view(p.shape[1:])
        + torch.sin(torch.tensor(float(step)))
        for name, p in params.items()
    }


@pytest.mark.parametrize(
    ("name", "lanes"),
    [(name, lanes) for name, (packs, _) in CASES.items() for lanes in packs],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} lanes",
)
def test_equals_torch_optim(name: str, lanes: list[Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    start = {
        key: torch.randn(len(lanes), *shape, generator=generator, dtype=torch.float64)
        for key, shape in SHAPES.items()
    }
    ours = OPTIMIZERS[name]
    params, state = start, ours.init(start, lanes[0])
    hyper = hyperparameters(lanes, torch.device("cpu"))
    rates = torch.tensor([config.lr for config in lanes], dtype=torch.float64)
    for step in range(STEPS):
        factor = 1 + 0.5 * (step % 7)  # learning rates change from step to step
        params, state = ours.update(
            _gradient(params, step), state, params, hyper | {"lr": rates * factor}, lanes[0]
        )
    for lane, config in enumerate(lanes):
        theirs = [tensor[lane].clone().requires_grad_() for tensor in start.values()]
        optimizer = CASES[name][1](theirs, config)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = config.lr * (1 + 0.5 * (step % 7))
            stacked = {k: p.detach().unsqueeze(0) for k, p in zip(start, theirs, strict=True)}
            for p, grad in zip(theirs, _gradient(stacked, step).values(), strict=True):
                p.grad = grad[0]
            optimizer.step()
        for key, expected in zip(start, theirs, strict=True):
            torch.testing.assert_close(params[key][lane], expected.detach(), rtol=1e-10, atol=1e-14)
