"""How many threads train a pack: as many as a measurement says are worth having."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch

from trainables.arrays import Arrays
from trainables.configs.run import RunConfig
from trainables.engine import Stack

_STEPS, _ROUNDS = 3, 2
_FEWEST_STEPS = 100
"""A shorter training is not worth the looks."""
_FASTER = 0.9
"""Twice the threads must take less than this share of the time."""


def choose_threads(run: RunConfig, arrays: Arrays, most: int) -> int:
    """Times one lane with 1, 2, 4, … threads, and leaves PyTorch with what it chose.

    Threads wait for each other at every operation: small ones get slower by them, and all do
    where other work has the cores.
    """
    torch.set_num_threads(1)
    stack = Stack([run], arrays)
    looks = 1 + 2 * _ROUNDS * most.bit_length()
    if len(stack.ends) <= max(_FEWEST_STEPS, looks * (_STEPS + 1)):
        return 1

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        started = 0.0
        for step in range(_STEPS + 1):
            if step == 1:  # the one before wakes the threads
                started = time.perf_counter()
            stack.advance(stack.ends[stack.updates + 1])
        return (time.perf_counter() - started) / _STEPS

    chosen = fastest(seconds, most)
    torch.set_num_threads(chosen)
    return chosen


def fastest(seconds: Callable[[int], float], most: int) -> int:
    """1, 2, 4, … threads, ``most`` at last, while each is clearly faster than the one before.

    Args:
        seconds: (threads) → what a step takes; both of a pair are timed in turn.
    """
    counts = [1 << power for power in range((most - 1).bit_length())]
    seconds(1)  # what a process does for the first time is slow
    for fewer, more in itertools.pairwise([*counts, most]):
        few, many = zip(*((seconds(fewer), seconds(more)) for _ in range(_ROUNDS)), strict=True)
        if min(many) > _FASTER * min(few):
            return fewer
    return most
