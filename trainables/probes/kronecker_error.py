"""How far a layer's Kronecker product is from the curvature that it stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.curvature.layers import factored
from trainables.curvature.products import Product
from trainables.engine import Stack
from trainables.lanes import Tree, square_norm
from trainables.probes.examples import chunks, curvature


def layer_block(product: Product, params: Tree, weight: str, bias: str | None = None) -> Tensor:
    """The block of a small layer in each lane's matrix M, (L, n, n) with n = out · in.

    Entries are those of the weight as a matrix (out, in), row by row (of a convolution in is
    channels times places of the kernel). A bias is one more column of it, the last. One
    product an entry.
    """
    rows, columns = params[weight].shape[1], params[weight][0, 0].numel()
    width = columns + (bias is not None)
    found = []
    for row in range(rows):
        for column in range(width):
            unit = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
            if column < columns:
                unit[weight].flatten(2)[:, row, column] = 1
            else:
                assert bias is not None
                unit[bias][:, row] = 1
            out = product(unit)
            matrix = out[weight].flatten(2)
            if bias is not None:
                matrix = torch.cat([matrix, out[bias].unsqueeze(2)], 2)
            found.append(matrix.flatten(1))
    return torch.stack(found, 2)


def kronecker_error(block: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
    """‖F − G ⊗ A‖ / ‖F‖ in each lane, (L,) float64, in the Frobenius norm; ∞ where F is 0.

    Args:
        block: F, (L, n, n), its rows and columns those of (out, in), as ``layer_block`` has them.
        outputs: G, (L, out, out).
        inputs: A, (L, in, in).
    """
    product = torch.einsum("lab,lcd->lacbd", outputs, inputs).reshape(block.shape)
    error, size = square_norm({"": block - product}), square_norm({"": block})
    return (error / size).sqrt()


def kfac_errors(stack: Stack, *, examples: int = 512, largest: int = 1000) -> Tree:
    """‖F − G ⊗ A‖ / ‖F‖ of each layer of a stack that K-FAC or E-KFAC trains, (L,) float64 each.

    G and A are the running factors, as the optimizer last looked at them; F is the layer's block of
    the Gauss–Newton matrix at the weights now, over at most so many training examples. So the
    error is of the product (Martens & Grosse 2015, section 3), of averages and of draws together.

    Args:
        largest: entries of a layer beyond which it is left out: F has their square.

    Raises:
        ValueError: the stack's optimizer keeps no factors.
    """
    state = stack.state
    if not {"inputs", "outputs"} <= state.keys():
        raise ValueError(f"{stack.runs[0].optimizer.name} keeps no Kronecker factors")
    product = curvature(stack, "gauss_newton", chunks(stack, examples))
    found = {}
    for layer in factored(stack.network):
        if layer.inputs * layer.outputs <= largest:
            block = layer_block(product, stack.params, layer.weight, layer.bias)
            inputs, outputs = state["inputs"][layer.name], state["outputs"][layer.name]
            found[layer.name] = kronecker_error(block, outputs, inputs)
    return found
