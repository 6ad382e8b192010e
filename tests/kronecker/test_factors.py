"""Kronecker factors and products with them equal curvlinops', lane by lane, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.kronecker.networks import (
    EXAMPLES,
    INPUT,
    LANES,
    TOKENS,
    batch_of,
    curvature_of,
    lanes_of,
)
from trainables.configs.kronecker import Ekfac, Kfac
from trainables.curvature.factors import factors, projected_squares
from trainables.curvature.layer_passes import layer_passes
from trainables.curvature.layers import factored
from trainables.hyper import hyperparameters
from trainables.lanes import Tree
from trainables.optimizers import OPTIMIZERS, Context
from trainables.optimizers.ekfac import eigenvectors

with warnings.catch_warnings():  # it uses torch.jit
    warnings.simplefilter("ignore")
    import curvlinops
    from curvlinops import (
        EKFACLinearOperator,
        KFACInverseLinearOperator,
        KFACLinearOperator,
    )

CLOSE = {"rtol": 1e-8, "atol": 1e-12}
TYPES = {"exact": "type-2", "empirical": "empirical"}
CPU = torch.device("cpu")
CASES = [(name, fisher) for name in INPUT for fisher in TYPES]


def _operator(kind: Any, module: nn.Module, x: Tensor, y: Tensor, fisher: str) -> Any:
    return kind(
        module,
        nn.CrossEntropyLoss(),
        list(module.parameters()),
        [(x, y)],
        fisher_type=TYPES[fisher],
        separate_weight_and_bias=False,
        check_deterministic=False,
    )


def _case(name: str) -> Any:
    build, shape = INPUT[name]
    modules, network, params, buffers = lanes_of(build)
    batch = batch_of(shape, (TOKENS,) if name == "tokens" else ())
    if name == "tokens":
        for module in modules:  # curvlinops wants classes before places
            module.register_forward_hook(lambda module, inputs, output: output.mT)
    return modules, network, params, curvature_of(network, buffers, batch)


def _stepped(config: Any, network: Any, params: Tree, curvature: Any) -> tuple[Any, Any]:
    """The state after one step, and the hyperparameters."""
    optimizer = OPTIMIZERS[config.name]
    state = optimizer.init(params, config, network)
    hyper = hyperparameters([config] * len(next(iter(params.values()))), CPU)
    context = Context(config, curvature.losses(params), 0.1, curvature.losses, 0, curvature)
    _, gradient = curvature.gradient(params)
    _, state = optimizer.update(gradient, state, params, hyper, context)
    return state, hyper


def _vector(params: Tree) -> Tree:
    generator = torch.Generator().manual_seed(11)
    return {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in params.items()}


@pytest.mark.parametrize(("name", "fisher"), CASES)
def test_factors_equal_curvlinops(name: str, fisher: Any) -> None:
    modules, network, params, curvature = _case(name)
    layers = factored(network)
    parts = layer_passes(curvature, params, fisher, layers)
    inputs, outputs = factors(parts, layers, params)
    assert len(layers) == sum(1 for _ in modules[0].modules() if hasattr(_, "weight"))
    for lane, module in enumerate(modules):
        x, y = curvature.batch.x[lane], curvature.batch.targets[lane]
        operator = _operator(KFACLinearOperator, module, x, y, fisher)
        operator.compute_kronecker_factors()
        for layer in layers:
            expected = operator._input_covariances[layer.name]
            torch.testing.assert_close(inputs[layer.name][lane], expected, **CLOSE)
            expected = operator._gradient_covariances[layer.name]
            torch.testing.assert_close(outputs[layer.name][lane], expected, **CLOSE)


@pytest.mark.parametrize("pi", [True, False])
@pytest.mark.parametrize(("name", "fisher"), CASES)
def test_kfac_inverse_equals_curvlinops(name: str, fisher: Any, pi: bool) -> None:
    modules, network, params, curvature = _case(name)
    damping = 0.03
    config = Kfac(fisher=fisher, damping=damping, pi=pi)
    state, hyper = _stepped(config, network, params, curvature)
    vector = _vector(params)
    precondition = OPTIMIZERS["kfac"].precondition
    assert precondition is not None
    found = precondition(vector, state, hyper, config, network)
    for lane, module in enumerate(modules):
        x, y = curvature.batch.x[lane], curvature.batch.targets[lane]
        operator = _operator(KFACLinearOperator, module, x, y, fisher)
        options = (
            {"damping": damping, "use_heuristic_damping": True, "min_damping": 0.0}
            if pi
            else {"damping": (damping**0.5, damping**0.5)}
        )
        inverse = KFACInverseLinearOperator(operator, **options)
        expected = inverse @ [tensor[lane] for tensor in vector.values()]
        for tensor, wanted in zip(found.values(), expected, strict=True):
            torch.testing.assert_close(tensor[lane], wanted, **CLOSE)


@pytest.mark.parametrize(("name", "fisher"), [case for case in CASES if case[0] != "tokens"])
def test_ekfac_inverse_equals_curvlinops(name: str, fisher: Any) -> None:
    """curvlinops has none for sequences of predictions."""
    modules, network, params, curvature = _case(name)
    config = Ekfac(fisher=fisher, damping=0.03)
    state, hyper = _stepped(config, network, params, curvature)
    vector = _vector(params)
    precondition = OPTIMIZERS["ekfac"].precondition
    assert precondition is not None
    found = precondition(vector, state, hyper, config, network)
    for lane, module in enumerate(modules):
        x, y = curvature.batch.x[lane], curvature.batch.targets[lane]
        operator = _operator(EKFACLinearOperator, module, x, y, fisher)
        inverse = KFACInverseLinearOperator(operator, damping=0.03, use_exact_damping=True)
        expected = inverse @ [tensor[lane] for tensor in vector.values()]
        for tensor, wanted in zip(found.values(), expected, strict=True):
            torch.testing.assert_close(tensor[lane], wanted, **CLOSE)


def test_the_library_compared_with_is_curvlinops() -> None:
    assert "curvlinops" in curvlinops.__file__


@pytest.mark.parametrize("loss", ["cross_entropy", "logistic", "quadratic"])
def test_sampled_factors_converge_to_exact_ones(loss: str) -> None:
    """The mean of n draws is within 5/√n of the exact factor, by its norm; one is not."""
    build, shape = INPUT["chain"]
    _, network, params, buffers = lanes_of(build, 2)
    batch = batch_of(shape, lanes=2)
    if loss == "logistic":
        params = params | {"4.weight": params["4.weight"][:, :1], "4.bias": params["4.bias"][:, :1]}
    layers, draws = factored(network), 400

    def outer(fisher: Any, seed: int) -> Tensor:
        shifted = batch._replace(keys=batch.keys + seed)
        curvature = curvature_of(network, buffers, shifted, loss)
        parts = layer_passes(curvature, params, fisher, layers)
        return factors(parts, layers, params)[1]["0"]

    exact = outer("exact", 0)
    mean = torch.stack([outer("sampled", 7919 * seed) for seed in range(draws)]).mean(0)
    scale = exact.flatten(1).norm(dim=1)
    assert ((mean - exact).flatten(1).norm(dim=1) < 5 / draws**0.5 * scale).all()
    assert ((outer("sampled", 1) - exact).flatten(1).norm(dim=1) > 0.01 * scale).all()


def test_squares_are_those_of_each_examples_gradient() -> None:
    """Also of sequences: (Q_Gᵀ ∇ Q_A)² written out with the gradients of single examples."""
    modules, network, params, curvature = _case("tokens")
    layers = factored(network)
    parts = layer_passes(curvature, params, "empirical", layers)
    inputs, outputs = factors(parts, layers, params)
    bases = tuple({n: eigenvectors(m) for n, m in tree.items()} for tree in (inputs, outputs))
    found = projected_squares(parts, layers, (bases[0], bases[1]))
    for lane, module in enumerate(modules):
        totals = {layer.name: torch.zeros_like(found[layer.name][lane]) for layer in layers}
        for x, y in zip(curvature.batch.x[lane], curvature.batch.targets[lane], strict=True):
            module.zero_grad()
            nn.functional.cross_entropy(module(x[None])[0].mT, y, reduction="sum").backward()
            for layer in layers:
                own = dict(module.named_parameters())
                gradient = layer.matrix({n: p.grad[None] for n, p in own.items()})[0]
                turned = bases[1][layer.name][lane].T @ gradient @ bases[0][layer.name][lane]
                totals[layer.name] += turned.square() / (EXAMPLES * TOKENS)
        for name, total in totals.items():
            torch.testing.assert_close(found[name][lane], total, **CLOSE)


def test_a_batch_in_parts_gives_the_mean() -> None:
    """And so would workers of one run, each with its share of the batch."""
    build, shape = INPUT["convolutional"]
    _, network, params, buffers = lanes_of(build)
    batch = batch_of(shape)
    batch = batch._replace(x=batch.x[:, :22], targets=batch.targets[:, :22])
    layers = factored(network)
    whole, halves = (
        factors(layer_passes(curvature, params, "empirical", layers), layers, params)
        for curvature in (curvature_of(network, buffers, batch, parts=k) for k in (1, 2))
    )
    for tree, other in zip(whole, halves, strict=True):
        for name, matrix in tree.items():
            torch.testing.assert_close(other[name], matrix, **CLOSE)


def test_a_convolution_in_one_dimension_is_one_of_height_one() -> None:
    def flat() -> nn.Module:
        return nn.Sequential(
            nn.Conv1d(2, 3, 3, stride=2, padding="valid", dilation=2),
            nn.Flatten(),
            nn.Linear(12, 5),
        )

    def tall() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(2, 3, (1, 3), stride=(1, 2), dilation=(1, 2)), nn.Flatten(), nn.Linear(12, 5)
        )

    found = []
    for build in (flat, tall):
        _, network, params, buffers = lanes_of(build)
        batch = batch_of((2, 11))
        if build is tall:
            batch = batch._replace(x=batch.x.unsqueeze(-2))
        layers = factored(network)
        parts = layer_passes(curvature_of(network, buffers, batch), params, "exact", layers)
        found.append(factors(parts, layers, params))
    for tree, other in zip(*found, strict=True):
        for name, matrix in tree.items():
            torch.testing.assert_close(other[name], matrix, **CLOSE)


@pytest.mark.filterwarnings("ignore:Using padding")  # which it says of even kernels
def test_padding_to_the_same_size_is_that_of_the_convolution() -> None:
    """Rows times the weights are the convolution's outputs, whatever stands at the edges."""
    for module in (
        nn.Conv2d(2, 3, (5, 3), padding="same", dilation=(1, 2)),
        nn.Conv1d(2, 3, 4, padding="same", dilation=3, bias=False),
    ):
        module = module.double()
        x = torch.randn(
            1, 5, *((2, 11, 7) if module.weight.dim() == 4 else (2, 11)), dtype=torch.float64
        )
        (layer,) = factored(lanes_of(lambda module=module: nn.Sequential(module))[1])
        params = {f"0.{n}": p.detach()[None] for n, p in module.named_parameters()}
        product = layer.input_rows(x) @ layer.matrix(params).mT
        expected = layer.output_rows(module(x[0]).detach()[None])
        torch.testing.assert_close(product, expected, **CLOSE)


