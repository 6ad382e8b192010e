"""How many lanes train in one stack: all, one, or what a measurement says is fastest."""

from __future__ import annotations

import dataclasses
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
from trainables.memory import Forecast, forecast

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
    compiled: bool = False
    """Whether the step is compiled (``compile_choice``)."""


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
    at_once: int | None = None
    """Stacks that are trained at a time, as memory holds no more; None: all, in rotation."""
    compiled: bool = False

    @property
    def way(self) -> Way:
        return Way(self.width, self.unfold, self.compiled)


def choose_way(
    runs: Sequence[RunConfig],
    arrays: Arrays,
    strategy: Literal["auto", "fused", "sequential"],
    way: Way | None,
    memory: int | None = None,
    repeats: float = 1.0,
) -> Choice:
    """Fused: all lanes in one stack. Sequential: one lane a stack. Auto: measured.

    A given ``way`` (of an earlier session of the same pack) is kept, whatever was fastest.

    Args:
        memory: bytes that the group may take; stacks that would take more are made narrower,
            and wait for each other where not all can be kept.
        repeats: how many times as much is to be trained in the same way; pays for measuring.
    """
    lanes = len(runs)
    if way is not None:
        choice = Choice(
            lanes,
            min(way.width, lanes),
            way.unfold,
            strategy,
            "as recorded",
            compiled=way.compiled,
        )
        return _within(choice, _forecast(runs, arrays, memory, unfold=way.unfold), keep=True)
    if strategy != "auto":
        width = 1 if strategy == "sequential" else lanes
        choice = Choice(lanes, width, False, strategy, "as asked")
        return _within(choice, _forecast(runs, arrays, memory))
    per_epoch = arrays.examples // runs[0].train.batch_size
    steps = [_steps(run, per_epoch) for run in runs]
    if lanes == 1 or min(steps) < _STEPS:
        choice = Choice(lanes, lanes, False, "fused", "too little to measure")
        return _within(choice, _forecast(runs, arrays, memory))
    return _measured(runs, arrays, round(repeats * sum(steps)), memory)


def _forecast(
    runs: Sequence[RunConfig], arrays: Arrays, memory: int | None, *, unfold: bool = False
) -> Forecast | None:
    if memory is None or len(runs) == 1:
        return None
    return forecast(runs, arrays, memory, unfold=unfold)


def _within(choice: Choice, room: Forecast | None, *, keep: bool = False) -> Choice:
    """The choice as far as memory allows; with ``keep`` its width stays, and stacks wait."""
    if room is None:
        return choice
    width = choice.width if keep else _even(choice.lanes, min(choice.width, room.widest()))
    why = room.reason(width)
    return dataclasses.replace(
        choice,
        width=width,
        at_once=room.at_once(width),
        reason=f"{choice.reason}; {why}" if why else choice.reason,
    )


def _even(lanes: int, width: int) -> int:
    """The width of as many stacks, where all are about equally wide."""
    return math.ceil(lanes / math.ceil(lanes / width))


def _steps(run: RunConfig, per_epoch: int) -> int:
    return len(step_ends(run.train, per_epoch, length(run.train, per_epoch))) - 1


def _measured(
    runs: Sequence[RunConfig], arrays: Arrays, lane_steps: int, memory: int | None
) -> Choice:
    """On a CPU the best width is where a stack's activations still fit the cache, so widths
    between one and all are tried, too."""
    lanes = len(runs)
    room = None if memory is None else Forecast(lanes, memory)
    look = _Look(runs, arrays, room)
    times, limit = time_widths(
        lanes, look.seconds, lane_steps, most=None if room is None else room.widest
    )
    if limit is not None:
        release_memory()
    best = narrowest(times)
    figures = ", ".join(f"{w}: {1e3 * seconds:.3f}" for w, seconds in times.items())
    unfolded = _Look(runs, arrays, None if memory is None else Forecast(lanes, memory), unfold=True)
    product_seconds = unfolded.seconds_if_it_fits(best) if look.convolves and best > 1 else math.inf
    unfold = product_seconds < _FASTER * times[best]
    if math.isfinite(product_seconds):
        figures += f"; convolutions as products: {1e3 * product_seconds:.3f}"
    full = "" if limit is None else f"; {limit} do not fit the memory"
    choice = Choice(
        lanes,
        _even(lanes, best),
        unfold,
        "sequential" if _even(lanes, best) == 1 else "fused",
        f"ms a lane and step by width: {figures}{full}",
        min(times[best], product_seconds),
    )
    return _within(choice, unfolded.room if unfold else room)


def time_widths(
    lanes: int,
    seconds: Callable[[int], float],
    lane_steps: int,
    most: Callable[[], int] | None = None,
) -> tuple[dict[int, float], int | None]:
    """Times one lane, then ever wider stacks, while the time set aside lasts.

    Args:
        seconds: (width) → what one step takes a lane; timing happens in it.
        lane_steps: steps to train, summed over the lanes.
        most: the widest stack that fits the memory, as far as is known by then.

    Returns:
        Seconds a lane and step by width, and the width that did not fit the memory, if one did.
    """
    seconds(1)  # what a process does for the first time is slow, and would count against it
    times = {1: seconds(1)}
    left = _SHARE_OF_TRAINING * times[1] * lane_steps
    width = 1
    while width < lanes:
        wider = min(width * 4 if width < 16 else width * 2, lanes)
        if most is not None:
            wider = min(wider, most())
        if wider <= width:
            break
        width = wider
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


def clock(device: torch.device) -> Callable[[], float]:
    """What steps are timed by, in seconds: the processor time of this thread where it does all the
    work, else the time of day.

    A look takes milliseconds, and time that other work has the core would count against whatever
    width was looked at then.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.thread_time if alone else time.perf_counter


class _Look:
    """Times stacks of a group, and notes what they take of the memory where that is limited."""

    def __init__(
        self,
        runs: Sequence[RunConfig],
        arrays: Arrays,
        room: Forecast | None,
        *,
        unfold: bool = False,
    ) -> None:
        self.room = room
        self.convolves = False
        """Whether the network has convolutions, once it was looked at."""
        self._runs = runs
        self._arrays = arrays
        self._unfold = unfold

    def seconds(self, width: int) -> float:
        """The fastest of a few rounds of steps, per step and lane."""
        stack = Stack(self._runs[:width], self._arrays, unfold=self._unfold)
        self.convolves = has_convolutions(stack.network.module)
        if self.room is not None:
            self.room.observe(stack)
        stack.advance(stack.ends[_WARMUP_STEPS])
        now = clock(self._arrays.train[0].device)
        best = math.inf
        for _ in range(_ROUNDS):
            started = now()
            stack.advance(stack.ends[stack.updates + _TIMED_STEPS])
            if self._arrays.train[0].is_cuda:
                torch.cuda.synchronize()
            best = min(best, now() - started)
        return best / _TIMED_STEPS / width

    def seconds_if_it_fits(self, width: int) -> float:
        """Infinite where the memory does not hold it, which one lane foretells."""
        try:
            if self.room is not None:
                self.room.observe(Stack(self._runs[:1], self._arrays, unfold=self._unfold))
                if self.room.widest() < width:
                    return math.inf
            return self.seconds(width)
        except torch.OutOfMemoryError:
            release_memory()
            return math.inf


def attempt(stack: Stack, until: int) -> Exception | None:
    """Advances the stack to a step; what it raised (out of memory, a user's code).

    A step's results are assigned once it is complete, so the stack is whole after a failure.
    """
    try:
        stack.advance(until)
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
