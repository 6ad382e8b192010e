"""Planted studies of schedules, for the tests of their sections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.report.stores import RATES

NAMES = ("constant", "cosine", "linear")
SCHEDULES = [{"name": name} for name in NAMES]
Chosen = dict[str, Any]


def noise(*key: object, scale: float = 0.01) -> float:
    """A number of its own for each key, the same in each process."""
    seed = [ord(letter) for letter in repr(key)]
    return float(scale * np.random.default_rng(seed).normal())


def shared(seed: int) -> float:
    """What all runs of a seed have in common: an unpaired comparison would drown in it."""
    return 0.3 * seed


def bowl(chosen: Chosen, best: float = 0.1, width: float = 1.0) -> float:
    return 1 + (math.log10(chosen["optimizer.lr"] / best) / width) ** 2


def name_of(chosen: Chosen) -> str:
    return str(chosen["schedule"]["name"])


def axes(**more: list[Any]) -> dict[str, list[Any]]:
    return {
        "optimizer.lr": RATES,
        "schedule": SCHEDULES,
        **{k.replace("__", "."): v for k, v in more.items()},
    }


def winner(gap: float, shift: float = 1.0) -> Any:
    """Cosine is ahead by ``gap`` at its best rate, which differs from rule to rule."""

    def planted(chosen: Chosen, seed: int) -> float:
        best = {"constant": 0.03, "cosine": 0.3, "linear": 0.1}[name_of(chosen)]
        behind = 0.0 if name_of(chosen) == "cosine" else gap
        return bowl(chosen, best) + behind + shift * shared(seed) + noise(name_of(chosen), seed)

    return planted
