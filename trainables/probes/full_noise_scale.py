"""The whole noise scale, with the Hessian: exact, for networks and training sets that are small.

McCandlish, Kaplan, Amodei et al. 2018 (arXiv 1812.06162), section 2.2: B_noise = tr(HΣ) / (Gᵀ H G),
which B_simple = tr Σ / |G|² approximates as if H were a multiple of the identity. A check on what
training measures (``noise_scale``), which sees no Hessian.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from trainables import averaging
from trainables.curvature.objective import Objective
from trainables.curvature.products import Product, hessian
from trainables.engine import Stack
from trainables.gradients import Batch, batch_gradients, in_parts
from trainables.lanes import Tree, dot
from trainables.losses import LOSSES
from trainables.pruning.masks import masked

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FullNoiseScale:
    """Of each lane, (L,): G and H of the mean loss over the training set, Σ the covariance of
    one example's gradient (Σ_i (g_i − G)(g_i − G)ᵀ / (N − 1))."""

    trace: Column
    """tr Σ."""
    gradient: Column
    """|G|²."""
    curved_trace: Column
    """tr(HΣ)."""
    curvature: Column
    """Gᵀ H G; it may be negative where the loss is not convex, and B_noise then is."""

    @property
    def full(self) -> Column:
        """B_noise, in examples."""
        scale: Column = self.curved_trace / self.curvature
        return scale

    @property
    def simple(self) -> Column:
        """B_simple, in examples. What is measured of batches has |G|² smaller by tr Σ / N: they
        are drawn without replacement, and tell of the distribution behind the training set."""
        scale: Column = self.trace / self.gradient
        return scale


def full_noise_scale(stack: Stack) -> FullNoiseScale:
    """B_noise and B_simple of every lane at the weights that it trains, over the training set.

    tr(HΣ) = Σ_i (g_i − G)ᵀ H (g_i − G) / (N − 1): for each of the N examples a gradient, and a
    product with the Hessian of the whole set, one more pass back through one graph. Masked weights
    are no part of it. The loss is the one that is measured (labels are not smoothed), of examples
    as they are (not augmented), and products are in the type of the weights.

    Raises:
        ValueError: the loss is no mean over examples of a function of the weights, as with batch
            normalization or dropout.
    """
    network = stack.network
    if averaging.norms(network.module) or network.dropout:
        raise ValueError("batch normalization and dropout leave one example no gradient of its own")
    x, y = stack.arrays.train
    lanes, count = stack.lanes, len(x)
    keys = torch.zeros(lanes, dtype=torch.int64, device=x.device)
    whole = Batch(x.expand(lanes, *x.shape), y.expand(lanes, *y.shape), keys, None)
    product, mean = _hessian(stack, whole)
    trace, curved_trace = torch.zeros(2, lanes, dtype=torch.float64, device=x.device)
    loss = LOSSES[stack.runs[0].train.loss]
    for example in in_parts(whole, count):
        with torch.no_grad():
            own = batch_gradients(network, stack.params, stack.buffers, example, loss, 1).tree
            away = {name: g - mean[name] for name, g in masked(own, stack.masks).items()}
        trace += dot(away, away)
        curved_trace += dot(away, product(away))
    found = trace / (count - 1), dot(mean, mean), curved_trace / (count - 1)
    values = torch.stack([*found, dot(mean, product(mean))]).cpu().numpy()
    names = ("trace", "gradient", "curved_trace", "curvature")
    return FullNoiseScale(**dict(zip(names, values, strict=True)))


def _hessian(stack: Stack, batch: Batch) -> tuple[Product, Tree]:
    """v → H v of each lane's mean loss on the batch, and its gradient; masked weights are 0."""
    objective = Objective(stack.network, stack.buffers, batch, stack.runs[0].train.loss)
    product, gradient = hessian(objective, stack.params)
    return lambda vector: masked(product(vector), stack.masks), masked(gradient, stack.masks)
