"""The gradient noise scale: its estimator, what it measures, and that it changes nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from trainables import models
from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, UserModel
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.probes import NoiseScale, Probes
from trainables.configs.regularization import BatchGrowth
from trainables.data import DataSet
from trainables.data.synthetic import least_squares
from trainables.engine import Stack
from trainables.noise_scale import estimates
from trainables.pruning.masks import ones, with_masks

Maker = Callable[..., RunConfig]
CPU = torch.device("cpu")
STILL = Sgd(lr=1e-300)
"""Weights that training does not move."""
NAMES = ("probe/noise_scale", "probe/noise_scale/trace", "probe/noise_scale/gradient")


def _probes(**fields: Any) -> Probes:
    return Probes(noise_scale=NoiseScale(**fields))


def _stack(runs: Sequence[RunConfig], data: DataSet, dtype: torch.dtype = torch.float64) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, dtype))


def _measured(stack: Stack, lane: int = 0) -> tuple[float, float, float]:
    """Noise scale, trace and gradient of a lane."""
    metrics, _ = stack.evaluate()
    scale, trace, gradient = (float(metrics[name][lane]) for name in NAMES)
    return scale, trace, gradient


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([g.flatten() for g in gradients])


# The estimator.


def test_the_mean_of_all_estimates_is_exact() -> None:
    """All 5⁴ batches of four gradients, drawn with replacement from five, in two parts."""
    gradients = torch.randn(5, 7, dtype=torch.float64, generator=torch.manual_seed(3)) + 0.5
    mean = gradients.mean(0)
    small, big = [], []
    for batch in itertools.product(range(5), repeat=4):
        parts = gradients[list(batch)].view(2, 2, 7).mean(1)
        small.append(parts.square().sum(1))
        big.append(parts.mean(0).square().sum())
    gradient, trace = estimates(torch.stack(small, 1), torch.stack(big), 2, 4)
    assert gradient.shape == trace.shape == (625,)
    assert float(gradient.mean()) == pytest.approx(float(mean @ mean), rel=1e-12)
    covariance = (gradients - mean).square().sum() / 5
    assert float(trace.mean()) == pytest.approx(float(covariance), rel=1e-12)
    assert bool((gradient < 0).any())
    assert bool((trace >= 0).all())


def test_sizes_need_not_be_those_of_parts() -> None:
    """A worker's gradients of 3 examples beside one of 11 that has nothing to do with them."""
    small, big = torch.tensor([[5.0], [7.0], [9.0]]), torch.tensor([4.0])
    gradient, trace = estimates(small, big, 3, 11)
    assert gradient.tolist() == pytest.approx([(11 * 4 - 3 * 7) / 8])
    assert trace.tolist() == pytest.approx([(7 - 4) / (1 / 3 - 1 / 11)])


# What is measured, against gradients by plain PyTorch.


def _by_hand(module: nn.Module, x: Tensor, y: Tensor, parts: int) -> tuple[float, float]:
    """tr Σ and |G|² by the paper's formulas, of a network that is trained part by part."""
    found = []
    for px, py in zip(x.chunk(parts), y.chunk(parts), strict=True):
        loss = F.cross_entropy(module(px), py)
        found.append(_flat(torch.autograd.grad(loss, list(module.parameters()))))
    small = sum(float(g @ g) for g in found) / parts
    whole = torch.stack(found).mean(0)
    big, size = float(whole @ whole), len(x) // parts
    trace = (small - big) / (1 / size - 1 / len(x))
    return trace, (len(x) * big - size * small) / (len(x) - size)


