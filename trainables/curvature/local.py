"""The loss of a step's batch around the weights: what second-order optimizers ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.curvature import products, sampling
from trainables.curvature.objective import Objective
from trainables.curvature.products import Product
from trainables.forward import Network, training_losses, training_pass
from trainables.gradients import Batch, batch_gradients
from trainables.lanes import Tree
from trainables.losses import Loss


@dataclass(frozen=True, slots=True)
class Curvature:
    """Derivatives of each lane's loss on one batch, at any weights. Nothing leaves a trace.

    Trees are like the parameters, (L, …). Masked weights are no part of the network: what is given
    must be 0 there, and what is found is. Dropout is that of the step, wherever one looks.
    ``accumulate`` holds for ``gradient`` and ``sampled_gradient``; the other ones take the batch
    as a whole, so that batch normalization sees all of it.
    """

    network: Network
    buffers: Tree
    batch: Batch
    """Without a loss scale."""
    name: str
    """Of the loss (``MEAN_LOSSES``)."""
    label_smoothing: float
    loss: Loss
    """With label smoothing."""
    parts: int
    """``train.accumulate``."""
    restrict: Callable[[Tree], Tree]
    """A tree with 0 where weights are masked."""

    @property
    def objective(self) -> Objective:
        """The loss as a function for autograd."""
        return Objective(self.network, self.buffers, self.batch, self.name, self.label_smoothing)

    def losses(self, params: Tree) -> Tensor:
        """(L,): a forward pass."""
        batch = self.batch
        return training_losses(
            self.network, params, self.buffers, batch.x, batch.targets, self.loss, batch.keys
        )

    def gradient(self, params: Tree) -> tuple[Tensor, Tree]:
        """Losses (L,) and their gradient: as in training, and as fast."""
        found = batch_gradients(
            self.network, params, self.buffers, self.batch, self.loss, self.parts
        )
        return found.losses, self.restrict(found.tree)

    def hessian(self, params: Tree) -> Product:
        """v → H v. Two passes now, and one a product."""
        product, _ = products.hessian(self.objective, params)
        return lambda vector: self.restrict(product(vector))

    def gauss_newton(self, params: Tree) -> Product:
        """v → Jᵀ H_f J v. Two passes now, and two a product."""
        product = products.gauss_newton(self.objective, params)
        return lambda vector: self.restrict(product(vector))

    def drawn(self, params: Tree, call: int = 0) -> Batch:
        """The batch with targets drawn from the model's own predictions."""
        batch = self.batch
        with torch.no_grad():
            outputs, _ = training_pass(self.network, params, self.buffers, batch.x, batch.keys)
        return batch._replace(targets=sampling.drawn(self.name, outputs, batch.keys, call))

    def sampled_gradient(self, params: Tree, call: int = 0) -> Tree:
        """The mean gradient ĝ over a batch whose targets are the model's own (``drawn``).

        B · E[ĝ ⊙ ĝ] is the diagonal of the Gauss–Newton matrix (Martens 2020, section 5).
        """
        found = batch_gradients(
            self.network, params, self.buffers, self.drawn(params, call), self.loss, self.parts
        )
        return self.restrict(found.tree)

    def signs(self, params: Tree, call: int = 0) -> Tree:
        """Rademacher vectors z, ±1: E[z ⊙ M z] = diag(M), E[zᵀ M z] = tr(M) (Hutchinson 1990)."""
        return self.restrict(sampling.signs(params, self.batch.keys, call))
