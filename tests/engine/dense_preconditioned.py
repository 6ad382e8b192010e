"""Shampoo and AdaHessian written out from their papers, one run at a time, nothing batched."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor

from tests.engine.dense_optimizers import Dense


def power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ (values**exponent).diag() @ vectors.T


class Shampoo(Dense):
    """By one matrix for a block as a whole: (M₁ ⊗ M₂ ⊗ …)^(−1/2k) vec(G)."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        u = self.diagonal(g, state)
        if p.dim() > 1:
            whole = g.flatten(1) if c.kernels == "matrix" else g
            found = self.preconditioned(whole, state).view(g.shape)
            if self.t > c.start:
                scale = 1.0 if c.grafting == "none" else float(u.norm() / found.norm())
                u = scale * found
        m = state["momentum"] = c.momentum * state.get("momentum", 0) + u
        step = u + c.momentum * m if c.nesterov else m
        return p * (1 - lr * c.weight_decay) - lr * step

    def diagonal(self, g: Tensor, state: dict[str, Any]) -> Tensor:
        c, v = self.config, state.get("v", 0)
        if c.grafting == "sgd" or (c.grafting == "none" and g.dim() > 1):
            return g
        if c.grafting == "adagrad":
            v = v + g**2
        elif c.grafting == "none":
            v = v + g**2 if c.decay == 1 else c.decay * v + (1 - c.decay) * g**2
        else:
            v = c.diagonal_decay * v + (1 - c.diagonal_decay) * g**2
        state["v"] = v
        if c.grafting == "adam":
            v = v / (1 - c.diagonal_decay**self.t)
        return g / (v**0.5 + c.diagonal_eps)

    def preconditioned(self, g: Tensor, state: dict[str, Any]) -> Tensor:
        c, found = self.config, torch.empty_like(g)
        starts = [range(0, size, c.block_size) for size in g.shape]
        for corner in itertools.product(*starts):
            at = tuple(slice(i, i + c.block_size) for i in corner)
            found[at] = self.block(g[at], state.setdefault(corner, {}))
        return found

    def block(self, g: Tensor, state: dict[str, Any]) -> Tensor:
        c = self.config
        if (self.t - 1) % c.statistics_every == 0:
            for dim in range(g.dim()):
                rows = g.transpose(0, dim).flatten(1)
                old = state.get(dim, torch.zeros(len(rows), len(rows), dtype=g.dtype))
                new = rows @ rows.T
                state[dim] = old + new if c.decay == 1 else c.decay * old + (1 - c.decay) * new
        since = self.t - 1 - c.start
        if since >= 0 and since % c.preconditioner_every == 0:
            damped = []
            for dim in range(g.dim()):
                largest = torch.linalg.eigvalsh(state[dim])[-1]
                damped.append(state[dim] + (c.eps + c.ridge * largest) * torch.eye(g.shape[dim]))
            state["root"] = power(functools.reduce(torch.kron, damped), -1 / (2 * g.dim()))
        return (state["root"] @ g.flatten()).view(g.shape) if "root" in state else g


class AdaHessian(Dense):
    """``diagonal`` of a step is given: the mean of z ⊙ Hz over samples, for each tensor."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        if (self.t - 1) % c.hessian_every == 0:
            d = state["diagonal"]
            if c.average_kernels and p.dim() > 2:
                dims = tuple(range(2, p.dim()))
                d = d.abs().mean(dims, keepdim=True).expand(p.shape)
            state["v"] = c.beta2 * state.get("v", 0) + (1 - c.beta2) * d**2
            state["n"] = state.get("n", 0) + 1
        m = state["m"] = c.beta1 * state.get("m", 0) + (1 - c.beta1) * g
        v = state["v"] / (1 - c.beta2 ** state["n"])
        step = m / (1 - c.beta1**self.t) / (v.sqrt() ** c.hessian_power + c.eps)
        return p * (1 - lr * c.weight_decay) - lr * step


class Sophia(Dense):
    """``diagonal`` of a step is given: its ĥ, for each tensor."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        if (self.t - 1) % c.hessian_every == 0:
            state["h"] = c.beta2 * state.get("h", 0) + (1 - c.beta2) * state["diagonal"]
        m = state["m"] = c.beta1 * state.get("m", 0) + (1 - c.beta1) * g
        size = (c.rho * state["h"]).clamp(min=c.eps)
        return p * (1 - lr * c.weight_decay) - lr * (m / size).clamp(-1, 1)
