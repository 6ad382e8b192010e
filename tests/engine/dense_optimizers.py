"""Optimizers written out from their papers: one run, a list of tensors, nothing shared.

Oracles for what ``torch.optim`` does not have. They look like its optimizers: ``step()``
reads ``p.grad`` and the rate in ``param_groups[0]["lr"]``.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from trainables.forward import Network

NETWORK = Network.of(nn.Identity())
"""For methods that do not look at it."""


def quadratic(factor: float) -> Any:
    """What stands for a step's ``Curvature`` where there is no network: the Hessian is a multiple
    of the identity."""
    return SimpleNamespace(
        hessian=lambda params: lambda v: {name: factor * tensor for name, tensor in v.items()},
        signs=lambda params, call=0: {name: torch.ones_like(p) for name, p in params.items()},
        sampled_gradient=lambda params, call=0: {
            name: torch.full_like(p, factor) for name, p in params.items()
        },
        network=NETWORK,
        batch=SimpleNamespace(targets=torch.zeros(1, 13, dtype=torch.int64)),
        restrict=lambda tree: tree,
    )


class Dense:
    """Calls ``one(tensor, gradient, its state, rate)`` for every tensor."""

    loss = 0.0

    def __init__(self, params: list[Tensor], config: Any) -> None:
        self.params = [p.detach() for p in params]
        self.leaves = params
        self.config = config
        self.param_groups = [{"lr": config.lr}]
        self.state: list[dict[str, Any]] = [{} for _ in params]
        self.t = 0

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        for p, leaf, state in zip(self.params, self.leaves, self.state, strict=True):
            p.copy_(self.one(p.clone(), leaf.grad, state, self.param_groups[0]["lr"]))

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        raise NotImplementedError


class SgdW(Dense):
    """Loshchilov & Hutter 2019, Algorithm 1, with the rate outside of the momentum."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        m = state["m"] = c.momentum * state.get("m", 0) + g
        return p - lr * m - lr * c.weight_decay * p


class Lion(Dense):
    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        m = state.get("m", torch.zeros_like(p))
        state["m"] = c.beta2 * m + (1 - c.beta2) * g
        return p - lr * ((c.beta1 * m + (1 - c.beta1) * g).sign() + c.weight_decay * p)


class Lars(Dense):
    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        if p.dim() > 1 or not c.skip_vectors:
            lr *= c.trust * p.norm() / (g.norm() + c.weight_decay * p.norm())
            g = g + c.weight_decay * p
        state["v"] = c.momentum * state.get("v", torch.zeros_like(p)) + lr * g
        return p - state["v"]


class Lamb(Dense):
    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        m = state["m"] = c.beta1 * state.get("m", 0) + (1 - c.beta1) * g
        v = state["v"] = c.beta2 * state.get("v", 0) + (1 - c.beta2) * g * g
        r = m / (1 - c.beta1**self.t) / ((v / (1 - c.beta2**self.t)).sqrt() + c.eps)
        if p.dim() > 1 or not c.skip_vectors:
            r = r + c.weight_decay * p
            r = r * p.norm() / r.norm()
        return p - lr * r


class Muon(Dense):
    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        if p.dim() < 2:
            m = state["m"] = c.beta1 * state.get("m", 0) + (1 - c.beta1) * g
            v = state["v"] = c.beta2 * state.get("v", 0) + (1 - c.beta2) * g * g
            m, v = m / (1 - c.beta1**self.t), v / (1 - c.beta2**self.t)
            return p - lr * c.adam_ratio * m / (v.sqrt() + c.eps)
        m = state["m"] = c.momentum * state.get("m", 0) + (1 - c.momentum) * g
        x = (c.momentum * m + (1 - c.momentum) * g if c.nesterov else m).reshape(len(p), -1)
        rows, columns = x.shape
        # The iteration is odd in x, so it acts on the singular values alone.
        u, s, vt = torch.linalg.svd(x / x.norm(), full_matrices=False)
        for _ in range(c.ns_steps):
            s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
        scale = 0.2 * math.sqrt(max(rows, columns))
        if c.adjust_lr == "original":
            scale = math.sqrt(max(1, rows / columns))
        return p * (1 - lr * c.weight_decay) - lr * scale * (u @ s.diag() @ vt).view(p.shape)


class ScheduleFree(Dense):
    """SGD where the configuration has a momentum, AdamW where it has betas."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        x, z = state.get("x", p), state.get("z", p)
        if hasattr(c, "beta2"):
            v = state["v"] = c.beta2 * state.get("v", 0) + (1 - c.beta2) * g * g
            lr *= math.sqrt(1 - c.beta2**self.t)
            g = g / (v.sqrt() + c.eps)
        state["sum"] = state.get("sum", 0.0) + lr**2
        share = lr**2 / state["sum"]
        z = state["z"] = z - lr * g - lr * c.weight_decay * p
        x = state["x"] = (1 - share) * x + share * z
        beta = c.beta1 if hasattr(c, "beta2") else c.momentum
        return (1 - beta) * z + beta * x

    def averages(self) -> list[Tensor]:
        return [state["x"] for state in self.state]


class WholeVector(Dense):
    """A method that takes all tensors as one vector."""

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        flat = torch.cat([p.flatten() for p in self.params])
        grad = torch.cat([leaf.grad.flatten() for leaf in self.leaves])
        new = self.one(flat, grad, self.state[0], self.param_groups[0]["lr"])
        for p, part in zip(self.params, new.split([p.numel() for p in self.params]), strict=True):
            p.copy_(part.view(p.shape))


class Sps(WholeVector):
    share = 0.25

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        bound = state["last"] * 2**self.share if c.smooth and "last" in state else c.max_step
        state["last"] = min(bound, (self.loss - c.f_star) / (c.c * float(g @ g)))
        return p - lr * state["last"] * g


class Sls(WholeVector):
    """The loss is that of ``test_optimizers._loss``: 1 + ‖θ‖²."""

    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        step = min(lr, state.get("last", lr) * c.growth**Sps.share)
        for _ in range(c.trials - 1):
            q = p - step * g
            if 1 + q @ q <= self.loss - c.c * step * (g @ g):
                break
            step *= c.backtrack
        state["last"] = step
        return p - step * g


class BarzilaiBorwein(WholeVector):
    def one(self, p: Tensor, g: Tensor, state: dict[str, Any], lr: float) -> Tensor:
        c = self.config
        step = state.get("step", c.first_step)
        if "p" in state:
            s, y = p - state["p"], g - state["g"]
            if s @ y > 0:
                step = float(s @ s / (s @ y) if c.variant == "long" else s @ y / (y @ y))
                step = min(max(step, c.min_step), c.max_step)
        state.update(p=p, g=g.clone(), step=step)
        return p - lr * step * g
