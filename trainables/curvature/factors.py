"""The Kronecker factors of layers' Fisher matrices, and its diagonal in their eigenbases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.curvature.layer_passes import Passes
from trainables.curvature.layers import Layer
from trainables.lanes import Tree


def factors(
    parts: Sequence[dict[str, Passes]], layers: Sequence[Layer], params: Tree
) -> tuple[Tree, Tree]:
    """A (L, in, in) and G (L, out, out) of each layer, by its name; its Fisher matrix is G ⊗ A.

    With a row a of a layer's inputs and g of the gradients by its outputs, of each prediction's
    own loss, N examples, T places each, P predictions:

        A = Σ a aᵀ / (N T),   G = Σ g gᵀ / P

    Martens & Grosse 2015, equation 1; of convolutions Grosse & Martens 2016, equations 26–29,
    where 1/T stands with G: their product is the same. Layers that see a sequence are treated as
    convolutions are, places taken as independent: KFAC-expand of Eschenhagen et al. 2023,
    equation 22. So are several calls of one layer.

    Both are plain means over examples: over a batch in parts they are the mean of the parts', as
    they would be over workers with parts of equal size.
    """
    inputs, outputs = Tree(), Tree()
    for layer in layers:
        pairs = [_pair(part[layer.name], layer) for part in parts if layer.name in part]
        a, g = zip(*(pairs or [_zeros(layer, params)]), strict=True)
        inputs[layer.name], outputs[layer.name] = _mean(a), _mean(g)
    return inputs, outputs


def _pair(passes: Passes, layer: Layer) -> tuple[Tensor, Tensor]:
    inputs, gradients = passes.rows(layer)
    flat = inputs.flatten(1, 2)
    outer: Tensor | None = None
    for g in gradients:
        outer = _with_squares(g.flatten(1, 2), passes.predictions, outer)
    assert outer is not None
    return _with_squares(flat, flat.shape[1], None), outer


def _with_squares(rows: Tensor, count: int, total: Tensor | None) -> Tensor:
    """total + Σ row rowᵀ / count of rows (L, N, n): (L, n, n), divided within the product."""
    start, beta = (rows.new_zeros(1), 0) if total is None else (total, 1)
    return torch.baddbmm(start, rows.mT, rows, beta=beta, alpha=1 / count)


def _zeros(layer: Layer, params: Tree) -> tuple[Tensor, Tensor]:
    """Of a layer that is never called."""
    weight = params[layer.weight]
    a, g = (weight.new_zeros(len(weight), n, n) for n in (layer.inputs, layer.outputs))
    return a, g


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack([*tensors]).mean(0)


def projected_squares(
    parts: Sequence[dict[str, Passes]], layers: Sequence[Layer], bases: tuple[Tree, Tree]
) -> Tree:
    """Σ (Q_Gᵀ ∇ Q_A)² / P over the gradients ∇ = Σ_T g aᵀ of examples, (L, out, in) of each layer.

    The diagonal of the Fisher matrix in the basis Q_G ⊗ Q_A (George et al. 2018, equation 7). Of a
    mean over examples as ``factors`` are.

    Args:
        bases: eigenvectors in columns, (L, in, in) and (L, out, out), by layer.
    """
    found: Tree = {}
    for layer in layers:
        q_in, q_out = (tree[layer.name] for tree in bases)
        seen = [part[layer.name] for part in parts if layer.name in part]
        squares = [_squares(passes, layer, q_in, q_out) for passes in seen]
        nothing = q_in.new_zeros(len(q_in), layer.outputs, layer.inputs)
        found[layer.name] = _mean(squares or [nothing])
    return found


def _squares(passes: Passes, layer: Layer, q_in: Tensor, q_out: Tensor) -> Tensor:
    inputs, gradients = passes.rows(layer)
    turned = _turned(inputs, q_in)
    total = q_in.new_zeros(len(q_in), layer.outputs, layer.inputs)
    for g in gradients:
        back = _turned(g, q_out)
        if turned.shape[2] == 1:  # (u vᵀ)² = u² (v²)ᵀ: no gradient of an example is written down
            total += back.squeeze(2).square().mT @ turned.squeeze(2).square()
        else:
            total += (back.mT @ turned).square().sum(1)
    return total / passes.predictions


def _turned(rows: Tensor, basis: Tensor) -> Tensor:
    """(L, N, T, n) times (L, n, n), as one product a lane."""
    return (rows.flatten(1, 2) @ basis).view(rows.shape)
