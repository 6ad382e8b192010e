"""Every model of the table: its formula, lanes, seeds, sizes; every initialization's variance."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.engine.dense_models import DENSE
from trainables import models
from trainables.configs.models import (
    Conv2,
    Conv4,
    Conv6,
    DeepLinear,
    Gpt,
    Lenet5,
    Lenet300100,
    Linear,
    Mlp,
    Model,
    Resnet20,
    Resnet32,
    Resnet44,
    Resnet56,
    Vgg11,
    Vgg16,
    Vit,
)
from trainables.forward import Network, loss_and_gradients, outputs
from trainables.lanes import stack
from trainables.losses import cross_entropy
from trainables.models.parts import Skip
from trainables.models.weight_norm import WeightNorm

CLASSES, BATCH = 5, 3
SMALL: dict[str, tuple[Model, tuple[int, ...]]] = {
    "mlp": (Mlp(hidden=(7, 7), norm="batch", skip=True), (2, 3)),
    "linear": (Linear(), (7,)),
    "deep_linear": (DeepLinear(hidden=(11, 3)), (7,)),
    "lenet_300_100": (Lenet300100(), (1, 3, 2)),
    "lenet5": (Lenet5(), (1, 13, 12)),
    "conv2": (Conv2(width=0.1, norm="batch"), (3, 5, 6)),
    "conv4": (Conv4(width=0.1, norm="layer"), (3, 5, 6)),
    "conv6": (Conv6(width=0.1, norm="group"), (2, 8, 9)),
    "vgg11": (Vgg11(width=0.03), (3, 32, 32)),
    "vgg16": (Vgg16(width=0.03), (3, 32, 32)),
    "resnet20": (Resnet20(width=0.25), (3, 8, 7)),
    "resnet32": (Resnet32(width=0.25, norm="group"), (3, 8, 7)),
    "resnet44": (Resnet44(width=0.25, norm="layer"), (3, 8, 7)),
    "resnet56": (Resnet56(width=0.25, skip=False), (3, 8, 7)),
    "vit": (Vit(width=12, depth=2, heads=3, dropout=0.0), (3, 8, 12)),
    "gpt": (Gpt(width=6, depth=2, heads=3), (7,)),
}
VARIANTS: dict[str, tuple[Model, tuple[int, ...]]] = {
    "mlp group": (Mlp(hidden=(8, 6), norm="group"), (7,)),
    "mlp weight": (Mlp(hidden=(8, 6), norm="weight"), (7,)),
    "mlp layer": (Mlp(hidden=(7, 7), norm="layer", skip=True, activation="gelu"), (7,)),
    "mlp sigmoid": (Mlp(hidden=(11, 3), activation="sigmoid", bias=False), (7,)),
    "lenet5 batch": (Lenet5(norm="batch", activation="tanh"), (1, 13, 12)),
    "lenet5 weight": (Lenet5(norm="weight"), (1, 13, 12)),
    "conv2 weight": (Conv2(width=0.1, norm="weight", scale=1.7), (3, 5, 6)),
    "vgg weight": (Vgg11(width=0.03, norm="weight"), (3, 32, 32)),
    "resnet weight": (Resnet20(width=0.25, norm="weight"), (3, 8, 7)),
    "mlp zero": (Mlp(hidden=(7, 7), skip=True, zero_init=True, activation="gelu"), (7,)),
    "vit bare": (Vit(width=12, depth=2, heads=3, norm="none", skip=False), (3, 8, 12)),
    "vit zero": (Vit(width=12, depth=2, heads=3, norm="none", zero_init=True), (3, 8, 12)),
    "vit branches": (Vit(width=12, depth=1, heads=2, skip=False), (3, 8, 12)),
    "resnet none": (Resnet20(width=0.25, norm="none", scale=0.3), (3, 8, 7)),
    "gpt without skip": (Gpt(width=6, depth=2, heads=3, init="xavier", skip=False), (7,)),
    "gpt bare": (Gpt(width=6, depth=2, heads=3, norm="none"), (7,)),
    "gpt zero": (Gpt(width=6, depth=2, heads=3, norm="none", zero_init=True), (7,)),
    "resnet zero": (Resnet20(width=0.25, zero_init=True), (3, 8, 7)),
}


@pytest.fixture(params=[*SMALL, *VARIANTS], name="case")
def _case(request: pytest.FixtureRequest) -> tuple[Model, tuple[int, ...]]:
    return (SMALL | VARIANTS)[request.param]


def _batch(
    config: Model, shape: tuple[int, ...], lead: tuple[int, ...], seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and classes, with a class at each place of a sequence of tokens."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(config, Gpt):
        x = torch.randint(0, CLASSES, (*lead, *shape), generator=generator)
        return x, torch.randint(0, CLASSES, (*lead, *shape), generator=generator)
    x = torch.randn(*lead, *shape, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, CLASSES, lead, generator=generator)


def _stacked(modules: list[nn.Module]) -> tuple[Network, dict[str, Any], dict[str, Any]]:
    params = stack([{n: p.detach() for n, p in m.named_parameters()} for m in modules])
    buffers = stack([{n: b.detach() for n, b in m.named_buffers()} for m in modules])
    return Network.of(copy.deepcopy(modules[0])), params, buffers


@pytest.mark.parametrize("name", [*SMALL, *VARIANTS])
def test_outputs_equal_the_network_written_out(name: str) -> None:
    """With random vectors, as the first scales of norms (1) and biases (0) would hide faults."""
    config, shape = (SMALL | VARIANTS)[name]
    module = models.build(config, shape, CLASSES, 3).double().train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            if p.dim() == 1:
                p.uniform_(0.2, 1.4, generator=generator)
    x, _ = _batch(config, shape, (BATCH,), 1)
    left = iter([p.detach() for p in module.parameters()])
    expected = DENSE[config.name](config, left, x)
    assert not list(left), "parameters that the network has too many"
    torch.testing.assert_close(module(x).detach(), expected, rtol=1e-9, atol=1e-11)


def test_packed_equals_solo_in_float64(case: tuple[Model, tuple[int, ...]]) -> None:
    """Losses, gradients and running statistics of two lanes, and their outputs in evaluation."""
    config, shape = case
    modules = [models.build(config, shape, CLASSES, seed).double() for seed in (3, 4)]
    network, params, buffers = _stacked(modules)
    x, y = _batch(config, shape, (2, BATCH), 0)
    keys = torch.zeros(2, dtype=torch.int64)
    value, gradients, after = loss_and_gradients(
        network, params, buffers, x, y, cross_entropy, keys
    )
    evaluated = outputs(network, params, after, x[0])
    assert evaluated.shape == (*y.shape, CLASSES)
    for lane, module in enumerate(modules):
        loss = F.cross_entropy(module.train()(x[lane]).flatten(0, -2), y[lane].flatten())
        loss.backward()
        torch.testing.assert_close(value.losses[lane].mean(), loss.detach(), rtol=1e-10, atol=1e-12)
        largest = max(float(p.grad.abs().max()) for p in module.parameters() if p.grad is not None)
        for name, p in module.named_parameters():
            torch.testing.assert_close(
                gradients[name][lane], p.grad, rtol=1e-8, atol=1e-11 * largest
            )
        for name, b in module.named_buffers():
            torch.testing.assert_close(after[name][lane], b, rtol=1e-12, atol=1e-14)
            if name.endswith("running_var"):
                assert not b.equal(torch.ones_like(b)), f"{name} was not updated"
        predicted = module.eval()(x[0]).detach()
        torch.testing.assert_close(evaluated[lane], predicted, rtol=1e-9, atol=1e-11)


def test_initialization_depends_on_the_seed_alone(case: tuple[Model, tuple[int, ...]]) -> None:
    config, shape = case
    first = models.build(config, shape, CLASSES, 3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second, other = (models.build(config, shape, CLASSES, seed) for seed in (3, 4))
    assert torch.get_rng_state().equal(state)
    tensors = [dict(m.named_parameters()) for m in (first, second, other)]
    assert all(p.equal(tensors[1][name]) for name, p in tensors[0].items())
    assert any(not p.equal(tensors[2][name]) for name, p in tensors[0].items())


MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
PUBLISHED: list[tuple[Model, tuple[int, ...], int]] = [
    (Lenet300100(), MNIST, 266_610),
    (Lenet5(), MNIST, 61_706),
    (Resnet20(), CIFAR, 272_474),
    (Resnet32(), CIFAR, 466_906),
    (Resnet44(), CIFAR, 661_338),
    (Resnet56(), CIFAR, 855_770),
    (Conv2(), CIFAR, 4_301_642),
    (Conv4(), CIFAR, 2_425_930),
    (Conv6(), CIFAR, 2_262_602),
    # Without the biases of convolutions before batch norm (2,752 and 4,224 of them).
    (Vgg11(), CIFAR, 9_231_114 - 2_752),
    (Vgg16(), CIFAR, 14_728_266 - 4_224),
]


@pytest.mark.parametrize(("config", "shape", "parameters"), PUBLISHED, ids=lambda v: str(v)[:12])
def test_parameter_counts(config: Model, shape: tuple[int, ...], parameters: int) -> None:
    module = models.build(config, shape, 10, 0)
    assert sum(p.numel() for p in module.parameters()) == parameters


@pytest.mark.parametrize(
    ("config", "weights"), [(Conv2(), 38_592), (Conv4(), 259_776), (Conv6(), 1_144_512)]
)
def test_convolution_weights_are_those_of_the_paper(config: Model, weights: int) -> None:
    """38K, 260K and 1.1M in Figure 2 of Frankle & Carbin 2019."""
    module = models.build(config, CIFAR, 10, 0)
    found = [m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert sum(found) == weights


def test_which_presets_are_chains() -> None:
    for config in (Linear(), DeepLinear(), Lenet300100()):
        assert Network.of(models.build(config, (7,), CLASSES, 0)).links is not None


RELU = 2**0.5
VARIANCES: dict[str, Callable[[int, int], float]] = {
    "torch": lambda fan_in, fan_out: 1 / (3 * fan_in),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
    "xavier": lambda fan_in, fan_out: RELU**2 * 2 / (fan_in + fan_out),
    "kaiming": lambda fan_in, fan_out: 2 / fan_in,
    "orthogonal": lambda fan_in, fan_out: RELU**2 / max(fan_in, fan_out),
}


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("init", VARIANCES)
def test_variance_of_initial_weights(init: Any, scale: float) -> None:
    """Of a linear layer, and of a convolution whose fan counts its 9 pixels."""
    linear = models.build(Mlp(hidden=(307,), init=init, scale=scale), (211,), CLASSES, 0)
    network = models.build(Conv2(init=init, scale=scale), CIFAR, CLASSES, 0)
    convolution = network.get_submodule("2")
    assert isinstance(convolution, nn.Conv2d)
    for layer, fan_in, fan_out in ((linear.get_submodule("0"), 211, 307), (convolution, 576, 576)):
        weight, bias = (p.detach() for p in layer.parameters())
        if layer is convolution and init == "orthogonal":
            fan_out = 64  # a matrix (channels, fan_in)
        expected = scale**2 * VARIANCES[init](fan_in, fan_out)
        tolerance = 5 * math.sqrt(2 / weight.numel())
        assert weight.var().item() == pytest.approx(expected, rel=tolerance)
        assert abs(weight.mean().item()) < 5 * math.sqrt(expected / weight.numel())
        assert bool(bias.eq(0).all()) == (init != "torch")


def test_gpt2_weights() -> None:
    """N(0, 0.02²); the last layers of the 2 · 3 parts are smaller by √6; ``scale`` on all."""
    plain, scaled = (
        models.build(Gpt(width=208, depth=3, heads=13, scale=s), (211,), 307, 0) for s in (1.0, 3.0)
    )
    for module, scale in ((plain, 1.0), (scaled, 3.0)):
        for name, p in module.named_parameters():
            layer = module.get_submodule(name.rpartition(".")[0])
            if isinstance(layer, nn.LayerNorm):
                continue
            if name.endswith("bias"):
                assert bool(p.eq(0).all())
                continue
            expected = 0.02 * (scale if isinstance(layer, nn.Linear) else 1.0)
            if name.endswith(("out.weight", "inner.3.weight")):
                expected /= math.sqrt(6)
            tolerance = 5 / math.sqrt(2 * p.numel())
            assert p.std().item() == pytest.approx(expected, rel=tolerance), name


def test_gpt_never_looks_ahead() -> None:
    """Another token changes what is said at its place and after it, and nothing before."""
    module = models.build(Gpt(width=12, depth=2, heads=3), (11,), CLASSES, 0).double()
    x, _ = _batch(Gpt(), (11,), (BATCH,), 0)
    changed = x.clone()
    changed[:, 7] = (x[:, 7] + 1) % CLASSES
    before, after = module(x), module(changed)
    assert before[:, :7].equal(after[:, :7])
    assert not torch.isclose(before[:, 7:], after[:, 7:]).all(-1).any()


def test_zero_init_makes_every_block_the_identity() -> None:
    x = torch.randn(BATCH, 4, 8, 7)
    module = models.build(Resnet20(width=0.25, zero_init=True), (3, 8, 7), CLASSES, 0)
    block = module.get_submodule("3")  # the first block keeps its width
    assert block(x).equal(x)
    assert (
        not models.build(Resnet20(width=0.25), (3, 8, 7), CLASSES, 0).get_submodule("3")(x).equal(x)
    )


BRANCHES: dict[str, tuple[Model, tuple[int, ...]]] = {
    **{
        f"resnet {norm}": (
            Resnet20(width=0.25, norm=norm, init="torch", zero_init=True),
            (3, 8, 7),
        )
        for norm in ("none", "batch", "layer", "group", "weight")
    },
    **{
        f"mlp {norm}": (
            Mlp(hidden=(7, 7), norm=norm, skip=True, zero_init=True, activation="tanh"),
            (7,),
        )
        for norm in ("none", "batch", "layer", "group", "weight")
    },
    "vit": (Vit(width=12, depth=1, heads=3, init="torch", zero_init=True), (3, 8, 12)),
    **{
        f"gpt {norm}": (Gpt(width=12, heads=3, norm=norm, init="torch", zero_init=True), (7,))
        for norm in ("none", "layer")
    },
}


@pytest.mark.parametrize("name", BRANCHES)
def test_zero_init_starts_every_branch_at_zero_and_it_trains(name: str) -> None:
    """Also where PyTorch's default would give a bias; what is 0 must have a gradient."""
    config, shape = BRANCHES[name]
    module = models.build(config, shape, CLASSES, 0)
    branches = [layer.inner for layer in module if isinstance(layer, Skip)]  # type: ignore[union-attr]
    assert branches
    found: list[torch.Tensor] = []
    for branch in branches:
        branch.register_forward_hook(lambda _, __, out: found.append(out.detach()))
    x, _ = _batch(config, shape, (BATCH,), 0)
    module(x.float() if x.is_floating_point() else x).square().sum().backward()
    assert len(found) == len(branches)
    assert all(out.eq(0).all() for out in found)
    for branch in branches:
        gradients = [p.grad for p in branch.parameters() if p.grad is not None]
        assert any(bool(g.ne(0).any()) for g in gradients)
        assert all(bool(g.isfinite().all()) for g in gradients)


