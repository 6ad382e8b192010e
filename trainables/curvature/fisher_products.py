"""Products with Fisher matrices that are made of gradients: the empirical one and the sampled one.

F = Σᵢ gᵢ gᵢᵀ / N over the gradients gᵢ of the losses of single predictions (of sequences, one
for each place). With the data's own targets this is the empirical Fisher matrix; with targets drawn
from the model (``sampling.drawn``) its mean is the Fisher matrix, which for the losses here is the
Gauss-Newton matrix (Martens 2020, sections 9 and 11).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.curvature.objective import MEAN_LOSSES, Objective, leaves_of
from trainables.curvature.products import Product, along, back
from trainables.lanes import Tree


def fisher(objective: Objective, params: Tree) -> Product:
    """v → Σᵢ gᵢ (gᵢᵀ v) / N of each lane, for the targets of the objective's batch.

    With J the Jacobian of the N losses by the weights F = JᵀJ / N, and J v is the derivative by u
    of (Jᵀu)ᵀv. Labels are not smoothed.
    """
    leaves = leaves_of(params, params)
    with torch.enable_grad():
        losses = each(objective.loss, objective.outputs(leaves), objective.batch.targets)
        u = torch.zeros_like(losses, requires_grad=True)
        pulled = back(losses, leaves, u, again=True)

    def product(vector: Tree) -> Tree:
        (pushed,) = torch.autograd.grad(along(pulled, vector), u, retain_graph=True)
        return back(losses, leaves, pushed / losses.shape[1])

    return product


def each(loss: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of every single prediction, (L, N).

    Args:
        outputs: (L, B, …, C).
        targets: (L, B, …), or like ``outputs``.
    """
    alone = outputs.reshape(-1, 1, outputs.shape[-1])
    real = targets.dim() == outputs.dim()
    wanted = targets.reshape(alone.shape if real else (-1, 1))
    return MEAN_LOSSES[loss](alone, wanted).view(len(outputs), -1)