MODELS = {
    "chain": Mlp(hidden=(11, 3)),
    "batch norm": Mlp(hidden=(11,), norm="batch"),
    "layer norm": Mlp(hidden=(11,), norm="layer"),
    "convolution": UserModel(name="tests.engine.models:convolutional"),
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_running_averages_equal_those_by_hand(
    make_run: Maker, small_data: DataSet, model: str, accumulate: int
) -> None:
    """Of two lanes with decays of their own, at steps 0, 2 and 4, while they train."""
    train = {"steps": 5, "precision": "float64", "batch_size": 15, "accumulate": accumulate}
    decays = (0.5, 0.9)
    runs = [
        make_run(
            train=train,
            model=MODELS[model],
            optimizer=Sgd(lr=0.1),
            seed=seed,
            probes=_probes(every=2, parts=3, decay=decay),
        )
        for seed, decay in enumerate(decays)
    ]
    stack = _stack(runs, small_data)
    shape, classes = stack.arrays.input_shape, stack.arrays.outputs
    module = models.build(runs[0].model, shape, classes, 0).double()
    sums = [[0.0, 0.0, 0.0] for _ in decays]
    for step in range(5):
        batch = stack.batch()
        for lane, decay in enumerate(decays):
            if step % 2 == 0:
                state = (stack.params | stack.buffers).items()
                module.load_state_dict({name: tensor[lane] for name, tensor in state})
                found = _by_hand(module, batch.x[lane], batch.targets[lane], 3)
                values = zip(sums[lane], (*found, 1.0), strict=True)
                sums[lane] = [decay * old + (1 - decay) * new for old, new in values]
        stack.advance(step + 1)
        for lane, (trace, gradient, weight) in enumerate(sums):
            scale = trace / gradient if gradient > 0 else math.nan
            expected = (scale, trace / weight, gradient / weight)
            assert _measured(stack, lane) == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_masked_weights_have_no_part(make_run: Maker, small_data: DataSet) -> None:
    train = {"steps": 3, "precision": "float64", "batch_size": 14}
    run = make_run(train=train, optimizer=STILL, probes=_probes(every=1, decay=0.0))
    stack = _stack([run], small_data)
    left = ones(stack.params, ["0.weight"])
    left["0.weight"][:, ::2] = False
    stack = stack.put([run], with_masks(stack.state_dict(), left))
    module = models.build(run.model, stack.arrays.input_shape, stack.arrays.outputs, 0).double()
    module.load_state_dict({name: tensor[0] for name, tensor in stack.params.items()})
    weight = module.get_parameter("0.weight")
    batch = stack.batch()
    whole = _by_hand(module, batch.x[0], batch.targets[0], 2)
    weight.register_hook(lambda g: g * left["0.weight"][0])
    trace, gradient = _by_hand(module, batch.x[0], batch.targets[0], 2)
    stack.advance(1)
    assert _measured(stack)[1:] == pytest.approx((trace, gradient), rel=1e-10)
    assert whole != pytest.approx((trace, gradient), rel=1e-3)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_clipping_sam_and_loss_scales_are_left_out(
    make_run: Maker, small_data: DataSet, accumulate: int
) -> None:
    """The first gradients are of the same weights, whatever the step then makes of them."""

    def first(train: dict[str, Any], dtype: torch.dtype = torch.float64) -> tuple[float, ...]:
        run = make_run(
            train={"steps": 1, "batch_size": 14, "accumulate": accumulate} | train,
            model=Mlp(hidden=(11,), norm="layer"),
            probes=_probes(every=1),
        )
        stack = _stack([run], small_data, dtype)
        stack.advance(1)
        return _measured(stack)[1:]

    double = {"precision": "float64"}
    plain = first(double)
    assert first(double | {"clip_norm": 1e-3}) == plain
    assert first(double | {"clip_value": 1e-3}) == plain
    assert first(double | {"sam_rho": 5.0}) == pytest.approx(plain, rel=1e-12)
    assert first({"precision": "float16"}, torch.float32) == pytest.approx(plain, rel=0.02)


def test_a_step_without_numbers_is_not_counted(make_run: Maker, small_data: DataSet) -> None:
    train = {"steps": 9, "precision": "float16", "batch_size": 14}
    runs = [make_run(train=train, seed=s, probes=_probes(every=1)) for s in (0, 1)]
    stack = _stack(runs, small_data, torch.float32)
    stack._scale["scale"][1] = 2.0**40
    stack.advance(1)
    assert stack._noise["weight"].tolist() == pytest.approx([0.1, 0.0])
    found = stack.evaluate()[0]
    assert [bool(value) for value in found["probe/noise_scale/trace"] > 0] == [True, False]


def test_growing_batches_are_measured_at_their_size(make_run: Maker, small_data: DataSet) -> None:
    growth = BatchGrowth(milestones=(0.0,), factor=3)
    train = {"steps": 6, "batch_size": 14, "precision": "float64", "batch_growth": growth}
    run = make_run(train=train, optimizer=STILL, probes=_probes(every=1, parts=7, decay=0.0))
    stack = _stack([run], small_data)
    module = models.build(run.model, stack.arrays.input_shape, stack.arrays.outputs, 0).double()
    batch = stack.batch(count=3)
    trace, gradient = _by_hand(module, batch.x[0], batch.targets[0], 7)
    stack.advance(1)
    assert stack.step == 3
    assert _measured(stack)[1:] == pytest.approx((trace, gradient), rel=1e-10)


# Means over many batches, against what is known of all examples.


def test_means_are_those_of_all_examples_gradients(make_run: Maker, small_data: DataSet) -> None:
    """Per-example gradients written out (vmap over examples), at weights that stand still.

    A batch is drawn without replacement, so its estimate of |G|² is that of the distribution behind
    the N training examples: the training set's own has tr Σ / N more.
    """
    run = make_run(
        train={"steps": 1400, "precision": "float64", "batch_size": 18},
        optimizer=STILL,
        probes=_probes(every=1, parts=6, decay=1 - 1e-9),
        seed=3,
    )
    stack = _stack([run], small_data)
    stack.advance(1400)
    x, y = stack.arrays.train
    params = {name: tensor[0] for name, tensor in stack.params.items()}

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(stack.network.module, params, (x[None],)), y[None])

    each = vmap(grad(loss), (None, 0, 0))(params, x, y)
    rows = torch.cat([g.flatten(1) for g in each.values()], 1)  # (N, weights)
    mean = rows.mean(0)
    trace = float((rows - mean).square().sum() / (len(x) - 1))
    gradient = float(mean @ mean) - trace / len(x)
    assert _measured(stack) == pytest.approx((trace / gradient, trace, gradient), rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_noisy_quadratic_has_the_noise_scale_of_its_closed_form(
    make_run: Maker, noise: float
) -> None:
    """x ~ N(0, Λ), r = xᵀδ + ε: tr Σ = tr Λ (δᵀΛδ + σ²) + δᵀΛ²δ, |G|² = δᵀΛ²δ.

    δ is how far the weights are from the best ones, in the basis of the spectrum Λ.
    """
    data = LeastSquares(features=7, examples=20011, condition=11.0, noise=noise, seed=5)
    run = make_run(
        train={
            "steps": 1500,
            "precision": "float64",
            "batch_size": 130,
            "loss": "quadratic",
            "evaluate_every": 1.0,
        },
        data=data,
        model=Linear(bias=False),
        optimizer=STILL,
        probes=_probes(every=1, parts=13, decay=1 - 1e-9),
    )
    stack = _stack([run], least_squares(data))
    x, y = stack.arrays.train
    hessian = x.T @ x / len(x)
    (weight,) = stack.params.values()
    delta = weight[0, 0] - torch.linalg.lstsq(x, y).solution[:, 0]
    spectrum = torch.linalg.eigvalsh(hessian)
    assert spectrum.tolist() == pytest.approx(
        [11 ** (-k / 6) for k in reversed(range(7))], rel=1e-5
    )
    pull, squared = float(delta @ hessian @ delta), float((hessian @ delta).square().sum())
    trace = float(spectrum.sum()) * (pull + noise**2) + squared
    stack.advance(1500)
    scale, found, gradient = _measured(stack)
    assert found == pytest.approx(trace, rel=0.05)
    assert gradient == pytest.approx(squared, rel=0.05)
    assert scale == pytest.approx(trace / squared, rel=0.05)


# It changes nothing, and belongs to its lane.

GENERAL: dict[str, dict[str, Any]] = {
    "chain": {},
    "adam, ema": {"optimizer": Adam(lr=0.01), "train": {"ema": 0.9}},
    "batch norm": {"model": Mlp(hidden=(11,), norm="batch")},
    "batch norm in parts": {
        "model": Mlp(hidden=(11,), norm="batch"),
        "train": {"accumulate": 2},
    },
    "dropout": {"model": UserModel(name=MODELS["convolution"].name, args={"dropout": 0.3})},  # type: ignore[attr-defined]
    "sam": {"train": {"sam_rho": 0.1, "accumulate": 2}},
    "float16": {"train": {"precision": "float16"}},
    "growth": {"train": {"batch_growth": BatchGrowth(milestones=(0.3,))}},
}