class _Odd(nn.Module):
    """Layers that are none of ours, and two that are: one is used twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 7)
        self.tied = nn.Linear(7, 5, bias=False)
        self.tied.weight = self.embedding.weight
        self.groups = nn.Conv1d(4, 2, 1, groups=2)
        self.around = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")
        self.attention = nn.MultiheadAttention(7, 1)
        self.norm = nn.BatchNorm1d(7)
        self.twice = nn.Linear(7, 7)
        self.never = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.twice(torch.tanh(self.twice(self.norm(x)))))  # type: ignore[no-any-return]


def test_other_layers_have_no_factors() -> None:
    assert [layer.name for layer in factored(lanes_of(_Odd)[1])] == ["twice", "never"]


def test_a_layer_used_twice_and_one_never_used() -> None:
    """Its two calls are two places: A is their mean, G their sum. Zeros where nothing passes."""
    _, network, params, buffers = lanes_of(_Odd)
    curvature = curvature_of(network, buffers, batch_of((7,)))
    layers = factored(network)
    (passes,) = layer_passes(curvature, params, "empirical", layers)
    inputs, outputs = factors([passes], layers, params)
    uses = passes["twice"].uses
    assert len(uses) == 2
    a = [torch.cat([x, x.new_ones(LANES, EXAMPLES, 1)], -1) for x, _ in uses]
    g = [gradients[0] for _, gradients in uses]
    torch.testing.assert_close(inputs["twice"], sum(x.mT @ x for x in a) / (2 * EXAMPLES), **CLOSE)
    torch.testing.assert_close(outputs["twice"], sum(d.mT @ d for d in g) / EXAMPLES, **CLOSE)
    assert not inputs["never"].any()
    assert not outputs["never"].any()
    assert outputs["never"].shape == (LANES, 2, 2)
