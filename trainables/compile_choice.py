"""Whether a group's step is compiled: as asked, as recorded, or where a measurement says so."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Literal

import torch

from trainables.arrays import Arrays
from trainables.compiled import Program, refusal
from trainables.configs.run import RunConfig, length
from trainables.engine import Stack
from trainables.hyper import hyperparameters
from trainables.stack_width import Choice, Way, release_memory

Compile = Literal["auto", "on", "off"]

_EXPECTED_SECONDS = {"chain": 12.0, "vmap": 90.0}
"""What compiling takes: networks differentiated by hand, and any other (on a CPU)."""
_WORTH = 20
"""The training left must be so many times as long as compiling is expected to take."""
_FASTER = 0.9
"""A compiled step is kept where it takes at most this share of the other's time."""
_WARMUP_STEPS, _TIMED_STEPS, _ROUNDS = 2, 4, 4
_STEPS = 2 * (_WARMUP_STEPS + _TIMED_STEPS * _ROUNDS)


def compile_choice(
    choice: Choice,
    runs: Sequence[RunConfig],
    arrays: Arrays,
    asked: Compile,
    *,
    recorded: bool,
    known: Program | None = None,
) -> tuple[Choice, Program | None]:
    """Adds to how a group is stacked whether its step is compiled, and gives the program.

    Args:
        asked: auto compiles where ``choice`` was measured and the training left is far longer
            than compiling, and keeps the program where it is clearly faster.
        recorded: ``choice`` is that of an earlier session of the pack, and is kept.
        known: the program of an earlier group that these runs could have joined.
    """
    if recorded:
        asked = "on" if choice.compiled else "off"
    choice = dataclasses.replace(choice, compiled=False)
    steps = [length(run.train, arrays.examples // run.train.batch_size) for run in runs]
    refused = refusal(runs)
    if asked == "off" or (asked == "auto" and not _worth(choice, runs, arrays, steps)):
        return choice, None
    if refused is not None:
        return _with(choice, f"not compiled: {refused}"), None
    if known is not None and known.serves(choice.width, names_in_use(runs)):
        return _with(choice, "compiled before", compiled=True), known
    started = time.perf_counter()
    try:
        program = _compiled(runs, arrays, choice.way)
        took = time.perf_counter() - started
        text = f"compiled in {took:.1f} s"
        if asked == "on":
            return _with(choice, text, compiled=True), program
        eager, fast = seconds_beside(runs, arrays, choice, program)
    except Exception as error:  # no C++ compiler, no memory for two stacks, a network it cannot do
        release_memory()
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        return _with(choice, f"not compiled: {why}"), None
    text += f": {1e3 * fast:.3f} against {1e3 * eager:.3f} ms a lane and step"
    if fast > _FASTER * eager or (eager - fast) * sum(steps) < took:
        return _with(choice, f"{text}, not kept"), None
    return _with(choice, text, compiled=True, seconds_per_step=fast), program


def _with(choice: Choice, reason: str, **changes: bool | float) -> Choice:
    return dataclasses.replace(choice, reason=f"{choice.reason}; {reason}", **changes)  # type: ignore[arg-type]


def _worth(choice: Choice, runs: Sequence[RunConfig], arrays: Arrays, steps: Sequence[int]) -> bool:
    """Whether training is long enough, by what a step took as widths were measured."""
    if choice.seconds_per_step is None or min(steps) < _STEPS:
        return False
    left = choice.seconds_per_step * sum(steps)
    if left < _WORTH * min(_EXPECTED_SECONDS.values()):
        return False
    by_hand = Stack(runs[:1], arrays).network.links is not None
    return left >= _WORTH * _EXPECTED_SECONDS["chain" if by_hand else "vmap"]


def compiled_again(runs: Sequence[RunConfig], arrays: Arrays, way: Way) -> Program | None:
    """The program that these runs, a whole group, had; None where it no longer compiles."""
    try:
        return _compiled(runs, arrays, way)
    except Exception:  # the checkpoint came to a machine without a compiler
        return None


def _compiled(runs: Sequence[RunConfig], arrays: Arrays, way: Way) -> Program:
    """The step of a group's widest stack: the same program for the same group and way."""
    names = names_in_use(runs)
    return Stack(runs[: way.width], arrays, unfold=way.unfold, hyper=names).compile()


def names_in_use(runs: Sequence[RunConfig]) -> set[str]:
    """The hyperparameters that are in use in any lane of a group, and so in all its stacks."""
    return {*hyperparameters([run.optimizer for run in runs], torch.device("cpu")), "lr"}


def seconds_beside(
    runs: Sequence[RunConfig], arrays: Arrays, choice: Choice, program: Program
) -> tuple[float, float]:
    """Seconds a lane and step without and with ``program``: the fastest of alternate rounds.

    Of one stack, as memory may not hold two.
    """
    stack = Stack(runs[: choice.width], arrays, unfold=choice.unfold, program=program)
    best = [math.inf, math.inf]

    def seconds(index: int, steps: int) -> float:
        stack.program = (None, program)[index]
        _synchronize(arrays)
        started = time.perf_counter()
        stack.advance(stack.ends[stack.updates + steps])
        _synchronize(arrays)
        return time.perf_counter() - started

    for index in (0, 1):
        seconds(index, _WARMUP_STEPS)
    for _ in range(_ROUNDS):
        for index in (0, 1):
            best[index] = min(best[index], seconds(index, _TIMED_STEPS))
    eager, fast = (least / _TIMED_STEPS / stack.lanes for least in best)
    return eager, fast


def _synchronize(arrays: Arrays) -> None:
    if arrays.train[0].is_cuda:
        torch.cuda.synchronize()
