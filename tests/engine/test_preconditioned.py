"""Shampoo and SOAP equal their papers written out, and other people's code, over 20 steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_optimizer
import torch
from pytorch_optimizer.optimizer import soap as their_soap
from torch import Tensor

from tests.engine import dense_preconditioned as dense
from tests.engine.dense_optimizers import NETWORK, quadratic
from trainables.configs.optimizers import OPTIMIZERS as CONFIGS
from trainables.configs.optimizers import AdaGrad, Adam, AdamW, RmsProp
from trainables.configs.preconditioned import AdaHessian, Shampoo, Soap, Sophia
from trainables.hyper import hyperparameters
from trainables.lanes import State, Tree
from trainables.optimizers import OPTIMIZERS, Context, factors

CPU = torch.device("cpu")
STEPS = 20
SHAPES = {"weight": (5, 3), "bias": (5,), "kernel": (2, 3, 7)}
MATRICES = {"weight": (5, 3), "kernel": (2, 3, 5)}
RATES = (0.01, 0.07)


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def grid(kind: Any, **values: Any) -> list[Any]:
    """All combinations of the tuples among the values."""
    listed = {name: v if isinstance(v, tuple) else (v,) for name, v in values.items()}
    return [
        kind(**dict(zip(listed, point, strict=True)))
        for point in itertools.product(*listed.values())
    ]


def started(lanes: int, shapes: dict[str, tuple[int, ...]]) -> Tree:
    generator = torch.Generator().manual_seed(3)
    return {key: torch.randn(lanes, *shape, generator=generator) for key, shape in shapes.items()}


def gradient(params: Tree, step: int) -> Tree:
    """Of an ill-conditioned quadratic, disturbed by numbers of the step."""
    found = {}
    for index, (name, p) in enumerate(params.items()):
        generator = torch.Generator().manual_seed(97 * step + index)
        noise = torch.randn(p.shape[1:], generator=generator)
        scale = torch.linspace(0.1, 3.0, p[0].numel()).view(p.shape[1:])
        found[name] = p * scale + noise
    return found


def trained(lanes: list[Any], start: Tree, steps: int = STEPS) -> tuple[Tree, list[State]]:
    """Weights after so many steps at a rate that changes, and the states on the way."""
    ours, params = OPTIMIZERS[lanes[0].name], start
    state, states = ours.init(start, lanes[0], NETWORK), []
    hyper = hyperparameters(lanes, CPU)
    rates = torch.tensor([config.lr for config in lanes])
    for step in range(steps):
        context = Context(
            lanes[0], torch.zeros(len(lanes)), 0.1, lambda at: torch.zeros(1), step, quadratic(0.3)
        )
        at = hyper | {"lr": rates * (1 + 0.5 * (step % 7))}
        params, state = ours.update(gradient(params, step), state, params, at, context)
        states.append(state)
    return params, states


def theirs(optimizer: Any, leaves: list[Tensor], names: Any, lr: float, steps: int = STEPS) -> None:
    """The same steps by an optimizer that looks like PyTorch's."""
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 + 0.5 * (step % 7))
        stacked = {k: p.detach().unsqueeze(0) for k, p in zip(names, leaves, strict=True)}
        for p, grad in zip(leaves, gradient(stacked, step).values(), strict=True):
            p.grad = grad[0].clone()
        optimizer.step()


def same(found: Tree, lane: int, leaves: list[Tensor], rtol: float = 1e-9) -> None:
    for (key, tensor), expected in zip(found.items(), leaves, strict=True):
        assert expected.isfinite().all()
        torch.testing.assert_close(
            tensor[lane], expected.detach(), rtol=rtol, atol=1e-11, msg=lambda m, k=key: f"{k}: {m}"
        )


SHAMPOO: dict[str, list[Any]] = {
    "a sum": grid(
        Shampoo, lr=RATES, momentum=(0.0, 0.9), weight_decay=(0.0, 0.1), start=0, eps=1e-3
    ),
    "an average": grid(
        Shampoo, lr=RATES, decay=(0.9, 1.0), eps=(1e-4, 1.0), grafting="none", start=3
    ),
    "sgd": grid(Shampoo, lr=RATES, grafting="sgd", preconditioner_every=3, ridge=(0.0, 1e-3)),
    "rmsprop": grid(
        Shampoo, lr=RATES, grafting="rmsprop", diagonal_decay=(0.0, 0.9), statistics_every=2
    ),
    "adam": grid(
        Shampoo, lr=RATES, grafting="adam", nesterov=True, momentum=0.9, diagonal_eps=(1e-10, 0.1)
    ),
    "blocks": grid(Shampoo, lr=RATES, block_size=2, start=0, preconditioner_every=1),
    "matrices": grid(Shampoo, lr=RATES, kernels="matrix", block_size=4, start=2),
}


