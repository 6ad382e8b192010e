"""PackSession: trains a pack's runs, one evaluation at a time, whatever happens to a lane."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from trainables.arrays import Arrays
from trainables.compile_choice import Compile, compile_choice, compiled_again
from trainables.compiled import Program
from trainables.configs.run import HIGHER_IS_BETTER, RunConfig, data_key, fusion_key
from trainables.data.dataset import DataSet
from trainables.engine import Stack
from trainables.precision import STORED
from trainables.stack_width import Choice, Way, choose_way, release_memory, split_evenly

Strategy = Literal["auto", "fused", "sequential"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What decides a pack's bits beside its runs; recorded, and kept when it is resumed."""

    strategy: Strategy = "auto"
    ways: tuple[Way, ...] | None = None
    """How each group is stacked, as an earlier session of the pack chose; None: choose."""
    compile: Compile = "auto"
    """Whether steps are compiled."""
    threads: int = 1
    device: str = "cpu"


@dataclass(slots=True)
class Progress:
    """How one run stands; what a report carries."""

    run_id: str
    lane: int
    status: str = "running"
    reason: str = ""
    steps: int = 0
    epochs: float = 0.0
    examples: int = 0
    wall_seconds: float = 0.0
    """The run's share of its stack's training time: elapsed seconds / lanes, summed."""
    error: str = ""
    final: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since the last report: new history rows, and how their runs stand."""

    rows: list[dict[str, Any]]
    progress: list[dict[str, Any]]


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
    ) -> None:
        """
        Args:
            runs: (run_id, configuration) of each lane of the pack.
            data: data sets by ``data_key(configuration.data)``.
        """
        self._runs = dict(runs)
        self._data = data
        self._arrays: dict[tuple[str, str], Arrays] = {}
        self.settings = settings
        self.progress = {run_id: Progress(run_id, lane) for lane, (run_id, _) in enumerate(runs)}
        self.choices: list[Choice] = []
        self._programs: dict[str, Program | None] = {}
        """The compiled step of each fusion key; None where it did not compile again."""
        self._ways: dict[str, Way] = {}
        """How groups with a compiled step are stacked."""
        self._stacks: list[tuple[list[str], Stack]] = []
        for group in self._groups():
            self._add_group(group)

    def _program_again(self, config: RunConfig) -> Program | None:
        """The program that the group of ``config`` had: compiled alike, it gives the same bits."""
        key = fusion_key(config)
        if key not in self._programs:
            group = [run for run in self._runs.values() if fusion_key(run) == key]
            self._programs[key] = compiled_again(group, self._arrays_of(config), self._ways[key])
        return self._programs[key]

    @property
    def finished(self) -> bool:
        return not self._stacks

    def _groups(self) -> list[list[str]]:
        groups: dict[str, list[str]] = {}
        for run_id, config in self._runs.items():
            groups.setdefault(fusion_key(config), []).append(run_id)
        return list(groups.values())

    def _add_group(self, run_ids: list[str]) -> None:
        configs = [self._runs[run_id] for run_id in run_ids]
        try:
            arrays = self._arrays_of(configs[0])
            ways = self.settings.ways
            way = ways[len(self.choices)] if ways else None
            choice, program = compile_choice(
                choose_way(configs, arrays, self.settings.strategy, way),
                configs,
                arrays,
                self.settings.compile,
                recorded=way is not None,
            )
            self.choices.append(choice)
            if program is not None:
                self._programs[fusion_key(configs[0])] = program
                self._ways[fusion_key(configs[0])] = choice.way
            for part in split_evenly(run_ids, choice.width):
                self._add_stack(part, arrays, choice.unfold, program)
        except Exception as error:  # a user's model may raise anything
            for run_id in run_ids:
                self._fail(run_id, error)

    def _add_stack(
        self, run_ids: list[str], arrays: Arrays, unfold: bool, program: Program | None
    ) -> None:
        """One stack of these runs, or several where memory does not hold it."""
        try:
            configs = [self._runs[run_id] for run_id in run_ids]
            stack = Stack(configs, arrays, unfold=unfold, program=program)
        except torch.OutOfMemoryError:
            if len(run_ids) == 1:
                raise
            stack = None
        if stack is not None:
            self._stacks.append((run_ids, stack))
            return
        release_memory()
        for part in split_evenly(run_ids, math.ceil(len(run_ids) / 2)):
            self._add_stack(part, arrays, unfold, program)

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
        rows: list[dict[str, Any]] = []
        touched = {r for r, p in self.progress.items() if p.status == "failed"}
        stacks, self._stacks = self._stacks, []
        for run_ids, stack in stacks:
            for part_ids, part in self._advance_or_split(run_ids, stack, touched):
                due = part.due()
                touched.update(part_ids[lane] for lane in due)
                rows += self._evaluate(part_ids, part, due)
                self._keep_unfinished(part_ids, part)
        reported = [self.progress[run_id] for run_id in self._runs if run_id in touched]
        return Report(rows, [dataclasses.asdict(progress) for progress in reported])

    def _advance_or_split(
        self, run_ids: list[str], stack: Stack, touched: set[str]
    ) -> list[tuple[list[str], Stack]]:
        started = time.perf_counter()
        failure = _attempt(stack)
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
            self._update(progress, stack, lane, values, losses[:, lane])
            rows.append(
                {
                    "run_id": run_id,
                    "level": 0,
                    "step": progress.steps,
                    "epoch": progress.epochs,
                    "examples": progress.examples,
                    "seconds": progress.wall_seconds,
                    **values,
                }
            )
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
        progress.steps = stack.updates
        progress.epochs = stack.step / stack.steps_per_epoch
        progress.examples = stack.step * config.train.batch_size
        progress.final = values
        for name, value in values.items():
            better = max if name in HIGHER_IS_BETTER else min
            if math.isfinite(value):
                progress.best[name] = better(progress.best.get(name, value), value)
        progress.status, progress.reason = _verdict(
            config, values, losses, ended=stack.step >= stack.lengths[lane]
        )

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
            "progress": {r: dataclasses.asdict(p) for r, p in self.progress.items()},
            "choices": [dataclasses.asdict(choice) for choice in self.choices],
            "ways": {key: list(way) for key, way in self._ways.items()},
        }

    @classmethod
    def restore(
        cls,
        saved: Mapping[str, Any],
        runs: Sequence[tuple[str, RunConfig]],
        data: Mapping[str, DataSet],
        settings: Settings,
    ) -> PackSession:
        """The session that ``state_dict`` was taken of: it goes on bit for bit."""
        session = cls([], data, settings)
        session._runs = dict(runs)
        session.progress = {r: Progress(**p) for r, p in saved["progress"].items()}
        session.choices = [Choice(**choice) for choice in saved["choices"]]
        session._ways = {key: Way(*way) for key, way in saved["ways"].items()}
        for run_ids, state in saved["stacks"]:
            configs = [session._runs[run_id] for run_id in run_ids]
            arrays = session._arrays_of(configs[0])
            program = session._program_again(configs[0]) if state["compiled"] else None
            stack = Stack(configs, arrays, unfold=state["unfold"], program=program)
            stack.load_state_dict(state)
            session._stacks.append((list(run_ids), stack))
        return session


def _attempt(stack: Stack) -> Exception | None:
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


def _verdict(
    config: RunConfig,
    values: Mapping[str, float],
    losses: npt.NDArray[np.float64],
    *,
    ended: bool,
) -> tuple[str, str]:
    """Status and reason of a run after an evaluation.

    Args:
        losses: the batch losses since the evaluation before, (steps,).
        ended: whether the run has trained all its steps.
    """
    bad = ~(losses <= config.train.diverged_above)  # true for NaN, too
    if bad.any():
        return "diverged", f"batch loss {losses[bad.argmax()]:.3g}"
    target = config.train.target
    if target is not None:
        sign = 1 if target.metric in HIGHER_IS_BETTER else -1
        if sign * values[target.metric] > sign * target.value:
            return "completed", "target reached"
    return ("completed", "trained to the end") if ended else ("running", "")
