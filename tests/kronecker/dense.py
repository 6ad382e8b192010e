"""K-FAC and E-KFAC of one run, written out: matrices G ⊗ A of a layer's whole size, example by
example, with NumPy's solver and eigenvectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.curvature.sampling import numbers

Array = npt.NDArray[np.float64]


class Dense:
    """One lane of ``module``, whose factored layers are its linear ones."""

    def __init__(self, module: nn.Module, config: Any) -> None:
        self.module, self.config = module, config
        self.linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
        self.momentum = [torch.zeros_like(p) for p in module.parameters()]
        self.step_count = self.looks = 0
        self.A: list[Array] = [np.zeros(()) for _ in self.linear]
        self.G: list[Array] = [np.zeros(()) for _ in self.linear]

    def step(self, x: Tensor, y: Tensor, key: Tensor, rate: float) -> None:
        c = self.config
        self.module.zero_grad()
        F.cross_entropy(self.module(x), y).backward()
        if self.step_count % c.statistics_every == 0:
            self.examples = self._examples(x, y, key)
            self.looks += 1
            self.keep = min(1 - 1 / self.looks, c.stat_decay)
            for k, rows in enumerate(self.examples):
                a = sum(w * np.outer(a, a) for w, a, _ in rows) / len(x)
                g = sum(w * np.outer(g, g) for w, _, g in rows) / len(x)
                self.A[k] = self.keep * self.A[k] + (1 - self.keep) * a
                self.G[k] = self.keep * self.G[k] + (1 - self.keep) * g
        self.curve(looked=self.step_count % c.statistics_every == 0)
        self._descend(rate)
        self.step_count += 1

    def _examples(
        self, x: Tensor, y: Tensor, key: Tensor
    ) -> list[list[tuple[float, Array, Array]]]:
        """For each layer (weight, (a, 1), g) of every example and every target it may have."""
        found: list[list[tuple[float, Array, Array]]] = [[] for _ in self.linear]
        draws = numbers(key[None], 1 << 10, (len(x), 1))[0]
        for n in range(len(x)):
            seen: list[tuple[Tensor, Tensor]] = []

            def hook(module: nn.Module, inputs: Any, output: Tensor, seen: Any = seen) -> None:
                seen.append((inputs[0], output))

            handles = [layer.register_forward_hook(hook) for layer in self.linear]
            z = self.module(x[n : n + 1])
            for handle in handles:
                handle.remove()
            p = z.detach().softmax(-1)[0]
            for weight, target in self._targets(p, int(y[n]), float(draws[n])):
                loss = F.cross_entropy(z, torch.tensor([target]))
                outputs = [output for _, output in seen]
                gradients = torch.autograd.grad(loss, outputs, retain_graph=True)
                for k, (layer, (a, _)) in enumerate(zip(self.linear, seen, strict=True)):
                    one = a.detach()[0].numpy()
                    if layer.bias is not None:
                        one = np.append(one, 1.0)
                    found[k].append((weight, one, gradients[k][0].numpy()))
        return found

    def _targets(self, p: Tensor, label: int, draw: float) -> list[tuple[float, int]]:
        if self.config.fisher == "empirical":
            return [(1.0, label)]
        if self.config.fisher == "exact":
            return [(float(share), c) for c, share in enumerate(p)]
        total = 0.0
        for c, share in enumerate(p):
            total += float(share)
            if draw <= total:
                return [(1.0, c)]
        return [(1.0, len(p) - 1)]

    def renews(self) -> bool:
        c, early = self.config, self.step_count < self.config.inverse_every
        return self.step_count % (c.statistics_every if early else c.inverse_every) == 0

    def curve(self, *, looked: bool) -> None:
        raise NotImplementedError

    def direction(self, k: int, gradient: Array) -> Array:
        """Of layer k's gradient as a row of numbers, (out · in,)."""
        raise NotImplementedError

    @torch.no_grad()
    def _descend(self, rate: float) -> None:
        c, steps, grads = self.config, {}, {}
        for p in self.module.parameters():
            assert p.grad is not None
            decays = not c.decoupled and (p.dim() > 1 or not c.skip_vectors)
            grads[id(p)] = steps[id(p)] = p.grad + (c.weight_decay * p if decays else 0)
        for k, layer in enumerate(self.linear):
            parts = [grads[id(layer.weight)]]
            if layer.bias is not None:
                parts.append(grads[id(layer.bias)][:, None])
            whole = torch.cat(parts, 1)
            found = torch.tensor(self.direction(k, whole.flatten().numpy())).view(whole.shape)
            steps[id(layer.weight)] = found[:, : layer.in_features]
            if layer.bias is not None:
                steps[id(layer.bias)] = found[:, -1]
        nu = 1.0
        if c.kl_clip:
            divergence = rate**2 / 2 * sum(float((steps[i] * grads[i]).sum()) for i in grads)
            nu = min(1.0, math.sqrt(c.kl_clip / divergence))
        for p, m in zip(self.module.parameters(), self.momentum, strict=True):
            m.mul_(c.momentum).add_(nu * steps[id(p)])
            if c.decoupled and (p.dim() > 1 or not c.skip_vectors):
                p.mul_(1 - rate * c.weight_decay)
            p.sub_(rate * m)


class Kfac(Dense):
    def curve(self, *, looked: bool) -> None:
        if self.renews():
            self.blocks = []
            for a, g in zip(self.A, self.G, strict=True):
                pi = 1.0
                if self.config.pi:
                    pi = math.sqrt((np.trace(a) / len(a)) / (np.trace(g) / len(g)))
                root = math.sqrt(self.config.damping)
                damped = a + pi * root * np.eye(len(a)), g + root / pi * np.eye(len(g))
                self.blocks.append(np.kron(damped[1], damped[0]))

    def direction(self, k: int, gradient: Array) -> Array:
        return np.linalg.solve(self.blocks[k], gradient)


class Ekfac(Dense):
    def curve(self, *, looked: bool) -> None:
        if self.renews():
            old = getattr(self, "U", None)
            self.U = [
                np.kron(np.linalg.eigh(g)[1], np.linalg.eigh(a)[1])
                for a, g in zip(self.A, self.G, strict=True)
            ]
            if old is None:
                self.S = [np.zeros(len(u)) for u in self.U]
            else:  # what diag(S) in the old basis has on its diagonal in the new one
                self.S = [
                    np.diag(new.T @ was @ np.diag(s) @ was.T @ new)
                    for new, was, s in zip(self.U, old, self.S, strict=True)
                ]
        if looked:
            for k, rows in enumerate(self.examples):
                count = sum(w for w, _, _ in rows)  # of an example's targets they sum to 1
                mean = sum(w * (self.U[k].T @ np.kron(g, a)) ** 2 for w, a, g in rows) / count
                self.S[k] = self.keep * self.S[k] + (1 - self.keep) * mean

    def direction(self, k: int, gradient: Array) -> Array:
        turned = self.U[k].T @ gradient / (self.S[k] + self.config.damping)
        return self.U[k] @ turned


DENSE = {"kfac": Kfac, "ekfac": Ekfac}