@pytest.mark.parametrize(("name", "case"), [("shampoo", case) for case in SHAMPOO])
def test_equals_its_paper_written_out(name: str, case: str) -> None:
    lanes = SHAMPOO[case]
    assert lanes[0].name == name
    start = started(len(lanes), SHAPES)
    found, _ = trained(lanes, start)
    for lane, config in enumerate(lanes):
        leaves = [tensor[lane].clone().requires_grad_() for tensor in start.values()]
        theirs(dense.Shampoo(leaves, config), leaves, start, config.lr)
        same(found, lane, leaves)


def test_shampoo_equals_other_code() -> None:
    """``pytorch_optimizer.Shampoo``: no momentum, no grafting, statistics that begin with εI."""
    lanes = grid(
        Shampoo, lr=RATES, eps=(1e-4, 0.1), momentum=0.0, grafting="none", start=0,
        preconditioner_every=1,
    )  # fmt: skip
    start = started(len(lanes), MATRICES)
    found, _ = trained(lanes, start)
    for lane, c in enumerate(lanes):
        leaves = [tensor[lane].clone().requires_grad_() for tensor in start.values()]
        theirs(pytorch_optimizer.Shampoo(leaves, lr=c.lr, matrix_eps=c.eps), leaves, start, c.lr)
        same(found, lane, leaves)


GRAFTS = {"none": 0, "sgd": 1, "adagrad": 2, "rmsprop": 3}


@pytest.mark.parametrize(("grafting", "nesterov"), [*zip(GRAFTS, (False, True) * 2, strict=True)])
def test_shampoo_equals_scalable_shampoo(grafting: Any, nesterov: bool) -> None:
    """``pytorch_optimizer.ScalableShampoo`` in blocks, its statistics summed as they are here."""
    lanes = grid(
        Shampoo, lr=RATES, momentum=0.9, nesterov=nesterov, weight_decay=(0.0, 0.1), block_size=2,
        grafting=grafting, start=0, preconditioner_every=1, diagonal_decay=0.9, eps=1e-3,
    )  # fmt: skip
    shapes = MATRICES if grafting == "none" else SHAPES  # theirs leaves vectors to what is grafted
    start = started(len(lanes), shapes)
    found, _ = trained(lanes, start)
    for lane, c in enumerate(lanes):
        leaves = [tensor[lane].clone().requires_grad_() for tensor in start.values()]
        optimizer = pytorch_optimizer.ScalableShampoo(
            leaves, lr=c.lr, betas=(0.9, 0.9), weight_decay=c.weight_decay,
            decoupled_weight_decay=True, start_preconditioning_step=1, block_size=2,
            preconditioning_compute_steps=1, shape_interpretation=False, nesterov=nesterov,
            graft_type=GRAFTS[grafting], matrix_eps=c.eps, use_svd=True,
        )  # fmt: skip
        for p in leaves:
            p.grad = torch.zeros_like(p)
        optimizer.init_group(optimizer.param_groups[0])
        for p in leaves:  # it takes no decay of 1, by which statistics would be summed
            preconditioner = optimizer.state[p]["pre_conditioner"]
            preconditioner.beta2 = preconditioner.w2 = 1.0
        theirs(optimizer, leaves, start, c.lr)
        same(found, lane, leaves)


SOAP = {
    "tensors": grid(Soap, lr=RATES, weight_decay=(0.0, 0.1), precondition_every=3),
    "statistics": grid(
        Soap, lr=RATES, beta1=(0.0, 0.9), beta2=0.99, statistics_decay=(0.5, 0.9), eps=1e-3
    ),
    "large dimensions": grid(Soap, lr=RATES, max_dimension=4, precondition_every=2),
    "matrices": grid(Soap, lr=RATES, kernels="matrix", precondition_every=5),
}


class Shifted(pytorch_optimizer.SOAP):
    """Its statistics are shifted while bases are renewed, as ours are."""

    def get_orthogonal_matrix_qr(self, state: Any, *more: Any) -> Any:
        kept = state["GG"]
        state["GG"] = [
            m + factors.SHIFT * m.norm() * torch.eye(len(m)) if len(m) else m for m in kept
        ]
        found = super().get_orthogonal_matrix_qr(state, *more)
        state["GG"] = kept
        return found


