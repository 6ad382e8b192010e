"""Products with curvature matrices equal curvlinops, lane by lane, in float64."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.curvature.around import CLASSES, INPUTS, LANES, MODULES, Around, Texts, around
from tests.curvature.around import directions as _directions
from trainables.curvature import matrices
from trainables.curvature.objective import MEAN_LOSSES, gradient, hessian_of_gradient
from trainables.curvature.vectors import flat, size, unflat
from trainables.lanes import Tree

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for torch.jit
    from curvlinops import GGNLinearOperator, HessianLinearOperator

Case = tuple[str, str, float]
CASES: list[Case] = [(model, loss, 0.0) for model in MODULES for loss in MEAN_LOSSES]
CASES += [(model, "cross_entropy", 0.3) for model in MODULES]


def _mean_bce(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z.squeeze(-1), y.to(z.dtype))


def _half_square(z: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(z, y) * CLASSES / 2


def _pixels(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y) * CLASSES


class Mean(nn.Module):
    """A mean loss of PyTorch as curvlinops takes it."""

    reduction = "mean"

    def __init__(self, loss: str, smoothing: float = 0.0) -> None:
        super().__init__()
        smoothed = partial(F.cross_entropy, label_smoothing=smoothing)
        others = {"logistic": _mean_bce, "quadratic": _half_square, "bernoulli": _pixels}
        self.one: Callable[[Tensor, Tensor], Tensor] = others.get(loss, smoothed)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.one(z, y)


def _dense(kind: Any, found: Around, lane: int, loss: nn.Module) -> Tensor:
    """curvlinops' matrix of one lane, (P, P).

    Its Hessian, by PyTorch's forward mode, is not symmetric with batch normalization: there it is
    PyTorch's by reverse mode, twice.
    """
    x, y = found.batch.x[lane], found.batch.targets[lane]
    module, normed = copy.deepcopy(found.modules[lane]).train(), False
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d):  # statistics may not move while it differentiates
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
            normed = True
    if normed and kind is HessianLinearOperator:
        outputs = partial(_of_vector, module, x, found.params)
        at = torch.cat([p.detach().flatten() for p in module.parameters()])
        reverse: Tensor = torch.autograd.functional.hessian(lambda v: loss(outputs(v), y), at)
        return reverse
    params = [p for p in module.parameters() if p.requires_grad]
    operator = kind(module, loss, params, [(x, y)], check_deterministic=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, for forward mode
        matrix: Tensor = operator @ torch.eye(operator.shape[1], dtype=torch.float64)
    return matrix.detach()


def _of_vector(module: nn.Module, x: Tensor, params: Tree, vector: Tensor) -> Tensor:
    tree = unflat(vector, {n: p[:1] for n, p in params.items()})
    result: Tensor = torch.func.functional_call(module, tree, (x,))
    return result


@pytest.mark.parametrize(("model", "loss", "smoothing"), CASES)
def test_products_and_matrices_equal_curvlinops(model: str, loss: str, smoothing: float) -> None:
    found = around(MODULES[model], loss, smoothing=smoothing)
    params, curvature = found.params, found.curvature
    vector = _directions(params)
    pairs = [
        (HessianLinearOperator, curvature.hessian, matrices.hessian),
        (GGNLinearOperator, curvature.gauss_newton, matrices.gauss_newton),
    ]
    for kind, product, matrix in pairs:
        along, whole = flat(product(params)(vector), params), matrix(curvature, params)
        for lane in range(LANES):
            expected = _dense(kind, found, lane, Mean(loss, smoothing))
            torch.testing.assert_close(whole[lane], expected, rtol=1e-8, atol=1e-11)
            times = expected @ flat(vector, params)[lane]
            torch.testing.assert_close(along[lane], times, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("model", "loss", "smoothing"), CASES)
def test_losses_and_gradients_are_those_of_torch(model: str, loss: str, smoothing: float) -> None:
    """Here, elsewhere, and through the objective that is differentiated twice."""
    found = around(MODULES[model], loss, smoothing=smoothing)
    curvature, batch = found.curvature, found.batch
    elsewhere = {
        n: p + 0.1 * d
        for (n, p), d in zip(found.params.items(), _directions(found.params).values(), strict=True)
    }
    for params in (found.params, elsewhere):
        losses, grads = curvature.gradient(params)
        again = gradient(curvature.objective, params, [*params])
        forward = curvature.losses(params)
        for lane, module in enumerate(found.modules):
            own = {n: p[lane].clone().requires_grad_() for n, p in params.items()}
            outputs = torch.func.functional_call(module, own, (batch.x[lane],))
            value = Mean(loss, smoothing)(outputs, batch.targets[lane])
            expected = torch.autograd.grad(value, [*own.values()])
            for several in (losses, forward, curvature.objective(params)):
                torch.testing.assert_close(several[lane], value.detach(), rtol=1e-10, atol=1e-12)
            for name, right in zip(own, expected, strict=True):
                torch.testing.assert_close(grads[name][lane], right, rtol=1e-9, atol=1e-12)
                torch.testing.assert_close(again[name][lane], right, rtol=1e-9, atol=1e-12)


def _loss_of_vector(one: Callable[[Tensor], Tensor], y: Tensor, vector: Tensor) -> Tensor:
    return F.cross_entropy(one(vector).flatten(0, 1), y.flatten())


def test_products_for_sequences() -> None:
    """Losses are means over examples and places."""
    generator = torch.Generator().manual_seed(3)
    tokens, targets = (torch.randint(0, n, (LANES, 13, 2), generator=generator) for n in (11, 7))
    found = around(Texts, x=tokens, targets=targets)

    for kind, matrix in (
        (HessianLinearOperator, matrices.hessian),
        (GGNLinearOperator, matrices.gauss_newton),
    ):
        whole = matrix(found.curvature, found.params)
        for lane in range(LANES):
            batch = found.batch
            x, y, module = batch.x[lane], batch.targets[lane], found.modules[lane]
            one = partial(_of_vector, module, x, found.params)
            at = flat({n: p[lane : lane + 1] for n, p in found.params.items()}, found.params)[0]
            if kind is HessianLinearOperator:
                expected = torch.autograd.functional.hessian(partial(_loss_of_vector, one, y), at)
            else:
                rows = torch.func.jacrev(one)(at).flatten(0, 1)
                p = one(at).flatten(0, 1).softmax(-1)
                curve = p.diag_embed() - p.unsqueeze(2) * p.unsqueeze(1)
                expected = torch.einsum("nip,nij,njq->pq", rows, curve, rows) / len(rows)
            torch.testing.assert_close(whole[lane], expected, rtol=1e-8, atol=1e-12)


def _masks(params: Tree) -> Tree:
    generator = torch.Generator().manual_seed(1)
    return {
        n: torch.rand(p.shape, generator=generator) < 0.6 for n, p in params.items() if p.dim() > 2
    }


def test_masked_weights_are_no_part_of_it() -> None:
    """Rows and columns of masked weights are 0, and the rest is the smaller network's own."""
    plain = around(MODULES["chain"])
    masks = _masks(plain.params)
    found = around(MODULES["chain"], masks=masks)
    whole = {n: masks.get(n, torch.ones_like(p, dtype=torch.bool)) for n, p in found.params.items()}
    kept = flat(whole, found.params)
    left = kept.unsqueeze(2) & kept.unsqueeze(1)
    vector = _directions(found.params)
    masked = found.curvature.restrict(vector)
    for kind, product, matrix in (
        (HessianLinearOperator, found.curvature.hessian, matrices.hessian),
        (GGNLinearOperator, found.curvature.gauss_newton, matrices.gauss_newton),
    ):
        made = matrix(found.curvature, found.params)
        assert not made[~left].any()
        for lane in range(LANES):
            expected = _dense(kind, found, lane, Mean("cross_entropy")) * left[lane]
            torch.testing.assert_close(made[lane], expected, rtol=1e-8, atol=1e-12)
            times = flat(product(found.params)(masked), found.params)[lane]
            along = expected @ flat(vector, found.params)[lane]
            torch.testing.assert_close(times, along, rtol=1e-8, atol=1e-12)
    for tree in (
        found.curvature.gradient(found.params)[1],
        found.curvature.signs(found.params),
        found.curvature.sampled_gradient(found.params),
    ):
        assert all(not tree[name][~mask].any() for name, mask in masks.items())


