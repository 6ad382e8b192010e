"""A process of the engine's benchmark: it prepares ways to train, and times them when told to."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.eager import EagerRun, Splits
from benchmarks.workloads import WORKLOADS
from trainables.arrays import Arrays
from trainables.compile_choice import Compile, compile_choice
from trainables.engine import Stack
from trainables.memory import keep_freed
from trainables.stack_width import choose_way, split_evenly

Strategy = Literal["auto", "fused", "sequential"]
Way = Literal["eager", "fused", "sequential", "auto", "compiled"]
_STACKS = 4
"""So many stacks are timed in turn where there are more: the others would do the same."""
_LOOKS, _SLOW = 3, 1.0
"""Steps timed beforehand, fewer where one takes so many seconds."""


class Contender(NamedTuple):
    """One way to train the lanes of a workload."""

    way: Way
    processes: int


class Prepared(NamedTuple):
    """What a process will do when told to train."""

    train: Callable[[int], None]
    """Trains every lane prepared for so many steps."""
    lanes: int
    width: int


class Readiness(NamedTuple):
    """What the parent learns of something prepared."""

    lanes: int
    width: int
    seconds: float
    """About the time of one step of all lanes prepared."""


class Span(NamedTuple):
    """When a process started and ended, by the machine's monotonic clock."""

    start: float
    end: float


class Worker:
    """Lives in a process of its own; every public method is called through ``Pool.call``."""

    def __init__(self, rank: int, device: str, barrier: Barrier) -> None:
        if device == "cpu":
            torch.set_num_threads(1)
        keep_freed()  # for the eager loops, too
        self._rank, self._barrier = rank, barrier
        self._device = torch.device(device)
        self._workload = ""
        self._prepared: dict[Contender, Prepared] = {}

    def prepare(self, workload: str, lanes: int, contender: Contender) -> Readiness:
        """Builds what ``contender`` trains, warms it up, and estimates a step."""
        if workload != self._workload:
            self._workload = workload
            data = WORKLOADS[workload].data()
            self._splits = Splits.of(data, self._device)
            self._arrays = Arrays.of(data, self._device, torch.float32)
        prepared = self._eager() if contender.way == "eager" else self._stacks(lanes, contender)
        prepared.train(1)
        self._synchronize()
        seconds = math.inf
        for _ in range(_LOOKS):
            started = time.perf_counter()
            prepared.train(1)
            self._synchronize()
            seconds = min(seconds, time.perf_counter() - started)
            if seconds > _SLOW:
                break
        self._prepared[contender] = prepared
        return Readiness(prepared.lanes, prepared.width, seconds)

    def _eager(self) -> Prepared:
        run = EagerRun(WORKLOADS[self._workload].runs(1)[0], self._splits)

        def train(steps: int) -> None:
            for _ in range(steps):
                run.train_step()

        return Prepared(train, 1, 1)

    def _stacks(self, lanes: int, contender: Contender) -> Prepared:
        """Compiled stacks are as wide as ``auto`` makes them."""
        assert contender.way != "eager"
        runs = WORKLOADS[self._workload].runs(lanes)
        own = split_evenly(runs, math.ceil(lanes / contender.processes))[self._rank]
        compiled = contender.way == "compiled"
        strategy: Strategy = "auto" if contender.way == "compiled" else contender.way
        choice = choose_way(own, self._arrays, strategy, None)
        asked: Compile = "on" if compiled else "off"
        choice, program = compile_choice(choice, own, self._arrays, asked, recorded=False)
        parts = split_evenly(own, choice.width)[:_STACKS]
        stacks = [
            Stack(part, self._arrays, unfold=choice.unfold, program=program) for part in parts
        ]

        def train(steps: int) -> None:
            for stack in stacks:
                stack.advance(stack.step + steps)

        return Prepared(train, sum(map(len, parts)), choice.width)

    def train(self, contender: Contender, steps: int) -> Span:
        """Trains together with the other processes of ``contender``."""
        train = self._prepared[contender].train
        return self._timed(lambda: train(steps), contender.processes)

    def forget(self) -> None:
        self._prepared.clear()

    def flops(self, workload: str) -> int:
        """Floating-point operations of one step of one run: matrix products and convolutions."""
        config = WORKLOADS[workload]
        run = EagerRun(config.runs(1)[0], Splits.of(config.data(), torch.device("cpu")))
        with FlopCounterMode(display=False) as counter:
            run.train_step()
        return int(counter.get_total_flops())

    def multiply(self, precision: str, size: int, times: int, processes: int) -> Span:
        """Multiplies square matrices: what the machine can do at most."""
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a = torch.randn(size, size, device=self._device, dtype=dtype)
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        try:
            out = a @ a
            return self._timed(lambda: [torch.mm(a, a, out=out) for _ in range(times)], processes)
        finally:
            torch.set_float32_matmul_precision(before)

    def _timed(self, work: Callable[[], object], processes: int) -> Span:
        self._synchronize()
        if processes > 1:
            self._barrier.wait()
        started = time.perf_counter()
        work()
        self._synchronize()
        return Span(started, time.perf_counter())

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


@dataclass(slots=True)
class Pool:
    """The benchmark's processes. They wait, and use no time, while one of them works."""

    processes: list[Any]
    pipes: list[Connection]
    barrier: Barrier
    """Kept: it ends with its last owner, and workers look it up by name as they start."""

    @classmethod
    def start(cls, count: int, device: str) -> Pool:
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(count, timeout=300)
        pool = cls([], [], barrier)
        for rank in range(count):
            ours, theirs = context.Pipe()
            arguments = (theirs, rank, device, barrier)
            process = context.Process(target=_serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            pool.processes.append(process)
            pool.pipes.append(ours)
        return pool

    def call(self, processes: int, method: str, *arguments: Any) -> list[Any]:
        """The answers of the first ``processes`` workers, which work at the same time.

        Raises:
            RuntimeError: a worker failed.
        """
        for pipe in self.pipes[:processes]:
            pipe.send((method, arguments))
        answers = [pipe.recv() for pipe in self.pipes[:processes]]
        for failure in answers:
            if isinstance(failure, Exception):
                raise RuntimeError(f"{method}{arguments} failed: {failure!r}") from failure
        return answers

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(10)
            process.kill()


def _serve(pipe: Connection, rank: int, device: str, barrier: Barrier) -> None:
    worker = Worker(rank, device, barrier)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(getattr(worker, method)(*arguments))
        except Exception as error:  # the parent says what it was
            pipe.send(error)
