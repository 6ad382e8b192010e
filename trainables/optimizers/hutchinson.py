"""The Hessian's diagonal, estimated."""

from __future__ import annotations

from trainables.curvature.local import Curvature
from trainables.lanes import Tree


def diagonal(curvature: Curvature, params: Tree, samples: int = 1) -> tuple[Tree, Tree]:
    """The mean of z ⊙ Hz over random signs z: unbiased, exact where H is diagonal.

    Bekas, Kokiopoulou & Saad 2007. Where weights are masked both are 0.

    Returns:
        The estimate, and the last z.
    """
    product = curvature.hessian(params)
    total: Tree = {}
    signs: Tree = {}
    for sample in range(samples):
        signs = curvature.signs(params, sample * len(params))
        found = product(signs)
        total = {
            name: z * found[name] / samples + total[name] if total else z * found[name] / samples
            for name, z in signs.items()
        }
    return total, signs