def test_a_hessian_times_its_gradient() -> None:
    found = around(MODULES["chain"])
    names = ["0.weight", "2.bias"]
    masks = {name: _directions(found.params)[name] > 0 for name in names}
    product = hessian_of_gradient(found.curvature.objective, found.params, masks)
    matrix = matrices.hessian(found.curvature, found.params)
    _, grads = found.curvature.gradient(found.params)
    cut = {n: g * masks[n] if n in masks else torch.zeros_like(g) for n, g in grads.items()}
    times = (matrix @ flat(cut, found.params).unsqueeze(2)).squeeze(2)
    expected = unflat(times, found.params)
    for name in names:
        torch.testing.assert_close(product[name], expected[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model", MODULES)
def test_lanes_share_nothing(model: str) -> None:
    """A lane's products stay the same to rounding when another lane is no number, or is gone."""
    found = around(MODULES[model])
    bad = {name: p.clone() for name, p in found.params.items()}
    for tensor in bad.values():
        tensor[1] = torch.nan
    vector = _directions(found.params)
    for kind in ("hessian", "gauss_newton"):
        good = getattr(found.curvature, kind)(found.params)(vector)
        beside = getattr(found.curvature, kind)(bad)(vector)
        whole = getattr(matrices, kind)(found.curvature, found.params)
        other = getattr(matrices, kind)(found.curvature, bad)
        for name, tensor in good.items():
            torch.testing.assert_close(beside[name][[0, 2]], tensor[[0, 2]], rtol=1e-12, atol=1e-14)
        assert flat(beside, found.params)[1].isnan().any()
        torch.testing.assert_close(other[[0, 2]], whole[[0, 2]], rtol=1e-12, atol=1e-14)
        solo = around(MODULES[model], lanes=1, x=found.batch.x[:1], targets=found.batch.targets[:1])
        alone = {n: p[:1] for n, p in found.params.items()}
        one = getattr(solo.curvature, kind)(alone)({n: v[:1] for n, v in vector.items()})
        for name, tensor in good.items():
            torch.testing.assert_close(one[name], tensor[:1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("model", ["linear", "chain"])
def test_empirical_fisher_is_the_mean_of_outer_products(model: str) -> None:
    found = around(MODULES[model], smoothing=0.1)
    matrix = matrices.empirical_fisher(found.curvature, found.params)
    squares = flat(matrices.mean_squares(found.curvature, found.params), found.params)
    for lane, module in enumerate(found.modules):
        rows = []
        for x, y in zip(found.batch.x[lane], found.batch.targets[lane], strict=True):
            module.zero_grad()
            F.cross_entropy(module(x[None]), y[None], label_smoothing=0.1).backward()
            rows.append(torch.cat([p.grad.flatten() for p in module.parameters()]))  # type: ignore[union-attr]
        g = torch.stack(rows)
        torch.testing.assert_close(matrix[lane], g.T @ g / len(g), rtol=1e-9, atol=1e-13)
        torch.testing.assert_close(squares[lane], g.square().mean(0), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["_NUMBERS", "_GRADIENTS"])
def test_rows_and_examples_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = around(MODULES["chain"])
    whole = [
        m(found.curvature, found.params)
        for m in (matrices.hessian, matrices.gauss_newton, matrices.empirical_fisher)
    ]
    few = 5 * found.batch.x.numel() if name == "_NUMBERS" else 2 * LANES * size(found.params)
    monkeypatch.setattr(matrices, name, few)
    parts = [
        m(found.curvature, found.params)
        for m in (matrices.hessian, matrices.gauss_newton, matrices.empirical_fisher)
    ]
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_a_parameter_without_a_part() -> None:
    class Idle(nn.Module):
        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.idle = nn.Parameter(torch.ones(2))
            self.linear = nn.Linear(INPUTS, outputs)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)  # type: ignore[no-any-return]

    found = around(Idle)
    for matrix in (matrices.hessian, matrices.gauss_newton):
        made = matrix(found.curvature, found.params)
        assert not made[:, :2].any()
        assert made[:, 2:, 2:].any()


def test_vectors_and_back() -> None:
    found = around(MODULES["norm"])
    vectors = flat(found.params, found.params)
    assert vectors.shape == (LANES, size(found.params))
    for name, tensor in unflat(vectors, found.params).items():
        assert tensor.equal(found.params[name])
