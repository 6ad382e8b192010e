"""How many lanes train in one stack: all, one, or what a measurement says is fastest."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import torch

from trainables.arrays import Arrays
from trainables.configs.run import RunConfig, length, step_ends
from trainables.convolution import has_convolutions
from trainables.engine import Stack

_WARMUP_STEPS, _TIMED_STEPS, _ROUNDS = 2, 4, 2
_STEPS = _WARMUP_STEPS + _TIMED_STEPS * _ROUNDS
_SHARE_OF_TRAINING = 0.02
"""Time spent on measuring, as a share of what the pack would take one lane at a time."""
_FASTER = 0.95
"""Convolutions become matrix products where a step then takes less than this share."""
_TIE = 1.15
"""Widths that take at most so many times the fastest one's time count as equally fast."""
_SLOWER = 1.3
"""A width that takes so many times the best one's time ends the search."""

T = TypeVar("T")


class Way(NamedTuple):
    """How a group is stacked: what of a choice decides bits."""

    width: int
    """Lanes in a stack, at most."""
    unfold: bool = False
    """Whether convolutions are done as matrix products."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a group is stacked, and why."""

    lanes: int
    width: int
    unfold: bool
    strategy: str
    reason: str
    seconds_per_step: float | None = None
    """Measured seconds for one step of one lane at the width chosen."""

    @property
    def way(self) -> Way:
        return Way(self.width, self.unfold)


def choose_way(
    runs: Sequence[RunConfig],
    arrays: Arrays,
    strategy: Literal["auto", "fused", "sequential"],
    way: Way | None,
) -> Choice:
    """Fused: all lanes in one stack. Sequential: one lane a stack. Auto: measured.

    A given ``way`` (of an earlier session of the same pack) is kept, whatever was fastest.
    """
    lanes = len(runs)
    if way is not None:
        return Choice(lanes, min(way.width, lanes), way.unfold, strategy, "as recorded")
    if strategy != "auto":
        width = 1 if strategy == "sequential" else lanes
        return Choice(lanes, width, False, strategy, "as asked")
    per_epoch = arrays.examples // runs[0].train.batch_size
    steps = [_steps(run, per_epoch) for run in runs]
    if lanes == 1 or min(steps) < _STEPS:
        return Choice(lanes, lanes, False, "fused", "too little to measure")
    return _measured(runs, arrays, sum(steps))


def _steps(run: RunConfig, per_epoch: int) -> int:
    return len(step_ends(run.train, per_epoch, length(run.train, per_epoch))) - 1


def _measured(runs: Sequence[RunConfig], arrays: Arrays, lane_steps: int) -> Choice:
    """On a CPU the best width is where a stack's activations still fit the cache, so widths
    between one and all are tried, too."""
    lanes = len(runs)
    times, limit = time_widths(
        lanes, lambda width: _seconds_per_lane_step(runs, arrays, width), lane_steps
    )
    if limit is not None:
        release_memory()
    best = narrowest(times)
    even = math.ceil(lanes / math.ceil(lanes / best))
    figures = ", ".join(f"{w}: {1e3 * seconds:.3f}" for w, seconds in times.items())
    strategy = "sequential" if even == 1 else "fused"
    unfolded = _unfolded_seconds(runs, arrays, best) if best > 1 else math.inf
    unfold = unfolded < _FASTER * times[best]
    if math.isfinite(unfolded):
        figures += f"; convolutions as products: {1e3 * unfolded:.3f}"
    full = "" if limit is None else f"; {limit} do not fit the memory"
    reason = f"ms a lane and step by width: {figures}{full}"
    return Choice(lanes, even, unfold, strategy, reason, min(times[best], unfolded))


def time_widths(
    lanes: int, seconds: Callable[[int], float], lane_steps: int
) -> tuple[dict[int, float], int | None]:
    """Times one lane, then ever wider stacks, while the time set aside lasts.

    Args:
        seconds: (width) → what one step takes a lane; timing happens in it.
        lane_steps: steps to train, summed over the lanes.

    Returns:
        Seconds a lane and step by width, and the width that did not fit the memory, if one did.
    """
    seconds(1)  # what a process does for the first time is slow, and would count against it
    times = {1: seconds(1)}
    left = _SHARE_OF_TRAINING * times[1] * lane_steps
    width = 1
    while width < lanes:
        width = min(width * 4 if width < 16 else width * 2, lanes)
        left -= times[max(times)] * width * _STEPS
        if left < 0:
            break
        try:
            slower = _time_against_best(times, width, seconds)
        except torch.OutOfMemoryError:
            return times, width
        if slower:
            break
    return times, None


def narrowest(times: Mapping[int, float]) -> int:
    """The narrowest width about as fast as the fastest.

    A wider stack must earn its memory: what is timed is one stack whose weights stay in the
    cache, which several of them share when all lanes train.
    """
    fastest = min(times.values())
    return min(width for width, seconds in times.items() if seconds <= _TIE * fastest)


def _time_against_best(
    times: dict[int, float], width: int, seconds: Callable[[int], float]
) -> bool:
    """Adds ``width`` to ``times``; whether it is clearly slower than the best so far.

    What looks slower is timed again beside the best: other work on the machine may have
    disturbed the first look, and a search that ends there would cost the whole pack.
    """
    best = min(times, key=lambda w: times[w])
    times[width] = seconds(width)
    if times[width] > _SLOWER * times[best]:
        of_best = seconds(width) / seconds(best)
        times[width] = min(times[width], times[best] * of_best)
    return times[width] > _SLOWER * times[best]


def _unfolded_seconds(runs: Sequence[RunConfig], arrays: Arrays, width: int) -> float:
    """What a step takes a lane with convolutions as products; infinite without convolutions."""
    one = Stack(runs[:1], arrays)
    if not has_convolutions(one.network.module):
        return math.inf
    try:
        return _seconds_per_lane_step(runs, arrays, width, unfold=True)
    except torch.OutOfMemoryError:
        release_memory()
        return math.inf


def _seconds_per_lane_step(
    runs: Sequence[RunConfig], arrays: Arrays, width: int, *, unfold: bool = False
) -> float:
    """The fastest of a few rounds of steps, per step and lane."""
    stack = Stack(runs[:width], arrays, unfold=unfold)
    stack.advance(stack.ends[_WARMUP_STEPS])
    best = math.inf
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        stack.advance(stack.ends[stack.updates + _TIMED_STEPS])
        if arrays.train[0].is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best / _TIMED_STEPS / width


def attempt(stack: Stack) -> Exception | None:
    """Advances the stack to its next stop; what it raised (out of memory, a user's code).

    A step's results are assigned once it is complete, so the stack is whole after a failure.
    """
    try:
        stack.advance(stack.next_stop())
        if stack.arrays.train[0].is_cuda:
            torch.cuda.synchronize()
    except Exception as error:  # anything that a user's module may raise
        return error
    return None


def release_memory() -> None:
    """Gives the device what PyTorch keeps of freed tensors, after it ran out of memory."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def split_evenly(items: Sequence[T], width: int) -> list[list[T]]:
    """Parts of at most ``width``, as even as can be, in order."""
    parts = math.ceil(len(items) / width)
    edges = [round(index * len(items) / parts) for index in range(parts + 1)]
    return [list(items[a:b]) for a, b in itertools.pairwise(edges)]
