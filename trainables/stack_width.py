"""How many lanes train in one stack: all, one, or what a measurement says is fastest."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

from trainables.arrays import Arrays
from trainables.configs.run import RunConfig, length
from trainables.engine import Stack

_WARMUP_STEPS, _TIMED_STEPS, _ROUNDS = 2, 4, 2
_SHARE_OF_TRAINING = 0.02
"""Time spent on measuring, as a share of what the pack would take one lane at a time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """The width of a group's stacks, and why."""

    lanes: int
    width: int
    strategy: str
    reason: str
    seconds_per_step: float | None = None
    """Measured seconds for one step of one lane at the width chosen."""


def choose_width(
    runs: Sequence[RunConfig],
    arrays: Arrays,
    strategy: Literal["auto", "fused", "sequential"],
    width: int | None,
) -> Choice:
    """Fused: all lanes in one stack. Sequential: one lane a stack. Auto: measured.

    A given ``width`` (of an earlier session of the same pack) is kept, whatever was fastest.
    """
    lanes = len(runs)
    if width is not None:
        return Choice(lanes, min(width, lanes), strategy, "as recorded")
    if strategy != "auto":
        return Choice(lanes, 1 if strategy == "sequential" else lanes, strategy, "as asked")
    steps = [length(run.train, arrays.examples // run.train.batch_size) for run in runs]
    if lanes == 1 or min(steps) < _WARMUP_STEPS + _TIMED_STEPS * _ROUNDS:
        return Choice(lanes, lanes, "fused", "too little to measure")
    return _measured(runs, arrays, sum(steps))


def _measured(runs: Sequence[RunConfig], arrays: Arrays, lane_steps: int) -> Choice:
    """Times one lane, then ever wider stacks, while the time set aside lasts.

    On a CPU the best width is where a stack's activations still fit the cache, so widths
    between one and all are tried, too.
    """
    lanes = len(runs)
    times = {1: _seconds_per_lane_step(runs, arrays, 1)}
    budget = _SHARE_OF_TRAINING * times[1] * lane_steps
    spent, width, full = 0.0, 1, False
    while width < lanes:
        width = min(width * 4 if width < 16 else width * 2, lanes)
        expected = times[max(times)] * width * (_WARMUP_STEPS + _TIMED_STEPS * _ROUNDS)
        if spent + expected > budget:
            break
        started = time.perf_counter()
        try:
            times[width] = _seconds_per_lane_step(runs, arrays, width)
        except torch.OutOfMemoryError:
            full = True
            break
        spent += time.perf_counter() - started
        if times[width] > 1.3 * min(times.values()):
            break
    if full:
        release_memory()
    best = min(times, key=lambda w: times[w])
    even = math.ceil(lanes / math.ceil(lanes / best))
    figures = ", ".join(f"{w}: {1e3 * seconds:.3f}" for w, seconds in times.items())
    strategy = "sequential" if even == 1 else "fused"
    limit = f"; {width} do not fit the memory" if full else ""
    reason = f"ms a lane and step by width: {figures}{limit}"
    return Choice(lanes, even, strategy, reason, times[best])


def _seconds_per_lane_step(runs: Sequence[RunConfig], arrays: Arrays, width: int) -> float:
    """The fastest of a few rounds of steps, per step and lane."""
    stack = Stack(runs[:width], arrays)
    stack.advance(_WARMUP_STEPS)
    best = math.inf
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        stack.advance(stack.step + _TIMED_STEPS)
        if arrays.train[0].is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best / _TIMED_STEPS / width


def release_memory() -> None:
    """Gives the device what PyTorch keeps of freed tensors, after it ran out of memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def split_evenly(items: Sequence[T], width: int) -> list[list[T]]:
    """Parts of at most ``width``, as even as can be, in order."""
    parts = math.ceil(len(items) / width)
    edges = [round(index * len(items) / parts) for index in range(parts + 1)]
    return [list(items[a:b]) for a, b in itertools.pairwise(edges)]
