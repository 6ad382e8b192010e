"""AdaHessian and Sophia equal their papers and other people's code, through real stacks.

The random signs and targets are the engine's own; the network, its gradients and its products
with the Hessian are written out for autograd, one lane at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import pytorch_optimizer
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.engine import dense_preconditioned as dense
from tests.engine.dense_optimizers import NETWORK
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig
from trainables.configs.preconditioned import AdaHessian, Sophia
from trainables.curvature import sampling
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.gradients import Batch
from trainables.hyper import hyperparameters
from trainables.lanes import Tree
from trainables.optimizers import OPTIMIZERS, Context

CPU = torch.device("cpu")
STEPS, RATES = 20, (0.02, 0.05, 0.01)
Maker = Callable[..., RunConfig]


class Seen(NamedTuple):
    """What a step of the engine was given."""

    batch: Batch
    rate: Tensor
    drawn: Tensor
    """Targets drawn from the model's own predictions, (L, B)."""


def _trained(
    monkeypatch: pytest.MonkeyPatch, data: DataSet, runs: list[RunConfig]
) -> tuple[Tree, Tree, list[Seen]]:
    """Weights before and after, and what each step was given."""
    name, seen = runs[0].optimizer.name, []
    ours = OPTIMIZERS[name]

    def update(grads: Tree, state: Any, params: Tree, hyper: Any, context: Context) -> Any:
        curvature = context.curvature
        targets = curvature.drawn(params).targets
        seen.append(Seen(curvature.batch, hyper["lr"].clone(), targets))
        return ours.update(grads, state, params, hyper, context)

    monkeypatch.setitem(OPTIMIZERS, name, ours._replace(update=update))
    stack = Stack(runs, Arrays.of(data, CPU, torch.float64))
    before = {key: p.clone() for key, p in stack.params.items()}
    stack.advance(STEPS)
    return before, stack.params, seen


