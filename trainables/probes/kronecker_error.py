"""How far a layer's Kronecker product is from the curvature that it stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.curvature.products import Product
from trainables.lanes import Tree, square_norm


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