def test_weight_norm_equals_torchs_own() -> None:
    """Outputs and gradients of ``torch.nn.utils.parametrizations.weight_norm``, strides and all."""
    torch.manual_seed(0)
    for stride, padding in ((1, 1), (2, 0)):
        plain = nn.Conv2d(3, 5, 3, stride, padding).double()
        theirs = nn.utils.parametrizations.weight_norm(copy.deepcopy(plain))
        ours = WeightNorm(copy.deepcopy(plain))
        weight = theirs.parametrizations.weight  # type: ignore[union-attr]
        with torch.no_grad():
            ours.length.mul_(1.3)
            weight.original0.mul_(1.3)  # type: ignore[union-attr,operator]
        x = torch.randn(2, 3, 7, 11, dtype=torch.float64)
        for module in (ours, theirs):
            module(x).pow(3).sum().backward()
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)
        pairs = {"length": weight.original0, "direction": weight.original1, "bias": theirs.bias}  # type: ignore[union-attr]
        for name, other in pairs.items():
            torch.testing.assert_close(
                ours.get_parameter(name).grad, other.grad, rtol=1e-11, atol=1e-11
            )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mlp(zero_init=True), "zero_init needs skip"),
        (lambda: Vit(skip=False, zero_init=True), "zero_init needs skip"),
        (lambda: Gpt(skip=False, zero_init=True), "zero_init needs skip"),
        (lambda: Mlp(skip=True, zero_init=True), "zero_init goes with tanh, gelu, linear"),
        (lambda: Vit(width=10, heads=3), "heads must divide width"),
        (lambda: Gpt(width=10, heads=3), "heads must divide width"),
        (lambda: models.build(Gpt(), (3, 7), CLASSES, 0), r"gpt takes tokens \(T,\), got .*3, 7"),
        (lambda: Resnet20(skip=False, zero_init=True), "zero_init needs skip"),
    ],
)
def test_impossible_models_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
