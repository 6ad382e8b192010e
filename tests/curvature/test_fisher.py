"""Gradients by the outputs, loss by loss, against the losses that train and their Hessians."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from trainables.configs.run import LossName
from trainables.curvature.fisher import RESIDUALS, ROOTS, predictions
from trainables.curvature.products import OUTPUT_HESSIANS
from trainables.losses import LOSSES

L, B, C = 3, 7, 5


def _case(loss: str) -> tuple[Tensor, Tensor]:
    """Outputs and targets that go with a loss."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(L, B, 1 if loss == "logistic" else C, generator=generator, dtype=torch.float64)
    if loss in ("quadratic", "bernoulli"):
        return z, torch.rand(z.shape, generator=generator, dtype=torch.float64)
    return z, torch.randint(2 if loss == "logistic" else C, (L, B), generator=generator)


@pytest.mark.parametrize("loss", get_args(LossName))
def test_residuals_are_the_gradients_of_single_losses(loss: str) -> None:
    z, y = _case(loss)
    torch.testing.assert_close(RESIDUALS[loss](z, y), LOSSES[loss](z, y).gradient * predictions(z))


@pytest.mark.parametrize("loss", get_args(LossName))
def test_roots_are_of_the_hessian(loss: str) -> None:
    z, _ = _case(loss)
    v = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = sum(s * (s * v).sum(-1, keepdim=True) for s in ROOTS[loss](z))
    torch.testing.assert_close(found, OUTPUT_HESSIANS[loss](z, v) * predictions(z))