def _loss(leaves: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """A network of 7, 11, 3 and 5 units, tanh between."""
    for i in range(0, len(leaves), 2):
        x = x @ leaves[i].T + leaves[i + 1]
        x = x.tanh() if i + 2 < len(leaves) else x
    return F.cross_entropy(x, y)


def _diagonal(leaves: list[Tensor], one: Seen, lane: int, config: Any) -> list[Tensor]:
    """What the step's estimate must be."""
    x, keys = one.batch.x[lane], one.batch.keys[lane : lane + 1]
    if getattr(config, "estimator", "") == "gauss_newton_bartlett":
        found = torch.autograd.grad(_loss(leaves, x, one.drawn[lane]), leaves)
        return [len(x) * g**2 for g in found]
    samples = getattr(config, "samples", 1)
    total = [torch.zeros_like(p) for p in leaves]
    for sample in range(samples):
        named = {str(i): p.detach().unsqueeze(0) for i, p in enumerate(leaves)}
        signs = sampling.signs(named, keys, sample * len(leaves)).values()
        loss = _loss(leaves, x, one.batch.targets[lane])
        grads = torch.autograd.grad(loss, leaves, create_graph=True)
        z = [sign[0] for sign in signs]
        products = torch.autograd.grad(grads, leaves, z)
        total = [t + s * p / samples for t, s, p in zip(total, z, products, strict=True)]
    return total


def _their_adahessian(leaves: list[Tensor], c: Any) -> Any:
    return pytorch_optimizer.AdaHessian(
        leaves, lr=c.lr, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay,
        hessian_power=c.hessian_power, update_period=10**9, eps=c.eps,
    )  # fmt: skip


def _their_sophia(leaves: list[Tensor], c: Any) -> Any:
    """η clip(m / max(ρh, ε), 1) = (η/ρ) clip(m / max(h, ε/ρ), ρ); rates are set as η/ρ."""
    return pytorch_optimizer.SophiaH(
        leaves, lr=c.lr / c.rho, betas=(c.beta1, c.beta2), weight_decay=c.weight_decay * c.rho,
        p=c.rho, update_period=10**9, eps=c.eps / c.rho,
    )  # fmt: skip


Theirs = Callable[[list[Tensor], Any], Any]
CASES: list[tuple[str, str, dict[str, Any], Theirs]] = [
    ("adahessian", "their code", {"hessian_power": 0.7}, _their_adahessian),
    ("adahessian", "its paper", {"hessian_every": 3, "samples": 2}, dense.AdaHessian),
    ("sophia", "their code, G", {"rho": 0.7}, _their_sophia),
    ("sophia", "their code, H", {"estimator": "hutchinson", "rho": 0.5}, _their_sophia),
    ("sophia", "its paper, G", {"hessian_every": 3, "rho": 0.3}, dense.Sophia),
    ("sophia", "its paper, H", {"estimator": "hutchinson", "rho": 0.1}, dense.Sophia),
]


@pytest.mark.parametrize(("name", "case", "options", "theirs"), CASES)
def test_equals_its_oracle_in_training(
    monkeypatch: pytest.MonkeyPatch,
    make_run: Maker,
    small_data: DataSet,
    name: str,
    case: str,
    options: dict[str, Any],
    theirs: Theirs,
) -> None:
    kind = {"adahessian": AdaHessian, "sophia": Sophia}[name]
    train = {"steps": STEPS, "precision": "float64", "evaluate_every": 1.0}
    model = Mlp(hidden=(11, 3), activation="tanh")
    more = [
        options | {"lr": lr, "weight_decay": 0.1 * lane, "beta1": 0.3 * lane}
        for lane, lr in enumerate(RATES)
    ]
    configs = [kind(**each) for each in more]
    runs = [
        make_run(train=train, model=model, optimizer=config, seed=seed)
        for seed, config in enumerate(configs)
    ]
    before, after, seen = _trained(monkeypatch, small_data, runs)
    assert len(seen) == STEPS
    for lane, config in enumerate(configs):
        leaves = [p[lane].clone().requires_grad_() for p in before.values()]
        optimizer = theirs(leaves, config)
        for step, one in enumerate(seen):
            loss = _loss(leaves, one.batch.x[lane], one.batch.targets[lane])
            for p, grad in zip(leaves, torch.autograd.grad(loss, leaves), strict=True):
                p.grad = grad
            assert float(one.rate[lane]) == config.lr
            due = step % config.hessian_every == 0
            found = _diagonal(leaves, one, lane, config) if due else None
            if isinstance(optimizer, dense.Dense):
                for state, d in zip(optimizer.state, found or [None] * len(leaves), strict=True):
                    state["diagonal"] = d
                optimizer.step()
            else:
                optimizer.step(hessian=found)
        for expected, tensor in zip(leaves, after.values(), strict=True):
            torch.testing.assert_close(
                tensor[lane], expected.detach(), rtol=1e-8, atol=1e-10, msg=case
            )


def test_kernels_are_averaged_over_what_is_left() -> None:
    """AdaHessian on the weights of a convolution, an eighth of whose weights are masked."""
    generator = torch.Generator().manual_seed(7)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    start = {"kernel": random(2, 3, 2, 5, 7), "short": random(2, 3, 2, 5), "bias": random(2, 3)}
    curves = {name: random(*p.shape) for name, p in start.items()}
    left = {name: (random(*p.shape) > -1).double() for name, p in start.items()}

    class Around:
        def signs(self, params: Tree, call: int) -> Tree:
            return left

        def hessian(self, params: Tree) -> Callable[[Tree], Tree]:
            return lambda v: {name: curves[name] * tensor for name, tensor in v.items()}

    for averaged in (True, False):
        config = AdaHessian(lr=0.1, average_kernels=averaged)
        ours = OPTIMIZERS["adahessian"]
        state = ours.init(start, config, NETWORK)
        context = Context(
            config,
            torch.zeros(2),
            1.0,
            lambda at: torch.zeros(2),
            0,
            Around(),  # type: ignore[arg-type]
        )
        hyper = hyperparameters([config] * 2, CPU)
        _, state = ours.update(start, state, start, hyper, context)
        for name, v in state["v"].items():
            d = curves[name] * left[name]
            for index in torch.cartesian_prod(*map(torch.arange, v.shape[:3])) if averaged else ():
                at = tuple(int(i) for i in index)[: v.dim()]
                if v.dim() > 3:
                    d[at] = d[at].abs().sum() / left[name][at].sum()
            torch.testing.assert_close(v, 1e-3 * d**2)


def test_every_bit_of_a_number_is_a_fair_sign() -> None:
    """Also of the last number, which is not used up; no bit tells of the next one."""
    params = {"a": torch.zeros(3, 97, 251), "b": torch.zeros(3, 5)}
    keys = torch.tensor([3, 4, 2**50])
    found = sampling.signs(params, keys, 7)
    assert all(
        ((z == 1) | (z == -1)).all() and z.shape == params[n].shape for n, z in found.items()
    )
    whole = found["a"].flatten(1)[:, : 1014 * 24].view(3, 1014, 24)
    bound = 4.5 / 1014**0.5
    assert whole.mean(1).abs().max() < bound
    products = whole.mT @ whole / 1014 - torch.eye(24)
    assert products.abs().max() < bound
    assert (whole[:, 1:] * whole[:, :-1]).mean(1).abs().max() < bound
    assert sampling.signs(params, keys, 7)["b"].equal(found["b"])
    alone = sampling.signs({n: p[1:2] for n, p in params.items()}, keys[1:2], 7)
    assert all(alone[n][0].equal(z[1]) for n, z in found.items()), "a lane's signs are its own"


@pytest.mark.parametrize("name", ["adahessian", "sophia"])
def test_nothing_is_divided_by_an_estimate_that_is_missing(name: str) -> None:
    """A state that was reset between two estimates: no step, or the sign's."""
    config: Any = {"adahessian": AdaHessian, "sophia": Sophia}[name](lr=0.1, hessian_every=10)
    start = {"weight": torch.ones(1, 3, 2)}
    ours, hyper = OPTIMIZERS[name], hyperparameters([config], CPU)
    context = Context(config, torch.zeros(1), 1.0, lambda at: torch.zeros(1), 4)
    params, _ = ours.update(start, ours.init(start, config, NETWORK), start, hyper, context)
    decayed = 1 - 0.1 * config.weight_decay
    expected = 1.0 if name == "adahessian" else decayed - 0.1
    torch.testing.assert_close(params["weight"], torch.full((1, 3, 2), expected))
