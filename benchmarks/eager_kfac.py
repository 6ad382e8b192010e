"""K-FAC of one run as one writes it by hand: eager PyTorch, hooks, an optimizer. A baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.configs.kronecker import Kfac


def multinomial(logits: Tensor) -> Tensor:
    return logits.softmax(-1).multinomial(1).squeeze(-1)


class EagerKfac:
    """A network of linear layers and its K-FAC, with what ``trainables`` does for a lane.

    Targets for the factors are drawn from the outputs of the training pass, so that only the way
    back is taken twice, and only in steps that look at the factors.
    """

    def __init__(
        self, model: nn.Module, config: Kfac, draw: Callable[[Tensor], Tensor] = multinomial
    ) -> None:
        self.model, self._config, self._draw = model, config, draw
        self._layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        self._seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._factors: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._inverses: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._momentum = [torch.zeros_like(p) for p in model.parameters()]
        self._steps = self._looks = 0

    def train_step(self, x: Tensor, y: Tensor) -> Tensor:
        """One step; its loss."""
        looks = self._steps % self._config.statistics_every == 0
        hooks = [layer.register_forward_hook(self._see) for layer in self._layers if looks]
        outputs = self.model(x)
        for hook in hooks:
            hook.remove()
        if looks:
            self._look(outputs)
        early = looks and self._steps < self._config.inverse_every
        if early or self._steps % self._config.inverse_every == 0:
            self._invert()
        loss = cross_entropy(outputs, y)
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._descend()
        self._steps += 1
        return loss.detach()

    def _see(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._seen[module] = inputs[0].detach(), output

    def _look(self, outputs: Tensor) -> None:
        loss = cross_entropy(outputs, self._draw(outputs.detach()), reduction="sum")
        made = [self._seen[layer][1] for layer in self._layers]
        gradients = torch.autograd.grad(loss, made, retain_graph=True)
        self._looks += 1
        keep = min(1 - 1 / self._looks, self._config.stat_decay)
        for layer, g in zip(self._layers, gradients, strict=True):
            a = self._seen[layer][0]
            if layer.bias is not None:
                a = torch.cat([a, a.new_ones(len(a), 1)], 1)
            new = a.T @ a / len(a), g.T @ g / len(g)
            old = self._factors.get(layer, new)
            self._factors[layer] = old[0].lerp(new[0], 1 - keep), old[1].lerp(new[1], 1 - keep)
        self._seen.clear()

    def _invert(self) -> None:
        root = self._config.damping**0.5
        for layer, (a, g) in self._factors.items():
            pi = ((a.trace() / len(a)) / (g.trace() / len(g))).sqrt() if self._config.pi else 1.0
            damped = a + pi * root * torch.eye(len(a)), g + root / pi * torch.eye(len(g))
            first, second = (torch.cholesky_inverse(torch.linalg.cholesky(m)) for m in damped)
            self._inverses[layer] = first, second

    @torch.no_grad()
    def _descend(self) -> None:
        config = self._config
        parameters = [*self.model.parameters()]
        grads = [_gradient(p).add(p, alpha=config.weight_decay) for p in parameters]
        steps, known = list(grads), {id(p): i for i, p in enumerate(parameters)}
        for layer in self._layers:
            places = [known[id(p)] for p in (layer.weight, layer.bias) if p is not None]
            parts = [grads[i] if grads[i].dim() > 1 else grads[i].unsqueeze(1) for i in places]
            a, g = self._inverses[layer]
            found = g @ torch.cat(parts, 1) @ a
            steps[places[0]] = found[:, : layer.in_features]
            if len(places) > 1:
                steps[places[1]] = found[:, -1]
        factor: float | Tensor = 1.0
        if config.kl_clip:
            product = torch.stack([(s * g).sum() for s, g in zip(steps, grads, strict=True)]).sum()
            factor = (2 * config.kl_clip / (config.lr**2 * product)).sqrt().clamp(max=1)
        for p, m, step in zip(parameters, self._momentum, steps, strict=True):
            m.mul_(config.momentum).add_(factor * step)
            p.sub_(m, alpha=config.lr)


def _gradient(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad
