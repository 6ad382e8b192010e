"""PackSession: trains a pack's runs, one evaluation at a time, whatever happens to a lane."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from trainables import population
from trainables.arrays import Arrays
from trainables.configs.run import RunConfig, data_key, fusion_key
from trainables.configs.schedules import cycling
from trainables.data.dataset import DataSet
from trainables.engine import Stack
from trainables.memory import size
from trainables.precision import STORED
from trainables.progress import Progress, Report, row, verdict, with_best
from trainables.stack_state import StackState
from trainables.stack_width import Choice, Way, attempt, choose_way, release_memory, split_evenly
from trainables.threads import choose_threads

Strategy = Literal["auto", "fused", "sequential"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides a pack's bits beside its runs; recorded, and kept when it is resumed."""

    strategy: Strategy = "auto"
    ways: tuple[Way, ...] | None = None
    """How each group is stacked, as an earlier session of the pack chose; None: choose."""
    threads: int = 1
    """At most, until a session has chosen; then as many."""
    device: str = "cpu"
    memory: int | None = None
    """Bytes that the pack may take, its data included; None: as much as there is. Narrows
    stacks that no earlier session chose, and decides which stacks wait for others."""


class Waiting(NamedTuple):
    """A stack that is still to be built."""

    run_ids: list[str]
    unfold: bool
    at_once: int | None
    """It waits while so many others train."""


class Start(NamedTuple):
    """Where a run begins that goes on from a shorter one."""

    state: StackState
    """Of its lane, as ``Stack.lane_states`` gives it."""
    best: Mapping[str, float]
    seconds: float
    """What the training up to there took."""


Ended = Callable[[Stack, Mapping[int, Progress]], None]
"""Is shown lanes that have been trained to their end or stopped, while their stack has them."""


