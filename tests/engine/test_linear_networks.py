"""Deep linear networks against what is known of them exactly: dynamics, optimum, rank."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs import RunConfig, Train
from trainables.configs.data import MatrixFactorization
from trainables.configs.models import DeepLinear
from trainables.configs.optimizers import Sgd
from trainables.data import load
from trainables.engine import Stack

ROWS, COLUMNS, RANK = 11, 7, 3
DATA = MatrixFactorization(rows=ROWS, columns=COLUMNS, rank=RANK, seed=1)


def _stack(hidden: int, rates: list[float], steps: int, momentum: float = 0.0) -> Stack:
    """Full-batch descent on ‖W₂W₁ − M‖² / (2 rows), a lane for each rate."""
    train = Train(steps=steps, batch_size=ROWS, loss="quadratic", precision="float64")
    runs = [
        RunConfig(
            data=DATA,
            model=DeepLinear(hidden=(hidden,)),
            optimizer=Sgd(lr=lr, momentum=momentum),
            train=train,
            seed=seed,
        )
        for seed, lr in enumerate(rates)
    ]
    return Stack(runs, Arrays.of(load(DATA), torch.device("cpu"), torch.float64))


def _modes() -> tuple[Tensor, Tensor, Tensor]:
    """U (columns, rank), s (rank,) and V (rows, rank) of M = U diag(s) Vᵀ."""
    target = torch.tensor(load(DATA).train_y).double().T
    u, s, vt = torch.linalg.svd(target, full_matrices=False)
    return u[:, :RANK], s[:RANK], vt[:RANK].T


def test_modes_are_learned_as_saxe_mcclelland_and_ganguli_have_it() -> None:
    """Descent converges to their exact solution of the gradient flow, at first order in the rate.

    Whitened inputs, W₁ = R diag(√u₀) Vᵀ and W₂ = U diag(√u₀) Rᵀ: each mode goes its own way,
    τ du/dt = 2u(s − u) with τ = rows, so u(t) = s e^(2st/τ) / (e^(2st/τ) − 1 + s/u₀)
    (2014, equation 12; there t counts examples with rate λ = 1/τ, here t = step × rate).
    """
    u, s, v = _modes()
    start = torch.tensor([0.0005, 0.2, 0.11], dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(5, RANK, dtype=torch.float64)).Q
    steps, rate = 400, 0.02
    stack = _stack(5, [rate, rate / 2, rate / 4], 4 * steps)
    stack.params["0.weight"][:] = (rotation * start.sqrt()) @ v.T
    stack.params["2.weight"][:] = u @ (rotation * start.sqrt()).T
    growth = (2 * s * steps * rate / ROWS).exp()
    expected = s * growth / (growth - 1 + s / start)
    assert bool(((expected > 1.5 * start) & (expected < 0.97 * s)).all()), "under way in every mode"
    errors = []
    for lane in range(3):
        stack.advance(steps * 2**lane)  # the same time for lane 0, 1 and 2
        product = stack.params["2.weight"][lane] @ stack.params["0.weight"][lane]
        modes = u.T @ product @ v
        assert (modes - modes.diag().diag()).abs().max() < 1e-13, "modes stay apart"
        errors.append((modes.diag() - expected) / expected)
    assert errors[2].abs().max() < 0.03
    for coarse, fine in ((errors[0], errors[1]), (errors[1], errors[2])):
        torch.testing.assert_close(coarse / fine, torch.full_like(s, 2.0), rtol=0.05, atol=0)
    # Richardson: the first order cancels, and what is left is a quarter each time.
    second = [2 * errors[1] - errors[0], 2 * errors[2] - errors[1]]
    assert bool((second[1].abs() < 0.3 * second[0].abs()).all())


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_the_optimum_is_the_best_approximation_of_that_rank(hidden: int) -> None:
    """From any start: there are no bad minima (Baldi & Hornik 1989), and by Eckart and Young
    the least loss is Σ_{i > hidden} s_i² / (2 rows), at the truncated singular values."""
    u, s, v = _modes()
    stack = _stack(hidden, [0.8, 1.2], 3000, momentum=0.9)
    stack.advance(3000)
    metrics, _ = stack.evaluate()
    least = float(s[hidden:].square().sum()) / (2 * ROWS)
    best = (u[:, :hidden] * s[:hidden]) @ v[:, :hidden].T
    for lane in range(2):
        assert metrics["valid/loss"][lane] == pytest.approx(least, rel=1e-9, abs=1e-12)
        found = stack.params["2.weight"][lane] @ stack.params["0.weight"][lane]
        torch.testing.assert_close(found, best, rtol=1e-5, atol=1e-6)
    assert np.isfinite(metrics["valid/r2"]).all()
