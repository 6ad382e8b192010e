"""One optimizer step of a stack as a function of tensors: what is trained, and may be compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainables import precision
from trainables.clipping import Bounds, clip
from trainables.configs.optimizers import Optimizer as OptimizerConfig
from trainables.configs.run import RunConfig
from trainables.curvature.local import Curvature
from trainables.forward import Network
from trainables.gradients import Batch, batch_gradients, uphill
from trainables.lanes import State, Tree, square_norm
from trainables.losses import Loss, training_loss
from trainables.optimizers import OPTIMIZERS, Context, Optimizer
from trainables.pruning.masks import masked


@dataclass(frozen=True, slots=True)
class Method:
    """What the lanes of a stack share: no tensor of it changes a number."""

    network: Network
    loss: Loss
    """With label smoothing."""
    loss_name: str
    label_smoothing: float
    optimizer: Optimizer
    config: OptimizerConfig
    """For what lanes share (flags such as ``nesterov``)."""
    parts: int
    """``train.accumulate``."""

    @classmethod
    def of(cls, network: Network, run: RunConfig) -> Method:
        """That of any lane of the stack."""
        train, optimizer = run.train, OPTIMIZERS[run.optimizer.name]
        loss = training_loss(train.loss, train.label_smoothing)
        names = train.loss, train.label_smoothing
        return cls(network, loss, *names, optimizer, run.optimizer, train.accumulate)

    def init(self, params: Tree) -> State:
        """The optimizer's state before the first step.

        Raises:
            ValueError: the optimizer does not do for the network.
        """
        return self.optimizer.init(params, self.config, self.network)


class Inputs(NamedTuple):
    """All tensors that a step reads, (L, …) each."""

    params: Tree
    state: State
    buffers: Tree
    batch: Batch
    hyper: Tree
    """Hyperparameters at this step, (L,) float64."""
    scale: Tree
    bounds: Bounds
    sam: Tensor | None
    """Radius of sharpness-aware minimization, (L,) float64."""
    masks: Tree
    """Weights that train, as ``pruning.masks.bits``; the others are 0, and stay so."""


class Squares(NamedTuple):
    """Square norms of gradients, float64: as they are before clipping, 0 where masked."""

    parts: Tensor
    """Of each part of the batch, (P, L)."""
    whole: Tensor
    """Of their mean, (L,)."""


class Found(NamedTuple):
    """What the batch of every lane says of some weights."""

    losses: Tensor
    scores: Tensor
    gradients: Tree
    """Of the loss without its scale; 0 where masked."""
    buffers: Tree
    squares: Squares | None


class Outcome(NamedTuple):
    """What a step makes of them."""

    params: Tree
    state: State
    buffers: Tree
    scale: Tree
    gradients: Tree
    """As they were before clipping; 0 where masked."""
    losses: Tensor
    scores: Tensor
    squares: Squares | None = None
    """Where the step was watched: at the weights that it begins with, SAM or not."""


def train_step(
    method: Method, inputs: Inputs, share: float, updates: int = 0, *, watched: bool = False
) -> Outcome:
    """The gradients of a batch and the optimizer's update. Nothing given is changed.

    Masked weights are no part of the network: their gradients are 0 before anything looks at them
    (clipping, SAM's way uphill, loss scaling, the optimizer's norms), and they are 0 after the
    update, whatever it gives to all of a matrix (Muon) or makes of 0/0.

    Args:
        share: examples of the batch / training examples.
        updates: optimizer steps before this one; only a step that is not compiled looks at them.
        watched: also gives the gradients' square norms; the batch is trained in parts.
    """
    params = inputs.params
    found = gradients_at(method, inputs, params, watched=watched)
    gradients = found.gradients
    if inputs.sam is not None:
        gradients = gradients_at(method, inputs, uphill(params, gradients, inputs.sam)).gradients
    around = Curvature(
        network=method.network,
        buffers=inputs.buffers,
        batch=inputs.batch._replace(scale=None),
        name=method.loss_name,
        label_smoothing=method.label_smoothing,
        loss=method.loss,
        parts=method.parts,
        restrict=lambda tree: masked(tree, inputs.masks),
    )
    context = Context(method.config, found.losses, share, around.losses, updates, around)
    clipped = clip(gradients, inputs.bounds)
    new, state = method.optimizer.update(clipped, inputs.state, params, inputs.hyper, context)
    new = masked(new, inputs.masks)
    scale = inputs.scale
    if scale:
        good = precision.finite(gradients)
        new = precision.kept_where(good, new, params)
        state = precision.kept_states(good, state, inputs.state)
        scale = precision.next_scale(scale, good)
    losses, scores, _, buffers, squares = found
    return Outcome(new, state, buffers, scale, gradients, losses, scores, squares)


def gradients_at(method: Method, inputs: Inputs, params: Tree, *, watched: bool = False) -> Found:
    """What the batch of every lane says at ``params``.

    Args:
        watched: also gives the gradients' square norms; the batch is taken in parts.
    """

    def true(tree: Tree) -> Tree:
        return masked(precision.unscaled(tree, inputs.scale), inputs.masks)

    def square(tree: Tree) -> Tensor:
        return square_norm(true(tree))

    found = batch_gradients(
        method.network,
        params,
        inputs.buffers,
        inputs.batch,
        method.loss,
        method.parts,
        square if watched else None,
    )
    tree = true(found.tree)
    squares = Squares(torch.stack(found.seen), square_norm(tree)) if watched else None
    return Found(found.losses, found.scores, tree, found.buffers, squares)
