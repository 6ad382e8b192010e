"""Products with curvature matrices over many examples, against curvlinops and written out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainables.arrays import Arrays
from trainables.configs import Mlp, RunConfig, Train, UserModel
from trainables.configs.data import Characters
from trainables.configs.models import Gpt
from trainables.configs.optimizers import AdamW
from trainables.curvature.vectors import Flat, flat, flattened, unflat
from trainables.data import DataSet, load
from trainables.engine import Stack
from trainables.probes import examples
from trainables.probes.examples import MATRICES, chunks, curvature
from trainables.pruning.masks import ones, with_masks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from curvlinops import (
        EFLinearOperator,
        FisherMCLinearOperator,
        GGNLinearOperator,
        HessianLinearOperator,
    )

Maker = Callable[..., RunConfig]
CPU = torch.device("cpu")
DOUBLE = {"steps": 5, "precision": "float64"}
SCRIPTED = "ignore:.torch.jit.script:DeprecationWarning"
"""curvlinops and einops use what PyTorch has deprecated."""


def stack_of(runs: list[RunConfig], data: DataSet) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, torch.float64))


def pair(make_run: Maker, **parts: Any) -> list[RunConfig]:
    parts = {"model": Mlp(hidden=(5,), activation="tanh")} | parts
    train = DOUBLE | parts.pop("train", {})
    return [make_run(train=train, seed=seed, **parts) for seed in (1, 2)]


def dense(matrix: Flat, like: Tensor) -> Tensor:
    """(L, P, P): every lane's matrix, column by column."""
    columns = [matrix(unit.expand_as(like)) for unit in torch.eye(like.shape[1], dtype=like.dtype)]
    return torch.stack(columns, 2)


