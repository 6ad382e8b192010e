"""Which points are better than others in everything: non-dominated sorting."""

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


def pareto_ranks(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """0 for points on the front, 1 for those on the front of the rest, and so on (Deb et al. 2002,
    section III.A, with the front of each round found by :func:`pareto_front`).

    Args:
        points: (n, k), smaller is better, all finite.
    """
    ranks = np.full(len(points), -1)
    rank = 0
    while (left := np.flatnonzero(ranks < 0)).size:
        ranks[left[pareto_front(points[left])]] = rank
        rank += 1
    return ranks
