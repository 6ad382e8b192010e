"""What passes through a network's layers on a batch: their inputs, and gradients by their outputs.

A chain is differentiated by hand. In any other network, a forward hook records what a layer is
given and adds zeros, the tap, to what it makes of it: the derivative by the tap is that by the
layer's output, in all lanes at once. No gradient by a weight is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainables import chain
from trainables.configs.kronecker import Fisher
from trainables.curvature.fisher import output_gradients, predictions
from trainables.curvature.layers import Layer
from trainables.curvature.local import Curvature
from trainables.forward import lane_pass
from trainables.gradients import Batch, in_parts
from trainables.lanes import Tree

Taps = dict[str, list[Tensor]]


@dataclass(frozen=True, slots=True)
class Passes:
    """Of one layer on one batch."""

    uses: list[tuple[Tensor, list[Tensor]]]
    """For every time that the layer was called: its inputs (L, N, …), and the gradients by its
    outputs (L, N, …) for each of ``output_gradients``."""
    predictions: int
    """What the gradients' squares are to be divided by."""

    def rows(self, layer: Layer) -> tuple[Tensor, list[Tensor]]:
        """Inputs (L, N, T, in) and gradients (L, N, T, out) of all calls."""
        inputs = _joined([layer.input_rows(x) for x, _ in self.uses])
        found = zip(*(gradients for _, gradients in self.uses), strict=True)
        return inputs, [_joined([layer.output_rows(g) for g in one]) for one in found]


def _joined(rows: list[Tensor]) -> Tensor:
    if len(rows) == 1:
        return rows[0]
    if len({len(row[0]) for row in rows}) > 1:  # not of the same examples
        return torch.cat([row.flatten(1, 2).unsqueeze(2) for row in rows], 1)
    return torch.cat(rows, 2)


def layer_passes(
    curvature: Curvature, params: Tree, fisher: Fisher, layers: Sequence[Layer]
) -> list[dict[str, Passes]]:
    """The passes of each layer by its name, for each part of the batch (``train.accumulate``).

    Layers that the network does not call are left out. All in the type of the weights.
    """
    kind = next(iter(params.values())).dtype

    def starts(batch: Batch, outputs: Tensor) -> list[Tensor]:
        loss = curvature.loss
        return output_gradients(fisher, curvature.name, loss, outputs.detach().to(kind), batch)

    found = []
    for part in in_parts(curvature.batch, curvature.parts):
        made = partial(starts, part)
        if curvature.network.links is not None:
            found.append(_of_chain(curvature.network.links, params, part, layers, made))
        else:
            found.append(_of_module(curvature, params, part, layers, made))
    return found


Starts = Callable[[Tensor], list[Tensor]]


def _of_chain(
    links: Sequence[chain.Link], params: Tree, batch: Batch, layers: Sequence[Layer], starts: Starts
) -> dict[str, Passes]:
    found = chain.passes(links, params, batch.x, starts)
    return {layer.name: Passes([found[layer.weight]], batch.x.shape[1]) for layer in layers}


def _of_module(
    curvature: Curvature, params: Tree, batch: Batch, layers: Sequence[Layer], starts: Starts
) -> dict[str, Passes]:
    kind = next(iter(params.values())).dtype
    taps = _taps(curvature, params, batch, layers)
    leaves = [tap for several in taps.values() for tap in several]
    with torch.enable_grad():
        outputs, inputs = _tapped(curvature, params, batch, layers, taps)
    gradients = [_by_taps(outputs, leaves, start) for start in starts(outputs)]
    found, place, size = {}, 0, predictions(outputs)
    for name, seen in inputs.items():
        uses = []
        for x in seen:
            uses.append((x.detach().to(kind), [one[place].to(kind) for one in gradients]))
            place += 1
        if uses:
            found[name] = Passes(uses, size)
    return found


def _by_taps(outputs: Tensor, taps: list[Tensor], start: Tensor) -> Sequence[Tensor]:
    """The graph stays: it is freed with the outputs."""
    return torch.autograd.grad(
        outputs,
        taps,
        start.to(outputs.dtype),
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )


@contextlib.contextmanager
def _hooked(layers: Sequence[Layer], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """``hook(name, module, args, kwargs, output)`` after each call of a layer."""
    handles = [
        layer.module.register_forward_hook(partial(hook, layer.name), with_kwargs=True)
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _taps(curvature: Curvature, params: Tree, batch: Batch, layers: Sequence[Layer]) -> Taps:
    """Zeros like the outputs of each call of a layer: a forward pass of one lane tells them."""
    lanes, found = len(batch.x), {layer.name: list[Tensor]() for layer in layers}

    def hook(name: str, module: Any, args: Any, kwargs: Any, output: Tensor) -> None:
        found[name].append(output.new_zeros(lanes, *output.shape).requires_grad_())

    first, own = _first(params), _first(curvature.buffers)
    curvature.network.module.train()
    with torch.no_grad(), curvature.network.arithmetic(), _hooked(layers, hook):
        lane_pass(curvature.network, first, own, batch.x[0], batch.keys[0])
    return found


def _tapped(
    curvature: Curvature, params: Tree, batch: Batch, layers: Sequence[Layer], taps: Taps
) -> tuple[Tensor, Taps]:
    """Outputs (L, B, …) with a way back to the taps, and the inputs of each call of a layer."""
    network, buffers = curvature.network, curvature.buffers

    def lane(
        params: Tree, buffers: Tree, x: Tensor, key: Tensor, taps: Taps
    ) -> tuple[Tensor, Taps]:
        found = {layer.name: list[Tensor]() for layer in layers}

        def hook(name: str, module: Any, args: Any, kwargs: Any, output: Tensor) -> Tensor:
            tap = taps[name][len(found[name])]
            found[name].append(args[0] if args else kwargs["input"])
            return output + tap

        with _hooked(layers, hook):
            outputs, _ = lane_pass(network, params, buffers, x, key)
        return outputs, found

    network.module.train()
    with network.arithmetic():
        if len(batch.x) > 1:
            found: tuple[Tensor, Taps] = torch.func.vmap(lane)(
                params, buffers, batch.x, batch.keys, taps
            )
            return found
        alone = {name: [tap[0] for tap in several] for name, several in taps.items()}
        outputs, inputs = lane(_first(params), _first(buffers), batch.x[0], batch.keys[0], alone)
    return outputs[None], {name: [x[None] for x in seen] for name, seen in inputs.items()}


def _first(tree: Tree) -> Tree:
    return {name: tensor[0] for name, tensor in tree.items()}
