"""Every optimizer equals torch.optim or its paper written out, lane by lane, in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine import dense_optimizers as dense
from tests.engine.dense_optimizers import NETWORK
from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.configs.optimizers import (
    AdaDelta,
    AdaGrad,
    Adam,
    Adamax,
    AdamW,
    AmsGrad,
    BarzilaiBorwein,
    Lamb,
    Lars,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RmsProp,
    ScheduleFreeAdamW,
    ScheduleFreeSgd,
    Sgd,
    Sls,
    Sps,
)
from trainables.hyper import hyperparameters
from trainables.optimizers import OPTIMIZERS, Context
from trainables.optimizers.base import root, roots

STEPS = 200
SHAPES = {"weight": (5, 3), "bias": (5,), "kernel": (2, 3, 7)}
FEWER_STEPS = {"muon": 10}
"""Newton–Schulz magnifies small singular values 3.4⁵-fold, rounding included: errors grow."""
RATES = (0.003, 0.1)

Oracle = Callable[[list[Tensor], Any], Any]
DECAYS = (0.0, 0.1)


def _grid(kind: type, **values: tuple[Any, ...]) -> list[Any]:
    return [
        kind(**dict(zip(values, point, strict=True)))
        for point in itertools.product(*values.values())
    ]


def _torch_adam(kind: Any, params: list[Tensor], c: Any, **options: Any) -> Any:
    return kind(
        params,
        lr=c.lr,
        betas=(c.beta1, c.beta2),
        eps=c.eps,
        weight_decay=c.weight_decay,
        **options,
    )


CASES: dict[str, tuple[list[list[Any]], Oracle]] = {
    "sgd": (
        [
            _grid(Sgd, lr=RATES, momentum=(0.0, 0.5, 0.9), weight_decay=(0.0, 0.01)),
            _grid(Sgd, lr=RATES),
            _grid(Sgd, lr=RATES, momentum=(0.5, 0.9), nesterov=(True,), weight_decay=(0.0, 0.01)),
            _grid(Sgd, lr=RATES, momentum=(0.0, 0.9), decoupled=(True,), weight_decay=(0.0, 0.1)),
        ],
        lambda params, c: (
            dense.SgdW(params, c)
            if c.decoupled
            else torch.optim.SGD(
                params,
                lr=c.lr,
                momentum=c.momentum,
                nesterov=c.nesterov,
                weight_decay=c.weight_decay,
            )
        ),
    ),
    "adam": (
        [_grid(Adam, lr=RATES, beta1=(0.0, 0.9), beta2=(0.9, 0.999), weight_decay=(0.0, 0.1))],
        partial(_torch_adam, torch.optim.Adam),
    ),
    "adamw": (
        [_grid(AdamW, lr=RATES, beta1=(0.0, 0.9), eps=(1e-8, 1e-3), weight_decay=(0.0, 0.1))],
        partial(_torch_adam, torch.optim.AdamW),
    ),
    "amsgrad": (
        [_grid(AmsGrad, lr=RATES, beta1=(0.0, 0.9), beta2=(0.9, 0.999), weight_decay=DECAYS)],
        partial(_torch_adam, torch.optim.Adam, amsgrad=True),
    ),
    "radam": (
        [
            _grid(RAdam, lr=RATES, beta1=(0.0, 0.9), beta2=(0.0, 0.9, 0.999), weight_decay=DECAYS),
            _grid(RAdam, lr=RATES, weight_decay=DECAYS, decoupled=(True,)),
        ],
        lambda params, c: _torch_adam(
            torch.optim.RAdam, params, c, decoupled_weight_decay=c.decoupled
        ),
    ),
    "adamax": (
        [_grid(Adamax, lr=RATES, beta1=(0.0, 0.9), beta2=(0.9, 0.999), weight_decay=DECAYS)],
        partial(_torch_adam, torch.optim.Adamax),
    ),
    "nadam": (
        [
            _grid(
                NAdam, lr=RATES, beta1=(0.5, 0.9), momentum_decay=(0.0, 0.1), weight_decay=DECAYS
            ),
            _grid(NAdam, lr=RATES, weight_decay=DECAYS, decoupled=(True,)),
        ],
        lambda params, c: _torch_adam(
            torch.optim.NAdam,
            params,
            c,
            momentum_decay=c.momentum_decay,
            decoupled_weight_decay=c.decoupled,
        ),
    ),
    "adagrad": (
        [
            _grid(AdaGrad, lr=RATES, initial_accumulator=(0.0, 0.5), weight_decay=DECAYS),
            _grid(AdaGrad, lr=RATES, eps=(1e-10, 0.1)),
        ],
        lambda params, c: torch.optim.Adagrad(
            params,
            lr=c.lr,
            eps=c.eps,
            initial_accumulator_value=c.initial_accumulator,
            weight_decay=c.weight_decay,
        ),
    ),
    "rmsprop": (
        [
            _grid(
                RmsProp,
                lr=RATES,
                alpha=(0.9, 0.99),
                momentum=(0.0, 0.9),
                weight_decay=DECAYS,
                centered=(centered,),
            )
            for centered in (False, True)
        ],
        lambda params, c: torch.optim.RMSprop(
            params,
            lr=c.lr,
            alpha=c.alpha,
            momentum=c.momentum,
            centered=c.centered,
            eps=c.eps,
            weight_decay=c.weight_decay,
        ),
    ),
    "adadelta": (
        [_grid(AdaDelta, lr=(0.1, 1.0), rho=(0.5, 0.9), eps=(1e-6, 1e-2), weight_decay=DECAYS)],
        lambda params, c: torch.optim.Adadelta(
            params, lr=c.lr, rho=c.rho, eps=c.eps, weight_decay=c.weight_decay
        ),
    ),
    "lion": (
        [_grid(Lion, lr=RATES, beta1=(0.0, 0.9), beta2=(0.9, 0.99), weight_decay=DECAYS)],
        dense.Lion,
    ),
    "lars": (
        [
            _grid(
                Lars,
                lr=RATES,
                momentum=(0.0, 0.9),
                trust=(0.001, 0.1),
                weight_decay=DECAYS,
                skip_vectors=(skip,),
            )
            for skip in (True, False)
        ],
        dense.Lars,
    ),
    "lamb": (
        [
            _grid(Lamb, lr=RATES, beta1=(0.0, 0.9), weight_decay=DECAYS, skip_vectors=(skip,))
            for skip in (True, False)
        ],
        dense.Lamb,
    ),
    "muon": (
        [
            _grid(Muon, lr=RATES, momentum=(0.5, 0.95), weight_decay=DECAYS),
            _grid(Muon, lr=RATES, momentum=(0.0, 0.9), nesterov=(False,), ns_steps=(3,)),
            _grid(Muon, lr=RATES, adjust_lr=("match_rms_adamw",), adam_ratio=(0.1, 1.0)),
        ],
        dense.Muon,
    ),
    "schedule_free_sgd": (
        [_grid(ScheduleFreeSgd, lr=RATES, momentum=(0.0, 0.5, 0.9), weight_decay=DECAYS)],
        dense.ScheduleFree,
    ),
    "schedule_free_adamw": (
        [_grid(ScheduleFreeAdamW, lr=RATES, beta1=(0.0, 0.9), weight_decay=DECAYS)],
        dense.ScheduleFree,
    ),
    "sps": (
        [
            _grid(Sps, lr=(0.05, 0.1), c=(0.5, 1.0), max_step=(0.1, 5.0), smooth=(True,)),
            _grid(Sps, lr=(0.05, 0.1), f_star=(0.0, 0.5), smooth=(False,)),
        ],
        dense.Sps,
    ),
    "sls": (
        [_grid(Sls, lr=(0.4, 2.0), c=(0.0, 0.5), backtrack=(0.5, 0.9), growth=(1.0, 3.0))],
        dense.Sls,
    ),
    "barzilai_borwein": (
        [
            _grid(BarzilaiBorwein, lr=(0.1, 0.3), max_step=(0.2, 1.0), variant=(variant,))
            for variant in ("long", "short")
        ],
        dense.BarzilaiBorwein,
    ),
}


def fields_of(kind: type) -> set[str]:
    return set(kind.__dataclass_fields__)  # type: ignore[attr-defined]


def _gradient(params: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    """An ill-conditioned quadratic with a disturbance that depends on the step."""
    return {
        name: p * torch.linspace(0.1, 3.0, p[0].numel(), dtype=p.dtype).view(p.shape[1:])
        + torch.sin(torch.tensor(float(step)))
        for name, p in params.items()
    }


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """torch.optim.NAdam keeps its product of momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _loss(params: dict[str, Tensor]) -> Tensor:
    """What stands for the batch loss, (L,)."""
    return sum((p.flatten(1).square().sum(1) for p in params.values()), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("name", "lanes"),
    [(name, lanes) for name, (packs, _) in CASES.items() for lanes in packs],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} lanes",
)
def test_equals_its_oracle(name: str, lanes: list[Any]) -> None:
    generator = torch.Generator().manual_seed(3)
    start = {
        key: torch.randn(len(lanes), *shape, generator=generator, dtype=torch.float64)
        for key, shape in SHAPES.items()
    }
    ours, steps = OPTIMIZERS[name], FEWER_STEPS.get(name, STEPS)
    params, state = start, ours.init(start, lanes[0], NETWORK)
    hyper = hyperparameters(lanes, torch.device("cpu"))
    rates = torch.tensor([config.lr for config in lanes], dtype=torch.float64)
    for step in range(steps):
        factor = 1 + 0.5 * (step % 7)  # learning rates change from step to step
        context = Context(lanes[0], _loss(params), dense.Sps.share, _loss)
        params, state = ours.update(
            _gradient(params, step), state, params, hyper | {"lr": rates * factor}, context
        )
    evaluated = ours.evaluated(params, state)
    for lane, config in enumerate(lanes):
        theirs = [tensor[lane].clone().requires_grad_() for tensor in start.values()]
        optimizer = CASES[name][1](theirs, config)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = config.lr * (1 + 0.5 * (step % 7))
            stacked = {k: p.detach().unsqueeze(0) for k, p in zip(start, theirs, strict=True)}
            optimizer.loss = float(_loss(stacked))
            for p, grad in zip(theirs, _gradient(stacked, step).values(), strict=True):
                p.grad = grad[0]
            optimizer.step()
        averages = optimizer.averages() if hasattr(optimizer, "averages") else theirs
        for key, expected, average in zip(start, theirs, averages, strict=True):
            assert expected.isfinite().all()
            torch.testing.assert_close(params[key][lane], expected.detach(), rtol=1e-10, atol=1e-14)
            torch.testing.assert_close(
                evaluated[key][lane], average.detach(), rtol=1e-10, atol=1e-14
            )


SKIPPING = [name for name, kind in CONFIGS.items() if "skip_vectors" in fields_of(kind)]


ALONE = [name for name in SKIPPING if "curvature" not in (OPTIMIZERS[name].not_compiled or "")]
"""Tensor by tensor: where a matrix ties vectors to the rest, ``tests.newton`` has them spared."""
SPARING = [(name, False) for name in ALONE if name not in ("lars", "lamb")]
SPARING += [(name, True) for name in ALONE if "decoupled" in fields_of(CONFIGS[name])]


@pytest.mark.parametrize(("name", "decoupled"), SPARING)
def test_vectors_are_spared_the_decay(name: str, *, decoupled: bool) -> None:
    """With ``skip_vectors`` matrices go as with the decay everywhere, and vectors as without."""
    kind: Any = CONFIGS[name]
    options = {"lr": 0.05} | ({"decoupled": True} if decoupled else {})
    if "kl_clip" in fields_of(kind):
        options["kl_clip"] = 0.0  # which looks at all of them together
    generator = torch.Generator().manual_seed(3)
    start = {key: torch.randn(2, *shape, generator=generator) for key, shape in SHAPES.items()}

    def train(**more: Any) -> dict[str, Tensor]:
        config = kind(**options, **more)
        ours, params = OPTIMIZERS[name], start
        state, hyper = (
            ours.init(start, config, NETWORK),
            hyperparameters([config] * 2, torch.device("cpu")),
        )
        for step in range(7):
            context = Context(config, _loss(params), 0.1, _loss, step, dense.quadratic(0.3))
            params, state = ours.update(_gradient(params, step), state, params, hyper, context)
        return ours.evaluated(params, state)

    spared, everywhere = (train(weight_decay=0.3, skip_vectors=s) for s in (True, False))
    nowhere = train(weight_decay=0.0)
    for key, found in spared.items():
        same, other = (nowhere, everywhere) if key == "bias" else (everywhere, nowhere)
        assert found.equal(same[key])
        assert not found.equal(other[key])


