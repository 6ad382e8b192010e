"""Losses and gradients of stacked networks equal autograd on each lane's own module."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.engine.models import Convolutional
from trainables.configs import Mlp
from trainables.dropout import LaneDropout
from trainables.forward import Network, loss_and_gradients, outputs
from trainables.lanes import permutation, stack, uniform
from trainables.losses import LOSSES, cross_entropy, training_loss
from trainables.models.mlp import mlp

LANES, BATCH, INPUTS, CLASSES = 3, 13, 7, 5

MODULES: dict[str, Any] = {
    "chain relu": lambda: mlp(Mlp(hidden=(11, 2)), (INPUTS,), CLASSES),
    "chain tanh": lambda: mlp(Mlp(hidden=(11,), activation="tanh", bias=False), (INPUTS,), CLASSES),
    "chain sigmoid": lambda: mlp(Mlp(hidden=(11,), activation="sigmoid"), (INPUTS,), CLASSES),
    "chain linear": lambda: mlp(Mlp(hidden=(3,), activation="linear"), (INPUTS,), CLASSES),
    "no hidden layer": lambda: mlp(Mlp(hidden=()), (INPUTS,), CLASSES),
    "gelu": lambda: mlp(Mlp(hidden=(11,), activation="gelu"), (INPUTS,), CLASSES),
    "batch norm": lambda: mlp(Mlp(hidden=(11, 3), norm="batch"), (INPUTS,), CLASSES),
    "layer norm, skip": lambda: mlp(
        Mlp(hidden=(7, 7), norm="layer", skip=True), (INPUTS,), CLASSES
    ),
    "convolutional": lambda: Convolutional(INPUTS, CLASSES, 0.0),
}


@pytest.fixture(params=MODULES, name="modules")
def _modules(request: pytest.FixtureRequest) -> list[nn.Module]:
    torch.manual_seed(5)
    return [MODULES[request.param]().double() for _ in range(LANES)]


def _stacked(modules: list[nn.Module]) -> tuple[Network, dict[str, Any], dict[str, Any]]:
    params = stack([{n: p.detach() for n, p in m.named_parameters()} for m in modules])
    buffers = [dict(m.named_buffers()) for m in modules]
    return Network.of(copy.deepcopy(modules[0])), params, stack(buffers)


@pytest.mark.parametrize("lanes", [1, LANES])
def test_training_pass_equals_autograd(modules: list[nn.Module], lanes: int) -> None:
    modules = modules[:lanes]
    x = torch.randn(lanes, BATCH, INPUTS, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (lanes, BATCH))
    network, params, buffers = _stacked(modules)
    before = {name: t.clone() for name, t in (params | buffers).items()}
    value, gradients, new_buffers = loss_and_gradients(
        network, params, buffers, x, y, cross_entropy, torch.zeros(lanes, dtype=torch.int64)
    )
    for lane, module in enumerate(modules):
        module.train()
        predicted = module(x[lane])
        loss = F.cross_entropy(predicted, y[lane])
        loss.backward()
        torch.testing.assert_close(value.losses[lane].mean(), loss.detach(), rtol=1e-12, atol=1e-14)
        assert value.scores[lane].equal(predicted.argmax(-1) == y[lane])
        for name, p in module.named_parameters():
            torch.testing.assert_close(gradients[name][lane], p.grad, rtol=1e-10, atol=1e-14)
        for name, b in module.named_buffers():
            torch.testing.assert_close(new_buffers[name][lane], b, rtol=1e-12, atol=1e-14)
    for name, tensor in (params | buffers).items():
        assert tensor.equal(before[name]), f"{name} was changed in place"


def test_evaluation_equals_the_module(modules: list[nn.Module]) -> None:
    x = torch.randn(BATCH, INPUTS, dtype=torch.float64)
    network, params, buffers = _stacked(modules)
    predicted = outputs(network, params, buffers, x)
    for lane, module in enumerate(modules):
        torch.testing.assert_close(
            predicted[lane], module.eval()(x).detach(), rtol=1e-12, atol=1e-14
        )


def test_which_modules_are_chains() -> None:
    chains = {name for name, make in MODULES.items() if Network.of(make()).links is not None}
    assert chains == {
        "chain relu", "chain tanh", "chain sigmoid", "chain linear", "no hidden layer",
    }  # fmt: skip
    hooked = MODULES["chain relu"]()
    hooked[0].register_forward_hook(lambda *_: None)
    assert Network.of(hooked).links is None


ORACLES: dict[str, Any] = {
    "cross_entropy": (
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
        lambda z, y: z.argmax(-1) == y,
    ),
    "logistic": (
        lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none"),
        lambda z, y: (z[:, 0] > 0) == (y == 1),
    ),
    "quadratic": (
        lambda z, y: F.mse_loss(z, y, reduction="none").sum(-1) / 2,
        lambda z, y: (z - y).norm(dim=-1) ** 2,
    ),
    "bernoulli": (
        lambda z, y: -(y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).sum(-1),
        lambda z, y: F.mse_loss(torch.sigmoid(z), y, reduction="none").sum(-1),
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_loss_and_gradient_equal_torch(name: str) -> None:
    losses, scores = ORACLES[name]
    outputs = 1 if name == "logistic" else CLASSES
    z = (3 * torch.randn(LANES, BATCH, outputs, dtype=torch.float64)).requires_grad_()
    y = torch.randint(0, max(2, outputs), (LANES, BATCH))
    if name == "quadratic":
        y = torch.randn(LANES, BATCH, CLASSES, dtype=torch.float64)
    if name == "bernoulli":
        y = torch.rand(LANES, BATCH, CLASSES, dtype=torch.float64)
    value = LOSSES[name](z.detach(), y)
    expected = torch.stack([losses(z[lane], y[lane]) for lane in range(LANES)])
    (gradient,) = torch.autograd.grad(expected.mean(1).sum(), z)
    torch.testing.assert_close(value.losses, expected.detach(), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(value.gradient, gradient, rtol=1e-12, atol=1e-15)
    for lane in range(LANES):
        torch.testing.assert_close(value.scores[lane], scores(z[lane], y[lane]).detach())


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_of_sequences_equals_torch(smoothing: float) -> None:
    """A sequence's loss is the mean over its places; torch takes (B, C, T)."""
    places = 7
    z = (3 * torch.randn(LANES, BATCH, places, CLASSES, dtype=torch.float64)).requires_grad_()
    y = torch.randint(0, CLASSES, (LANES, BATCH, places))
    value = training_loss("cross_entropy", smoothing)(z.detach(), y)
    assert value.losses.shape == value.scores.shape == (LANES, BATCH)
    for lane in range(LANES):
        by_place = F.cross_entropy(
            z[lane].mT, y[lane], label_smoothing=smoothing, reduction="none"
        )  # (B, T)
        torch.testing.assert_close(
            value.losses[lane], by_place.mean(1).detach(), rtol=1e-12, atol=1e-14
        )
        whole = F.cross_entropy(z[lane].mT, y[lane], label_smoothing=smoothing)
        (gradient,) = torch.autograd.grad(whole, z)
        torch.testing.assert_close(value.gradient[lane], gradient[lane], rtol=1e-12, atol=1e-15)
        hits = (z[lane].argmax(-1) == y[lane]).double().mean(1)
        torch.testing.assert_close(value.scores[lane], hits, rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", ["cross_entropy", "logistic", "bernoulli"])
def test_a_loss_of_huge_outputs_is_finite(name: str) -> None:
    z = torch.tensor([[[1e4], [-1e4]]]) if name == "logistic" else 1e4 * torch.eye(2)[None]
    y = torch.tensor([[0, 1]])
    value = LOSSES[name](z, 1 - torch.eye(2)[None] if name == "bernoulli" else y)
    assert bool(value.losses.isfinite().all())
    assert bool(value.gradient.isfinite().all())


def test_a_tie_of_all_logits_is_no_hit_for_every_class() -> None:
    """A collapsed network predicts one class, and must not look perfect."""
    y = torch.arange(CLASSES).view(1, CLASSES)
    assert cross_entropy(torch.zeros(1, CLASSES, CLASSES), y).scores.sum() == 1


def test_dropout_keeps_the_mean_and_differs_by_key_call_and_element() -> None:
    x = torch.ones(1000, 50)
    with LaneDropout(torch.tensor(12345)):
        first, second = F.dropout(x, 0.3), F.dropout(x, 0.3)
        channels = F.dropout2d(torch.ones(100, 50, 3, 3), 0.3)
        whole = F.dropout(x, 1.0)
        idle = F.dropout(x, 0.3, training=False)
    with LaneDropout(torch.tensor(12345)):
        again = F.dropout(x, 0.3)
    with LaneDropout(torch.tensor(12346)):
        other = F.dropout(x, 0.3)
    assert first.equal(again)
    assert idle.equal(x)
    assert bool(whole.eq(0).all())
    assert first.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    for mask in (first, other, channels):
        assert abs(mask.mean().item() - 1) < 0.02
    for different in (second, other):  # independent: agree on .7² + .3² of the elements
        assert abs((first == different).float().mean().item() - 0.58) < 0.01
    assert channels.flatten(2).std(-1).eq(0).all()


def test_uniform_numbers_pass_a_chi_square_test() -> None:
    keys = torch.arange(200) * 7919
    draws = torch.stack([uniform(key, call, (500,)) for key in keys for call in (0, 1)])
    counts = torch.histc(draws, 64, 0, 1)
    expected = draws.numel() / 64
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    assert 63 - 4 * (2 * 63) ** 0.5 < statistic < 63 + 4 * (2 * 63) ** 0.5
    assert abs(torch.corrcoef(draws[:2])[0, 1].item()) < 0.15


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch() -> None:
    first = permutation(3, 0, 97)
    assert first.sort().values.equal(torch.arange(97))
    assert first.equal(permutation(3, 0, 97))
    assert not first.equal(permutation(3, 1, 97))
    assert not first.equal(permutation(4, 0, 97))
