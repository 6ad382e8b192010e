"""One lane's loss on one batch as a function of a vector, and methods written out with it.

Nothing here is stacked, and every matrix is there as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.curvature.vectors import flat, unflat
from trainables.data import DataSet
from trainables.engine import Stack
from trainables.lanes import Tree

CPU = torch.device("cpu")


def stack_of(runs: list[RunConfig], data: DataSet, dtype: torch.dtype = torch.float64) -> Stack:
    return Stack(runs, Arrays.of(data, CPU, dtype))


def vector(stack: Stack, lane: int) -> Tensor:
    """A lane's weights, (P,)."""
    return flat(stack.params, stack.params)[lane].clone()


@dataclass(frozen=True)
class Lane:
    """f(v) = mean loss of the batch + ½δ|v|², without the entries that decay spares."""

    stack: Stack
    lane: int
    step: int

    @cached_property
    def config(self) -> Any:
        return self.stack.runs[self.lane].optimizer

    @cached_property
    def x(self) -> Tensor:
        return self.stack.batch(self.step).x[self.lane]

    @cached_property
    def y(self) -> Tensor:
        return self.stack.batch(self.step).targets[self.lane]

    @cached_property
    def decay(self) -> Tensor:
        """δ of each entry, (P,)."""
        sparing = self.config.skip_vectors
        parts = [
            torch.full_like(p[0], self.config.weight_decay * (p.dim() > 2 or not sparing))
            for p in self.stack.params.values()
        ]
        return torch.cat([part.flatten() for part in parts])

    def outputs(self, v: Tensor) -> Tensor:
        like: Tree = {n: p[:1] for n, p in self.stack.params.items()}
        module = self.stack.network.module
        result: Tensor = torch.func.functional_call(module, unflat(v, like), (self.x,))
        return result

    def of_outputs(self, z: Tensor) -> Tensor:
        """Each example's loss."""
        if self.stack.runs[self.lane].train.loss == "quadratic":
            return (z - self.y).square().sum(-1) / 2
        return F.cross_entropy(z, self.y, reduction="none")

    def loss(self, v: Tensor) -> Tensor:
        return self.of_outputs(self.outputs(v)).mean() + (self.decay * v * v).sum() / 2

    def value(self, v: Tensor) -> float:
        with torch.no_grad():
            return float(self.loss(v))

    def gradient(self, v: Tensor) -> Tensor:
        leaf = v.clone().requires_grad_()
        (found,) = torch.autograd.grad(self.loss(leaf), leaf)
        return found

    def hessian(self, v: Tensor) -> Tensor:
        found: Tensor = torch.autograd.functional.hessian(self.loss, v, vectorize=True)
        return found

    def rows(self, of: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
        found: Tensor = torch.autograd.functional.jacobian(of, v, vectorize=True)
        return found

    def gauss_newton(self, v: Tensor) -> Tensor:
        """Jᵀ H_f J / B, H_f of each example, with the decay."""
        rows, z = self.rows(self.outputs, v), self.outputs(v)
        if self.stack.runs[self.lane].train.loss == "quadratic":
            curve = torch.eye(z.shape[-1], dtype=z.dtype).expand(len(z), -1, -1)
        else:
            p = z.softmax(-1)
            curve = p.diag_embed() - p.unsqueeze(2) * p.unsqueeze(1)
        return torch.einsum("nip,nij,njq->pq", rows, curve, rows) / len(z) + self.decay.diag()

    def fisher(self, v: Tensor) -> Tensor:
        """(1/B) Σ_n Σ_y p_y ∇log p_y ∇log p_yᵀ: the model's expectation, class by class."""
        rows = self.rows(lambda at: self.outputs(at).log_softmax(-1), v)
        p = self.outputs(v).softmax(-1)
        return torch.einsum("ny,nyp,nyq->pq", p, rows, rows) / len(p) + self.decay.diag()

    def example_gradients(self, v: Tensor) -> Tensor:
        """(B, P), of the loss without decay."""
        return self.rows(lambda at: self.of_outputs(self.outputs(at)), v)


def adapted(damping: float, ratio: float, factor: float) -> float:
    if ratio > 0.75:
        return damping / factor
    return damping * factor if ratio < 0.25 else damping