class PackSession:
    """The runs of one pack: grouped by fusion key into stacks, advanced by evaluations.

    Lanes end one by one and leave their stack. A stack whose step raises is split until the
    lane at fault is alone; only that lane fails.
    """

    def __init__(
        self,
        runs: Sequence[tuple[str, RunConfig]],
        data: Mapping[str, DataSet],
        settings: Settings,
        starts: Mapping[str, Start] = MappingProxyType({}),
        ended: Ended | None = None,
    ) -> None:
        """
        Args:
            runs: (run_id, configuration) of each lane of the pack.
            data: data sets by ``data_key(configuration.data)``.
            starts: run_id → where it begins; the others begin anew.
        """
        self._runs = dict(runs)
        self._data = data
        self._arrays: dict[tuple[str, str], Arrays] = {}
        self.settings = settings
        self._starts = dict(starts)
        self._ended = ended
        self.progress = {run_id: Progress(run_id, lane) for lane, (run_id, _) in enumerate(runs)}
        self.choices: list[Choice] = []
        self.reports = 0
        """Reports made so far, over all attempts of the pack."""
        self._stacks: list[tuple[list[str], Stack]] = []
        self._waiting: list[Waiting] = []
        self.threads = settings.threads
        self._add_groups(list(self._runs))
        self._start_waiting()

    @property
    def finished(self) -> bool:
        return not self._stacks and not self._waiting

    def stop(self, reasons: Mapping[str, str]) -> None:
        """Drops these lanes now, as from outside it was decided: run_id → why.

        A run that has ended already stays as it ended.
        """
        for run_id, reason in reasons.items():
            if self.progress[run_id].status == "running":
                self.progress[run_id].status, self.progress[run_id].reason = "stopped", reason
        stacks, self._stacks = self._stacks, []
        for run_ids, stack in stacks:
            self._show_ended(run_ids, stack)
            self._keep_unfinished(run_ids, stack)
        left = [w._replace(run_ids=self._running(w.run_ids)) for w in self._waiting]
        self._waiting = [waiting for waiting in left if waiting.run_ids]

    def _running(self, run_ids: Sequence[str]) -> list[str]:
        return [run_id for run_id in run_ids if self.progress[run_id].status == "running"]

    def join(self, runs: Sequence[tuple[str, RunConfig]]) -> None:
        """Adds runs, from their first step, as further lanes in stacks of their own."""
        self._runs |= dict(runs)
        for run_id, _ in runs:
            self.progress[run_id] = Progress(run_id, len(self.progress))
        self._add_groups([run_id for run_id, _ in runs])

    def _add_groups(self, run_ids: Sequence[str]) -> None:
        """Stacks of what can be stacked: runs of one fusion key, at the same step."""
        groups: dict[tuple[str, int], list[str]] = {}
        for run_id in run_ids:
            start = self._starts.get(run_id)
            at = 0 if start is None else start.state["updates"]
            groups.setdefault((fusion_key(self._runs[run_id]), at), []).append(run_id)
        for group in groups.values():
            self._add_group(group)

    def _add_group(self, run_ids: list[str]) -> None:
        configs = [self._runs[run_id] for run_id in run_ids]
        try:
            arrays = self._arrays_of(configs[0])
            # None is recorded for a group that joins for the first time, nor where a state that
            # was to be gone on from is lost.
            ways = self.settings.ways
            way = next(iter((ways or ())[len(self.choices) :]), None)
            if ways is None and not self.choices and self.threads > 1:
                self.threads = choose_threads(configs[0], arrays, self.settings.threads)
            memory = self._memory_of(len(run_ids))
            choice = choose_way(configs, arrays, self.settings.strategy, way, memory)
            population.check_whole(configs, choice.at_once and choice.at_once * choice.width)
            self.choices.append(choice)
            parts = split_evenly(run_ids, choice.width)
            self._waiting += [Waiting(part, choice.unfold, choice.at_once) for part in parts]
        except Exception as error:  # a user's model may raise anything
            for run_id in run_ids:
                self._fail(run_id, error)

    def _memory_of(self, lanes: int) -> int | None:
        """A group's part of what the pack's data leave, by its lanes."""
        if self.settings.memory is None:
            return None
        left = self.settings.memory - sum(map(size, self._arrays.values()))
        return max(0, left) * lanes // len(self._runs)

    def _start_waiting(self) -> None:
        """Builds the stacks that wait, as long as memory holds one more.

        Those that have to wait keep nothing: their runs train to the end one after the other.
        """
        while self._waiting:
            run_ids, unfold, at_once = self._waiting[0]
            if at_once is not None and len(self._stacks) >= at_once:
                return
            del self._waiting[0]
            try:
                arrays = self._arrays_of(self._runs[run_ids[0]])
                self._add_stack(run_ids, arrays, unfold)
            except Exception as error:  # a user's model may raise anything
                for run_id in run_ids:
                    self._fail(run_id, error)

    def _add_stack(self, run_ids: list[str], arrays: Arrays, unfold: bool) -> None:
        """One stack of these runs, or several where memory does not hold it."""
        try:
            stack = self._stack(run_ids, arrays, unfold)
        except torch.OutOfMemoryError:
            if len(run_ids) == 1:
                raise
            stack = None
        if stack is not None:
            self._stacks.append((run_ids, stack))
            for run_id in run_ids:
                self._begin(run_id, stack)
            return
        release_memory()
        for part in split_evenly(run_ids, math.ceil(len(run_ids) / 2)):
            self._add_stack(part, arrays, unfold)

    def _stack(self, run_ids: list[str], arrays: Arrays, unfold: bool) -> Stack:
        configs = [self._runs[run_id] for run_id in run_ids]
        if run_ids[0] not in self._starts:
            return Stack(configs, arrays, unfold=unfold)
        states = [self._starts[run_id].state for run_id in run_ids]
        return Stack.of_states(configs, arrays, states, unfold=unfold)

    def _begin(self, run_id: str, stack: Stack) -> None:
        start, progress = self._starts.pop(run_id, None), self.progress[run_id]
        if start is not None:
            progress.best, progress.wall_seconds = dict(start.best), start.seconds
            self._clock(progress, stack)

    def _arrays_of(self, config: RunConfig) -> Arrays:
        key = (data_key(config), config.train.precision)
        if key not in self._arrays:
            device = torch.device(self.settings.device)
            dtype = STORED[config.train.precision]
            self._arrays[key] = Arrays.of(self._data[key[0]], device, dtype)
        return self._arrays[key]

    def advance(self) -> Report:
        """Trains every stack to its next evaluation, and reports the lanes that were due.

        Also reports runs that failed before their first step.
        """
        self._start_waiting()
        self.reports += 1
        rows: list[dict[str, Any]] = []
        touched = {r for r, p in self.progress.items() if p.status == "failed"}
        stacks, self._stacks = self._stacks, []
        for run_ids, stack in stacks:
            for part_ids, part in self._advance_or_split(run_ids, stack, touched):
                due = part.due()
                touched.update(part_ids[lane] for lane in due)
                rows += self._evaluate(part_ids, part, due)
                self._show_ended(part_ids, part)
                self._keep_unfinished(part_ids, part)
        events = self._exchange()
        reported = [self.progress[run_id] for run_id in self._runs if run_id in touched]
        return Report(rows, [dataclasses.asdict(progress) for progress in reported], events)

    def _exchange(self) -> list[dict[str, Any]]:
        """Members of populations that copy others, where that is due; what was copied."""
        found = population.exchange(self._stacks, self.progress)
        self._runs |= found.runs
        self._stacks = []
        for run_ids, stack in found.stacks:
            self._keep_unfinished(run_ids, stack)
        return found.events

    def _advance_or_split(
        self, run_ids: list[str], stack: Stack, touched: set[str]
    ) -> list[tuple[list[str], Stack]]:
        started = time.perf_counter()
        failure = attempt(stack)
        share = (time.perf_counter() - started) / len(run_ids)
        for run_id in run_ids:
            self.progress[run_id].wall_seconds += share
        if failure is None:
            return [(run_ids, stack)]
        if len(run_ids) == 1:
            self._fail(run_ids[0], failure)
            touched.add(run_ids[0])
            return []
        release_memory()
        half = len(run_ids) // 2
        return [
            done
            for lanes in (range(half), range(half, len(run_ids)))
            for done in self._advance_or_split(
                [run_ids[lane] for lane in lanes], stack.keep(lanes), touched
            )
        ]

    def _evaluate(self, run_ids: list[str], stack: Stack, due: list[int]) -> list[dict[str, Any]]:
        started = time.perf_counter()
        metrics, losses = stack.evaluate()
        stack.adapt(metrics)
        share = (time.perf_counter() - started) / len(run_ids)
        rows = []
        for lane, run_id in enumerate(run_ids):
            progress = self.progress[run_id]
            progress.wall_seconds += share
            if lane not in due:
                continue
            values = {name: float(column[lane]) for name, column in metrics.items()}
            if cycling(self._runs[run_id].schedule) is None:
                values.pop("momentum", None)  # a neighbour's varies
            self._update(progress, stack, lane, values, losses[:, lane])
            held = population.in_force(stack.runs[lane], stack.last)
            shown = {f"optimizer.{name}": value for name, value in held.items()}
            rows.append(row(progress, values | shown))
        return rows

    def _update(
        self,
        progress: Progress,
        stack: Stack,
        lane: int,
        values: dict[str, float],
        losses: npt.NDArray[np.float64],
    ) -> None:
        config = self._runs[progress.run_id]
        self._clock(progress, stack)
        progress.final = values
        progress.best = with_best(progress.best, values)
        ended = stack.step >= stack.lengths[lane]
        found = verdict(config, values, losses, ended=ended)
        progress.status, progress.reason = population.spared(
            config, progress.reason, *found, ended=ended
        )

    def _clock(self, progress: Progress, stack: Stack) -> None:
        progress.steps = stack.updates
        progress.epochs = stack.step / stack.steps_per_epoch
        progress.examples = stack.step * self._runs[progress.run_id].train.batch_size

    def _show_ended(self, run_ids: list[str], stack: Stack) -> None:
        standing = {lane: self.progress[run_id] for lane, run_id in enumerate(run_ids)}
        ended = {lane: p for lane, p in standing.items() if p.status in ("completed", "stopped")}
        if ended and self._ended is not None:
            self._ended(stack, ended)

    def _keep_unfinished(self, run_ids: list[str], stack: Stack) -> None:
        going = [lane for lane, r in enumerate(run_ids) if self.progress[r].status == "running"]
        if len(going) == len(run_ids):
            self._stacks.append((run_ids, stack))
        elif going:
            self._stacks.append(([run_ids[lane] for lane in going], stack.keep(going)))

    def _fail(self, run_id: str, error: Exception) -> None:
        progress = self.progress[run_id]
        progress.status = "failed"
        progress.reason = f"{type(error).__name__}: {error}".splitlines()[0]
        progress.error = "".join(traceback.format_exception(error))

    def state_dict(self) -> dict[str, Any]:
        """The whole pack as tensors and plain data."""
        return {
            "stacks": [(run_ids, stack.state_dict()) for run_ids, stack in self._stacks],
            "waiting": [tuple(waiting) for waiting in self._waiting],
            "starts": {run_id: tuple(start) for run_id, start in self._starts.items()},
            "progress": {r: dataclasses.asdict(p) for r, p in self.progress.items()},
            "choices": [dataclasses.asdict(choice) for choice in self.choices],
            "reports": self.reports,
            "lineages": population.lineages(self._runs),
        }

    @classmethod
    def restore(
        cls,
        saved: Mapping[str, Any],
        runs: Sequence[tuple[str, RunConfig]],
        data: Mapping[str, DataSet],
        settings: Settings,
        ended: Ended | None = None,
    ) -> PackSession:
        """The session that ``state_dict`` was taken of: it goes on bit for bit.

        Args:
            runs: those of the pack and those that have joined it; more do no harm.
        """
        session = cls([], data, settings, ended=ended)
        known = {run_id: run for run_id, run in runs if run_id in saved["progress"]}
        population.check_whole(known.values())
        session._runs = population.with_lineages(known, saved.get("lineages", {}))
        session.reports = saved.get("reports", 0)
        session.progress = {r: Progress(**p) for r, p in saved["progress"].items()}
        session.choices = [Choice(**choice) for choice in saved["choices"]]
        session._waiting = [Waiting(*waiting) for waiting in saved["waiting"]]
        session._starts = {run_id: Start(*start) for run_id, start in saved["starts"].items()}
        for run_ids, state in saved["stacks"]:
            configs = [session._runs[run_id] for run_id in run_ids]
            stack = Stack(configs, session._arrays_of(configs[0]), unfold=state["unfold"])
            stack.load_state_dict(state)
            session._stacks.append((list(run_ids), stack))
        return session