@pytest.mark.parametrize(("name", "case"), [("soap", case) for case in SOAP])
def test_equals_the_reference_implementation(
    monkeypatch: pytest.MonkeyPatch, name: str, case: str
) -> None:
    """``pytorch_optimizer.SOAP`` from our first bases: its own are any where rank is missing."""
    lanes = SOAP[case]
    assert lanes[0].name == name
    start = started(len(lanes), SHAPES)
    found, states = trained(lanes, start)
    monkeypatch.setattr(their_soap.torch, "float32", torch.float64)  # of its QR
    for lane, c in enumerate(lanes):
        leaves = [tensor[lane].clone() for tensor in start.values()]
        if c.kernels == "matrix":
            leaves = [p.flatten(1) if p.dim() > 2 else p for p in leaves]
        leaves = [p.requires_grad_() for p in leaves]
        optimizer = Shifted(
            leaves, lr=c.lr, betas=(c.beta1, c.beta2), shampoo_beta=c.statistics_decay,
            weight_decay=c.weight_decay, precondition_frequency=c.precondition_every,
            max_precondition_dim=c.max_dimension, eps=c.eps,
        )  # fmt: skip
        names = dict(zip(start, leaves, strict=True))
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = c.lr * (1 + 0.5 * (step % 7))
            whole = {k: p.detach().view(1, *SHAPES[k]) for k, p in names.items()}
            for p, grad in zip(leaves, gradient(whole, step).values(), strict=True):
                p.grad = grad[0].reshape(p.shape).clone()
            optimizer.step()
            if step == 0:
                for key, p in names.items():
                    _take_bases(optimizer.state[p], key, states[0], lane)
        same(found, lane, [p.detach().view(SHAPES[k]) for k, p in names.items()])


def _take_bases(state: dict[str, Any], name: str, ours: State, lane: int) -> None:
    """Ours are orthogonal, and eigenvectors in the same order; then theirs are these."""
    for dim, matrix in enumerate(state["GG"]):
        key = factors.key(name, dim + 1)
        if len(matrix) == 0:
            assert key not in ours["basis"]
            continue
        q = ours["basis"][key][lane]
        torch.testing.assert_close(q.T @ q, torch.eye(len(q)))
        values = torch.linalg.eigvalsh(matrix).flip(0)
        torch.testing.assert_close(q.T @ matrix @ q, values.diag(), rtol=1e-9, atol=1e-12)
        state["Q"][dim] = q.clone()


def test_a_basis_without_rank_does_not_depend_on_rounding() -> None:
    """Eigenvectors of 0 turn with the last bit; these do not."""
    rows = torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(1))
    rows[2] = 0
    matrix = rows @ rows.mT
    noise = torch.randn(3, 7, 7, generator=torch.Generator().manual_seed(2))
    disturbed = matrix + 1e-16 * (noise + noise.mT)
    disturbed[2] = 0
    found, again = factors.eigenbasis(matrix), factors.eigenbasis(disturbed)
    torch.testing.assert_close(found.abs(), again.abs(), rtol=1e-9, atol=1e-11)
    eye = torch.eye(7).expand(3, 7, 7)
    torch.testing.assert_close(found.mT @ found, eye)
    assert (found.mT @ matrix @ found)[:, :, 2:].abs().max() < 1e-12


def test_blocks_join_to_what_was_cut() -> None:
    tensor = torch.randn(2, 5, 7, 3)
    for size in (1, 2, 3, 7, 100):
        parts = factors.blocks(tensor, size)
        assert all(max(part.shape[1:]) <= size for part in parts)
        assert factors.joined(parts, tensor.shape, size).equal(tensor)


STILL: list[Any] = [
    Adam(beta1=0.0),
    AdamW(beta1=0.0, weight_decay=0.0),
    AdaGrad(initial_accumulator=0.5),
    RmsProp(alpha=0.9),
    RmsProp(alpha=0.9, centered=True),
    Shampoo(momentum=0.0, block_size=3, preconditioner_every=1, start=1),
    Shampoo(momentum=0.0, grafting="none", decay=0.9),
    Shampoo(momentum=0.0, grafting="adam", kernels="matrix"),
    Soap(beta1=0.0, weight_decay=0.0),
    AdaHessian(beta1=0.0, hessian_power=0.7),
    Sophia(beta1=0.0, weight_decay=0.0, rho=1e3),
]


@pytest.mark.parametrize("config", STILL, ids=lambda config: config.name)
def test_preconditioned_gradients_are_what_weights_move_by(config: Any) -> None:
    """Without momentum, decay and clipping θ₊ = θ − η P⁻¹g, with the state after the step."""
    start = started(2, SHAPES)
    ours = OPTIMIZERS[config.name]
    before, _ = trained([config] * 2, start, 8)
    after, states = trained([config] * 2, start, 9)
    hyper = hyperparameters([config] * 2, CPU)
    assert ours.precondition is not None
    vector = gradient(before, 8)
    found = ours.precondition(vector, states[-1], hyper, config, NETWORK)
    rate = config.lr * (1 + 0.5 * (8 % 7))
    for name, tensor in found.items():
        expected = (before[name] - after[name]) / rate
        torch.testing.assert_close(tensor, expected, rtol=1e-7, atol=1e-8)
    other = ours.precondition(
        {name: -2 * g for name, g in vector.items()}, states[-1], hyper, config, NETWORK
    )
    for name, tensor in other.items():
        torch.testing.assert_close(tensor, -2 * found[name])


def test_methods_that_precondition_say_how() -> None:
    listed = {config.name for config in STILL}
    own = ["adam", "adamw", "rmsprop", "adagrad", "shampoo", "soap", "adahessian", "sophia"]
    assert listed == {*own}
    assert {*own} <= {name for name in CONFIGS if OPTIMIZERS[name].precondition is not None}