def test_every_method_with_decay_can_spare_vectors() -> None:
    decaying = {name for name, kind in CONFIGS.items() if "weight_decay" in fields_of(kind)}
    assert decaying == {*SKIPPING, "muon"}, "muon's vectors take none"


def test_muon_is_near_torch_in_bfloat16() -> None:
    """torch.optim.Muon rounds Newton–Schulz to 8 bits: the same steps, to a few percent."""
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(1, 5, 3, generator=generator)
    config = Muon(weight_decay=0.1)
    params, state = {"weight": start}, OPTIMIZERS["muon"].init({"weight": start}, config, NETWORK)
    theirs = start[0].clone().requires_grad_()
    optimizer = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1)
    hyper = hyperparameters([config], torch.device("cpu"))
    for step in range(5):
        theirs.grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        context = Context(config, torch.zeros(1), 1.0, _loss)
        gradient = {"weight": theirs.grad[None]}
        params, state = OPTIMIZERS["muon"].update(gradient, state, params, hyper, context)
        optimizer.step()
    moved = (theirs.detach() - start[0]).norm()
    assert (params["weight"][0] - theirs.detach()).norm() < 0.03 * moved


@pytest.mark.parametrize("adjust", ["original", "match_rms_adamw"])
def test_muon_equals_torch_without_its_rounding(
    monkeypatch: pytest.MonkeyPatch, adjust: str
) -> None:
    """All of torch.optim.Muon but the 8 bits of its iteration, whose rounding would grow."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(2, 5, 3, generator=generator)
    configs = [Muon(lr=lr, weight_decay=0.1, adjust_lr=adjust) for lr in (0.02, 0.3)]  # type: ignore[arg-type]
    ours, params = OPTIMIZERS["muon"], {"weight": start}
    state = ours.init(params, configs[0], NETWORK)
    theirs = [tensor.clone().requires_grad_() for tensor in start]
    optimizers = [
        torch.optim.Muon([p], lr=c.lr, weight_decay=0.1, adjust_lr_fn=adjust)
        for p, c in zip(theirs, configs, strict=True)
    ]
    hyper = hyperparameters(configs, torch.device("cpu"))
    for step in range(20):
        gradient = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(step))
        context = Context(configs[0], torch.zeros(2), 1.0, _loss)
        params, state = ours.update({"weight": gradient}, state, params, hyper, context)
        for p, grad, optimizer in zip(theirs, gradient, optimizers, strict=True):
            p.grad = grad.clone()
            optimizer.step()
    for lane, p in enumerate(theirs):
        torch.testing.assert_close(params["weight"][lane], p.detach(), rtol=1e-9, atol=1e-12)


def test_muon_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="muon needs a model with matrices"):
        OPTIMIZERS["muon"].init({"bias": torch.zeros(2, 3)}, Muon(), NETWORK)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_of_moments_differ_from_square_roots_at_zero_alone(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).tiny
    moments = torch.tensor([0.0, tiny, 1e-30, 0.3, 7.0, math.inf, math.nan], dtype=dtype)
    found, exact = root(moments), moments.sqrt()
    torch.testing.assert_close(found[1:], exact[1:], rtol=0, atol=0, equal_nan=True)
    assert roots([moments, moments])[1][:-1].equal(found[:-1])
    for eps in (1e-8, 1e-11):
        assert (found + eps)[:-1].equal((exact + eps)[:-1])
