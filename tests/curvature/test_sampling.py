"""What is drawn has the distribution it should have, in each lane for itself."""

from __future__ import annotations

import pytest
import torch

from tests.curvature.around import CLASSES, EXAMPLES, LANES, MODULES, around
from trainables.curvature import matrices, sampling
from trainables.curvature.objective import MEAN_LOSSES
from trainables.curvature.vectors import flat

MANY = 20011


def test_targets_have_the_models_own_distribution() -> None:
    z = torch.tensor([[1.0, -0.5, 2.0, 0.3, -2.0], [0.0, 0.0, 3.0, -1.0, 1.0]], dtype=torch.float64)
    outputs = z.unsqueeze(1).expand(2, MANY, 5)
    keys = torch.tensor([3, 4])
    drawn = sampling.drawn("cross_entropy", outputs, keys, 0)
    assert drawn.shape == (2, MANY)
    for lane in range(2):
        expected = z[lane].softmax(0) * MANY
        counts = torch.bincount(drawn[lane], minlength=5)
        chi = ((counts - expected) ** 2 / expected).sum()
        assert chi < 18.5  # 99.9 % of a chi-square with 4 degrees of freedom
    logits = z[:, :1].unsqueeze(1).expand(2, MANY, 1)
    share = sampling.drawn("logistic", logits, keys, 0).double().mean(1)
    p = z[:, 0].sigmoid()
    assert ((share - p).abs() < 3.5 * (p * (1 - p) / MANY).sqrt()).all()
    real = sampling.drawn("quadratic", outputs, keys, 0) - outputs
    assert real.mean((0, 1)).abs().max() < 4 / (2 * MANY) ** 0.5
    assert (real.var((0, 1)) - 1).abs().max() < 4 * (2 / (2 * MANY)) ** 0.5
    assert abs((real**4).mean() - 3) < 0.1, "a normal distribution's"


def test_signs_are_even_and_independent() -> None:
    params = {"a": torch.zeros(2, 97, 89, dtype=torch.float64), "b": torch.zeros(2, 83)}
    keys = torch.tensor([3, 4])
    first, again, other = (sampling.signs(params, keys, call) for call in (0, 0, 2))
    a = first["a"]
    assert ((a == 1) | (a == -1)).all()
    assert first["b"].dtype == torch.float32
    assert a.equal(again["a"])
    size = a[0].numel()
    bound = 4 / size**0.5
    assert abs(a[0].mean()) < bound
    assert abs((a[0] * a[1]).mean()) < bound, "lanes differ"
    assert abs((a * other["a"]).mean()) < bound, "calls differ"
    assert abs((a[0, 1:] * a[0, :-1]).mean()) < bound, "neighbours differ"


@pytest.mark.parametrize("loss", MEAN_LOSSES)
def test_sampled_gradients_have_the_gauss_newton_diagonal(loss: str) -> None:
    """B · E[ĝ ⊙ ĝ] = diag(G), and E[ĝ] = 0, to four standard errors."""
    found = around(MODULES["chain"], loss, lanes=2)
    params, draws = found.params, 701
    grads = torch.stack(
        [flat(found.curvature.sampled_gradient(params, call), params) for call in range(draws)]
    )
    diagonal = matrices.gauss_newton(found.curvature, params).diagonal(0, 1, 2)
    squares = EXAMPLES * grads.square()
    scores = (squares.mean(0) - diagonal) / (squares.std(0) / draws**0.5)
    assert scores.abs().max() < 5
    assert scores.square().mean() < 2
    means = grads.mean(0) / (grads.std(0) / draws**0.5)
    assert means.square().mean() < 2


def test_what_a_lane_draws_is_its_own() -> None:
    found = around(MODULES["chain"])
    whole = found.curvature.drawn(found.params).targets
    solo = around(
        MODULES["chain"], lanes=1, x=found.batch.x[2:], targets=found.batch.targets[2:]
    ).curvature
    solo = type(solo)(
        **{f: getattr(solo, f) for f in solo.__slots__ if f != "batch"},
        batch=found.batch._replace(
            x=found.batch.x[2:], targets=found.batch.targets[2:], keys=found.batch.keys[2:]
        ),
    )
    alone = solo.drawn({n: p[2:] for n, p in found.params.items()}).targets
    assert alone.equal(whole[2:])
    assert whole.shape == (LANES, EXAMPLES)
    assert whole.max() < CLASSES
    assert not whole.equal(found.curvature.drawn(found.params, 1).targets)


def test_hutchinson_finds_the_diagonal_of_the_hessian() -> None:
    found = around(MODULES["chain"], lanes=2)
    params, draws = found.params, 401
    product = found.curvature.hessian(params)
    seen = []
    for call in range(draws):
        z = found.curvature.signs(params, call * len(params))
        seen.append(flat(z, params) * flat(product(z), params))
    estimates = torch.stack(seen)
    diagonal = matrices.hessian(found.curvature, params).diagonal(0, 1, 2)
    error = (estimates.mean(0) - diagonal) / (estimates.std(0) / draws**0.5 + 1e-12)
    assert error.square().mean() < 2
