"""The stacks of a pack: how its runs are grouped, how each group is stacked, what still waits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch

from trainables import population
from trainables.arrays import Arrays
from trainables.compile_choice import Compile, compile_choice, compiled_again
from trainables.compiled import Program
from trainables.configs.run import RunConfig, data_key, fusion_key
from trainables.data.dataset import DataSet
from trainables.engine import Stack
from trainables.memory import size
from trainables.precision import STORED
from trainables.stack_state import StackState
from trainables.stack_width import Choice, Way, choose_way, release_memory, split_evenly
from trainables.threads import choose_threads

Built = list[tuple[list[str], Stack]]
"""Stacks, with the runs of their lanes."""
Strategy = Literal["auto", "fused", "sequential"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides a pack's bits beside its runs; recorded, and kept when it is resumed."""

    strategy: Strategy = "auto"
    compile: Compile = "auto"
    """Whether steps are compiled."""
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


class Group(NamedTuple):
    """Runs that could be stacked; each has a choice."""

    run_ids: list[str]
    source: int
    """The group whose program its stacks have, where its choice says that they are compiled."""
    masked: bool


class PackStacks:
    """Decides how runs are stacked, once for each group, and builds the stacks in turn."""

    def __init__(
        self,
        data: Mapping[str, DataSet],
        settings: Settings,
        starts: Mapping[str, Start],
        fail: Callable[[str, Exception], None],
    ) -> None:
        """
        Args:
            data: data sets by ``data_key(configuration.data)``.
            starts: run_id → where it begins; the others begin anew.
            fail: is told of runs that cannot be stacked.
        """
        self.runs: dict[str, RunConfig] = {}
        self.starts = dict(starts)
        self.choices: list[Choice] = []
        self.waiting: list[Waiting] = []
        self.threads = settings.threads
        self._settings = settings
        self._data = data
        self._fail = fail
        self._sharing = 1
        self._arrays: dict[tuple[str, str], Arrays] = {}
        self._groups: list[Group] = []
        """As ``choices``."""
        self._group_of: dict[str, int] = {}
        self._programs: dict[int, Program | None] = {}
        """By the group that they were compiled of; None where it did not compile again."""

    def add(
        self, runs: Sequence[tuple[str, RunConfig]], others: int = 0, repeats: float = 1.0
    ) -> None:
        """Stacks of what can be stacked: runs of one fusion key, at the same step.

        Args:
            others: runs of the pack that are in training, or wait.
            repeats: how many times as many runs come, these included, that train as these do.
        """
        self.runs |= dict(runs)
        self._sharing = others + len(runs)
        groups: dict[tuple[str, int, bool], list[str]] = {}
        for run_id, run in runs:
            start = self.starts.get(run_id)
            at = 0 if start is None else start.state["updates"]
            groups.setdefault((fusion_key(run), at, self._is_masked(run_id)), []).append(run_id)
        for group in groups.values():
            try:
                self._add_group(group, repeats)
            except Exception as error:  # a user's model may raise anything
                self._fail_all(group, error)

    def _add_group(self, run_ids: list[str], repeats: float) -> None:
        configs = [self.runs[run_id] for run_id in run_ids]
        arrays = self.arrays_of(configs[0])
        # None is recorded for a group that joins for the first time, nor where a state that
        # was to be gone on from is lost.
        ways = self._settings.ways
        way = next(iter((ways or ())[len(self.choices) :]), None)
        if ways is None and not self.choices and self.threads > 1:
            self.threads = choose_threads(configs[0], arrays, self._settings.threads)
        memory = self._memory_of(len(run_ids))
        measured = self._measured_alike(run_ids)
        choice = choose_way(
            configs, arrays, self._settings.strategy, way or measured, memory, repeats=repeats
        )
        if way is None and measured is not None:
            choice = dataclasses.replace(choice, reason="as for an earlier level")
        population.check_whole(configs, choice.at_once and choice.at_once * choice.width)
        known = self._known(configs[0], choice.unfold)
        choice, program = compile_choice(
            choice,
            configs,
            arrays,
            # A program of whole weights does not fit masked ones.
            "off" if self._is_masked(run_ids[0]) else self._settings.compile,
            recorded=way is not None,
            known=None if known is None else self._program(known),
        )
        index = source = len(self.choices)
        if known is not None and program is not None and program is self._program(known):
            source = known
        elif program is not None:
            self._programs[index] = program
        self.choices.append(choice)
        self._groups.append(Group(run_ids, source, self._is_masked(run_ids[0])))
        self._group_of |= dict.fromkeys(run_ids, index)
        parts = split_evenly(run_ids, choice.width)
        self.waiting += [Waiting(part, choice.unfold, choice.at_once) for part in parts]

    def _is_masked(self, run_id: str) -> bool:
        start = self.starts.get(run_id)
        return start is not None and bool(start.state["masks"])

    def _measured_alike(self, run_ids: Sequence[str]) -> Way | None:
        """How masked lanes of this fusion key were stacked before, if about as many: levels of
        pruning follow each other, and measuring at each would cost as much as it gains."""
        key = fusion_key(self.runs[run_ids[0]])
        for group, choice in zip(self._groups, self.choices, strict=True):
            alike = len(run_ids) / 2 <= choice.lanes <= 2 * len(run_ids)
            masked = self._is_masked(run_ids[0]) and group.masked
            if alike and masked and fusion_key(self.runs[group.run_ids[0]]) == key:
                return choice.way
        return None

    def _memory_of(self, lanes: int) -> int | None:
        """A group's part of what the pack's data leave, by its share of the lanes there are."""
        if self._settings.memory is None:
            return None
        left = self._settings.memory - sum(map(size, self._arrays.values()))
        return max(0, left) * lanes // self._sharing

    def _known(self, run: RunConfig, unfold: bool) -> int | None:
        """The first group whose program a group of this fusion key could have."""
        key = fusion_key(run)
        for index, (group, choice) in enumerate(zip(self._groups, self.choices, strict=True)):
            same = choice.compiled and choice.unfold == unfold and group.source == index
            if same and fusion_key(self.runs[group.run_ids[0]]) == key:
                return index
        return None

    def _program(self, source: int) -> Program | None:
        """A group's program; after a restore compiled alike, so that it gives the same bits."""
        if source not in self._programs:
            runs = [self.runs[run_id] for run_id in self._groups[source].run_ids]
            way = self.choices[source].way
            self._programs[source] = compiled_again(runs, self.arrays_of(runs[0]), way)
        return self._programs[source]

    def _program_for(self, run_id: str) -> Program | None:
        index = self._group_of[run_id]
        return self._program(self._groups[index].source) if self.choices[index].compiled else None

    def drop(self, run_ids: Collection[str]) -> None:
        """Does not build what has these runs for them."""
        left = ([r for r in w.run_ids if r not in run_ids] for w in self.waiting)
        pairs = zip(self.waiting, left, strict=True)
        self.waiting = [waiting._replace(run_ids=going) for waiting, going in pairs if going]

    def build_next(self, training: int) -> Built | None:
        """The stack that waits next, in parts where memory does not hold it as a whole.

        Those that have to wait keep nothing: their runs train to the end one after the other.

        Args:
            training: stacks that there are.

        Returns:
            Nothing for runs that failed; None where none waits, or memory holds no more.
        """
        if not self.waiting:
            return None
        run_ids, unfold, at_once = self.waiting[0]
        if at_once is not None and training >= at_once:
            return None
        del self.waiting[0]
        built: Built = []
        try:
            self._build(run_ids, unfold, built)
        except Exception as error:  # a user's model may raise anything
            there = {run_id for part, _ in built for run_id in part}
            self._fail_all([run_id for run_id in run_ids if run_id not in there], error)
        return built

    def _build(self, run_ids: list[str], unfold: bool, built: Built) -> None:
        try:
            built.append((run_ids, self._stack(run_ids, unfold)))
            return
        except torch.OutOfMemoryError:
            if len(run_ids) == 1:
                raise
        release_memory()
        for part in split_evenly(run_ids, math.ceil(len(run_ids) / 2)):
            self._build(part, unfold, built)

    def _stack(self, run_ids: list[str], unfold: bool) -> Stack:
        configs = [self.runs[run_id] for run_id in run_ids]
        arrays, program = self.arrays_of(configs[0]), self._program_for(run_ids[0])
        if run_ids[0] not in self.starts:
            return Stack(configs, arrays, unfold=unfold, program=program)
        states = [self.starts[run_id].state for run_id in run_ids]
        return Stack.of_states(configs, arrays, states, unfold=unfold, program=program)

    def restored(self, run_ids: Sequence[str], state: Mapping[str, Any]) -> Stack:
        """The stack that had this state."""
        configs = [self.runs[run_id] for run_id in run_ids]
        program = self._program_for(run_ids[0]) if state["compiled"] else None
        arrays = self.arrays_of(configs[0])
        stack = Stack(configs, arrays, unfold=state["unfold"], program=program)
        stack.load_state_dict(state)
        return stack

    def arrays_of(self, config: RunConfig) -> Arrays:
        """A run's data on the device, once for all runs that have it in common."""
        key = (data_key(config), config.train.precision)
        if key not in self._arrays:
            device = torch.device(self._settings.device)
            dtype = STORED[config.train.precision]
            self._arrays[key] = Arrays.of(self._data[key[0]], device, dtype)
        return self._arrays[key]

    def _fail_all(self, run_ids: Sequence[str], error: Exception) -> None:
        for run_id in run_ids:
            self._fail(run_id, error)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the stacks that there are."""
        return {
            "groups": [tuple(group) for group in self._groups],
            "choices": [dataclasses.asdict(choice) for choice in self.choices],
            "waiting": [tuple(waiting) for waiting in self.waiting],
            "starts": {run_id: tuple(start) for run_id, start in self.starts.items()},
        }

    def load_state_dict(self, saved: Mapping[str, Any], runs: Mapping[str, RunConfig]) -> None:
        """Puts back what ``state_dict`` gave.

        Args:
            runs: the configurations of all runs that there were.
        """
        self.runs = dict(runs)
        self.choices = [Choice(**choice) for choice in saved["choices"]]
        self.waiting = [Waiting(*waiting) for waiting in saved["waiting"]]
        self.starts = {run_id: Start(*start) for run_id, start in saved["starts"].items()}
        self._groups = [Group(*group) for group in saved["groups"]]
        for index, group in enumerate(self._groups):
            self._group_of |= dict.fromkeys(group.run_ids, index)