def random_like(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


def flat_curvature(stack: Stack, matrix: str, count: int = 83) -> Flat:
    return flattened(curvature(stack, matrix, chunks(stack, count)), stack.params)


def _operator(stack: Stack, lane: int, matrix: str, count: int) -> Any:
    """What curvlinops makes of a lane's network on the same examples."""
    module = copy.deepcopy(stack.network.module).eval()
    for name, param in module.named_parameters():
        param.data = stack.params[name][lane].clone()
    x, (batch,) = stack.arrays.train[0], chunks(stack, count)
    assert (batch.x[lane].unsqueeze(1) == x).all(2).any(1).all(), "they are of the training set"
    kind = {
        "hessian": HessianLinearOperator,
        "gauss_newton": GGNLinearOperator,
        "empirical_fisher": EFLinearOperator,
    }[matrix]
    data = [(batch.x[lane], batch.targets[lane])]
    return kind(module, nn.CrossEntropyLoss(), list(module.parameters()), data)


@pytest.mark.filterwarnings(SCRIPTED)
@pytest.mark.parametrize("matrix", ["hessian", "gauss_newton", "empirical_fisher"])
def test_equals_curvlinops(make_run: Maker, small_data: DataSet, matrix: str) -> None:
    stack = stack_of(pair(make_run), small_data)
    stack.advance(5)
    product = flat_curvature(stack, matrix)
    v = random_like(flat(stack.params))
    found = product(v)
    for lane in range(2):
        operator = _operator(stack, lane, matrix, 83)
        expected = operator @ v[lane]
        torch.testing.assert_close(found[lane], expected, rtol=1e-8, atol=1e-12)
    assert not found[0].allclose(found[1])


@pytest.mark.filterwarnings(SCRIPTED)
def test_the_sampled_fisher_has_the_mean_of_curvlinops(
    make_run: Maker, small_data: DataSet
) -> None:
    """Both sample; over many draws ours is the matrix that theirs is, too: Gauss-Newton."""
    stack = stack_of(pair(make_run, model=Mlp(hidden=()))[:1], small_data)
    v = random_like(flat(stack.params))
    whole = flat_curvature(stack, "gauss_newton")(v)
    (batch,) = chunks(stack, 83)
    total = torch.zeros_like(whole)
    for call in range(200):
        again = batch._replace(keys=batch.keys + call)
        total += flattened(curvature(stack, "sampled_fisher", [again]), stack.params)(v) / 200
    assert (total - whole).norm() < 0.05 * whole.norm()
    module = copy.deepcopy(stack.network.module)
    for name, param in module.named_parameters():
        param.data = stack.params[name][0].clone()
    data = [(batch.x[0], batch.targets[0])]
    operator = FisherMCLinearOperator(
        module, nn.CrossEntropyLoss(), list(module.parameters()), data, mc_samples=100
    )
    theirs = operator @ v[0]
    assert (total[0] - theirs).norm() < 0.08 * whole.norm()


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("loss", ["quadratic", "logistic", "cross_entropy"])
def test_chunks_add_up(
    make_run: Maker, small_data: DataSet, matrix: str, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every loss; the Fisher matrices as Σ g gᵀ / N of gradients written out."""
    stack = stack_of(pair(make_run), small_data)
    batch = chunks(stack, 83)[0]
    outputs = {"quadratic": 5, "logistic": 1, "cross_entropy": 5}[loss]
    targets = {
        "quadratic": random_like(torch.zeros(2, 83, 5, dtype=torch.float64)),
        "logistic": batch.targets % 2,
        "cross_entropy": batch.targets,
    }[loss]
    if outputs == 1:
        stack.network.module[-1] = nn.Linear(5, 1)  # type: ignore[index, operator]
        stack.params = {n: p[:, :1] if n.startswith("2.") else p for n, p in stack.params.items()}
    run = stack.runs[0]
    stack.runs = [make_run(train=DOUBLE | {"loss": loss}, model=run.model)] * 2
    batch = batch._replace(targets=targets)
    whole = flattened(curvature(stack, matrix, [batch]), stack.params)
    v = random_like(flat(stack.params))
    if matrix != "sampled_fisher":  # whose targets depend on the place in a chunk
        parts = [
            batch._replace(x=batch.x[:, at], targets=batch.targets[:, at])
            for at in (slice(0, 37), slice(37, 74), slice(74, 83))
        ]
        split = flattened(curvature(stack, matrix, parts), stack.params)
        torch.testing.assert_close(split(v), whole(v), rtol=1e-10, atol=1e-12)
    if matrix == "empirical_fisher":
        expected = torch.zeros_like(v[0])
        for index in range(83):
            params = {n: p[0].clone().requires_grad_() for n, p in stack.params.items()}
            z = functional_call(stack.network.module, params, (batch.x[0, index : index + 1],))
            one = _loss(loss, z, targets[0, index : index + 1])
            grads = torch.autograd.grad(one, list(params.values()))
            g = torch.cat([grad.flatten() for grad in grads])
            expected += g * (g @ v[0]) / 83
        torch.testing.assert_close(whole(v)[0], expected, rtol=1e-10, atol=1e-12)


def _loss(name: str, z: Tensor, y: Tensor) -> Tensor:
    if name == "quadratic":
        return (z - y).square().sum() / 2
    if name == "logistic":
        return nn.functional.binary_cross_entropy_with_logits(z[:, 0], y.to(z.dtype))
    return nn.functional.cross_entropy(z, y)


def test_the_subset_is_fixed_and_evenly_spread(
    make_run: Maker, small_data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_of(pair(make_run), small_data)
    x, _ = stack.arrays.train
    (few,) = chunks(stack, 7)
    expected = x[[index * len(x) // 7 for index in range(7)]]
    assert few.x[0].equal(expected)
    assert few.x[1].equal(expected)
    assert sum(part.x.shape[1] for part in chunks(stack, 10**9)) == len(x)
    monkeypatch.setattr(examples, "_CHUNK", 37)
    assert [part.x.shape[1] for part in chunks(stack, 83)] == [37, 37, 9]


def test_smoothed_labels_count(make_run: Maker, small_data: DataSet) -> None:
    """Of a network with a hidden layer smoothing changes the Hessian: that of the trained loss."""
    runs = pair(make_run, train={"label_smoothing": 0.3})
    stack = stack_of(runs, small_data)
    (batch,) = chunks(stack, 83)
    v = random_like(flat(stack.params))
    found = flat_curvature(stack, "hessian")(v)
    names = [*stack.params]
    shapes = [stack.params[name].shape[1:] for name in names]

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes])
        params = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        z = functional_call(stack.network.module, params, (batch.x[0],))
        return nn.functional.cross_entropy(z, batch.targets[0], label_smoothing=0.3)

    at = flat(stack.params)[0]
    whole = torch.autograd.functional.hessian(loss, at)
    torch.testing.assert_close(found[0], whole @ v[0], rtol=1e-9, atol=1e-12)


def test_batch_normalization_and_dropout(make_run: Maker, small_data: DataSet) -> None:
    """Batches of training's size by their own statistics, derivatives through these; no dropout;
    and the stack stays as it was."""
    model = UserModel(name="tests.engine.models:convolutional", args={"dropout": 0.5})
    stack = stack_of(
        pair(make_run, model=model, train={"batch_size": 26, "accumulate": 2}), small_data
    )
    stack.advance(3)
    before = {name: buffer.clone() for name, buffer in stack.buffers.items()}
    parts = chunks(stack, 83)
    assert [part.x.shape[1] for part in parts] == [13] * 6
    v = random_like(flat(stack.params))
    found = flat_curvature(stack, "hessian")(v)
    assert found.equal(flat_curvature(stack, "hessian")(v))
    module = copy.deepcopy(stack.network.module).eval()
    module.norm.train()  # type: ignore[union-attr, operator]
    for lane in range(2):
        params = {n: p[lane].clone().requires_grad_() for n, p in stack.params.items()}
        total = torch.zeros((), dtype=torch.float64)
        for part in parts:
            buffers = {n: b[lane].clone() for n, b in stack.buffers.items()}
            z = functional_call(module, (params, buffers), (part.x[lane],))
            total = total + nn.functional.cross_entropy(z, part.targets[lane]) / 6
        grads = torch.autograd.grad(total, list(params.values()), create_graph=True)
        g = torch.cat([grad.flatten() for grad in grads])
        again = torch.autograd.grad(g @ v[lane], list(params.values()))
        expected = torch.cat([one.flatten() for one in again])
        torch.testing.assert_close(found[lane], expected, rtol=1e-8, atol=1e-12)
    assert all(before[name].equal(buffer) for name, buffer in stack.buffers.items())


def test_masked_weights_have_no_part(make_run: Maker, small_data: DataSet) -> None:
    runs = pair(make_run)
    stack = stack_of(runs, small_data)
    left = ones(stack.params, ["0.weight"])
    left["0.weight"][:, 1::2] = False
    stack = stack.put(runs, with_masks(stack.state_dict(), left))
    gone = flat({n: ~left.get(n, torch.ones_like(p).bool()) for n, p in stack.params.items()})
    found = dense(flat_curvature(stack, "hessian"), flat(stack.params))
    assert (found[gone] == 0).all()
    assert (found[~gone] != 0).any()


def test_attention(tmp_path: Path) -> None:
    """A transformer: against differences of gradients."""
    path = tmp_path / "t.txt"
    path.write_text("abcdeabdceabcaebcd" * 61, encoding="utf-8")
    text = Characters(path=str(path), context=7)
    train = Train(steps=5, batch_size=13, precision="float64")
    model = Gpt(width=6, depth=1, heads=3, dropout=0.1)
    runs = [
        RunConfig(data=text, model=model, optimizer=AdamW(lr=0.01), train=train, seed=seed)
        for seed in (1, 2)
    ]
    stack = stack_of(runs, load(text))
    stack.advance(5)
    like = flat(stack.params)
    v = random_like(like)
    found = flat_curvature(stack, "hessian", 17)(v)
    # One lane alone goes another way.
    alone = flat_curvature(stack.keep([1]), "hessian", 17)(v[1:])
    torch.testing.assert_close(alone, found[1:], rtol=1e-8, atol=1e-12)
    (batch,) = chunks(stack, 17)
    module = copy.deepcopy(stack.network.module).eval()

    def gradient(lane: int, vector: Tensor) -> Tensor:
        tree = unflat(vector.unsqueeze(0), {n: p[:1] for n, p in stack.params.items()})
        params = {name: param[0].clone().requires_grad_() for name, param in tree.items()}
        z = functional_call(module, params, (batch.x[lane],))
        loss = nn.functional.cross_entropy(z.flatten(0, 1), batch.targets[lane].flatten())
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(params.values()))])

    for lane in range(2):
        step = 1e-5 * v[lane]
        ahead, back = (gradient(lane, like[lane] + sign * step) for sign in (1, -1))
        torch.testing.assert_close(found[lane], (ahead - back) / 2e-5, rtol=1e-4, atol=1e-5)


class Attentive(nn.Linear):
    """A user's own attention over places of one number each."""

    def forward(self, x: Tensor) -> Tensor:
        q = x.unsqueeze(1).unsqueeze(3) * self.weight[:, 0].mean()
        seen = nn.functional.scaled_dot_product_attention(q, q, q)
        return super().forward(seen[:, 0, :, 0])


def attentive(input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    return Attentive(*input_shape, outputs)


def test_attention_of_a_users_model_alone(make_run: Maker, small_data: DataSet) -> None:
    """PyTorch's usual form has no second derivative; packed and alone it is another one."""
    model = UserModel(name="tests.probes.test_curvature_examples:attentive")
    stack = stack_of(pair(make_run, model=model), small_data)
    v = random_like(flat(stack.params))
    packed = flat_curvature(stack, "hessian")(v)
    alone = flat_curvature(stack.keep([1]), "hessian")(v[1:])
    torch.testing.assert_close(alone, packed[1:], rtol=1e-9, atol=1e-12)
