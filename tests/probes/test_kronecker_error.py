"""The error of a Kronecker product, against curvlinops' dense matrices and where it is exact."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from tests.probes.test_curvature_examples import SCRIPTED, Maker, pair, stack_of
from trainables.configs.data import LeastSquares
from trainables.configs.models import Linear
from trainables.configs.optimizers import Kfac
from trainables.data import DataSet
from trainables.data.synthetic import least_squares
from trainables.probes.examples import chunks, curvature
from trainables.probes.kronecker_error import kfac_errors, kronecker_error, layer_block

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from curvlinops import FisherType, GGNLinearOperator, KFACLinearOperator


@pytest.mark.filterwarnings(SCRIPTED)
@pytest.mark.parametrize("biased", [False, True])
def test_equals_curvlinops(make_run: Maker, small_data: DataSet, biased: bool) -> None:
    """Of a layer inside a network, with its bias and without."""
    stack = stack_of(pair(make_run), small_data)
    stack.advance(5)
    batches = chunks(stack, 83)
    product = curvature(stack, "gauss_newton", batches)
    block = layer_block(product, stack.params, "0.weight", "0.bias" if biased else None)
    for lane in range(2):
        module = copy.deepcopy(stack.network.module)
        for name, param in module.named_parameters():
            param.data = stack.params[name][lane].clone()
        own = [module[0].weight, module[0].bias] if biased else [module[0].weight]  # type: ignore[index]
        data = [(batches[0].x[lane], batches[0].targets[lane])]
        unit = torch.eye(sum(param.numel() for param in own), dtype=torch.float64)
        exact = GGNLinearOperator(module, nn.CrossEntropyLoss(), own, data) @ unit
        theirs = KFACLinearOperator(
            module,
            nn.CrossEntropyLoss(),
            own,
            data,
            fisher_type=FisherType.TYPE2,
            separate_weight_and_bias=False,
        )
        approximate = theirs @ unit
        (g,) = theirs._gradient_covariances.values()
        (a,) = theirs._input_covariances.values()
        expected = (exact - approximate).norm() / exact.norm()
        found = kronecker_error(block[lane : lane + 1], g.unsqueeze(0), a.unsqueeze(0))
        assert found.item() == pytest.approx(float(expected), rel=1e-8)
        assert 0.01 < found.item() < 1
        assert float(block[lane].norm()) == pytest.approx(float(exact.norm()), rel=1e-10)


def test_exact_for_one_linear_layer(make_run: Maker) -> None:
    """Of squared distances F = I ⊗ A, and the error of a wrong factor is known."""
    data = LeastSquares(features=7, examples=131, condition=11.0, noise=0.5, seed=3)
    train = {"steps": 5, "precision": "float64", "loss": "quadratic"}
    run = make_run(train=train, data=data, model=Linear(bias=False))
    stack = stack_of([run, run], least_squares(data))
    block = layer_block(
        curvature(stack, "gauss_newton", chunks(stack, 131)), stack.params, "0.weight"
    )
    x, _ = stack.arrays.train
    a = (x.T @ x / 131).expand(2, 7, 7)
    g = torch.ones(2, 1, 1, dtype=torch.float64)
    assert (kronecker_error(block, g, a) < 1e-12).all()
    torch.testing.assert_close(kronecker_error(block, 1.5 * g, a), torch.full((2,), 0.5).double())
    assert kronecker_error(0 * block, g, a).isinf().all()


def test_of_a_stack_that_kfac_trains(make_run: Maker, small_data: DataSet) -> None:
    """With the exact Fisher matrix of all examples a linear model's factors are exact."""
    data = LeastSquares(features=7, examples=131, condition=11.0, noise=0.5, seed=3)
    train = {"steps": 1, "batch_size": 131, "precision": "float64", "loss": "quadratic"}
    optimizer = Kfac(lr=1e-3, fisher="exact", statistics_every=1)
    runs = [
        make_run(train=train, data=data, model=Linear(), optimizer=optimizer, seed=seed)
        for seed in range(2)
    ]
    stack = stack_of(runs, least_squares(data))
    stack.advance(1)
    (error,) = kfac_errors(stack, examples=131).values()
    assert (error < 1e-12).all()
    assert not kfac_errors(stack, largest=7)
    other = stack_of(pair(make_run), small_data)
    with pytest.raises(ValueError, match="keeps no Kronecker factors"):
        kfac_errors(other)
