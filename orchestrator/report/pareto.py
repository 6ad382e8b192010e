"""Which points are better than others in everything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pareto_front(points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each point is on the front: no other is at least as good in all and better in one.

    Equal points are on it together. Points are visited in lexicographic order, in which none is
    dominated by a later one (Kung, Luccio & Preparata 1975), and compared with the front so far.

    Args:
        points: (n, k), smaller is better, all finite.
    """
    found = np.zeros(len(points), dtype=bool)
    for index in np.lexsort(points.T[::-1]):
        front = points[found]
        no_worse = (front <= points[index]).all(axis=1)
        better = (front < points[index]).any(axis=1)
        found[index] = not (no_worse & better).any()
    return found
