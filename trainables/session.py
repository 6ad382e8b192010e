"""PackSession: trains a pack's runs, one evaluation at a time, whatever happens to a lane."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables import population
from trainables.configs.run import RunConfig
from trainables.configs.schedules import cycling
from trainables.data.dataset import DataSet
from trainables.engine import Stack
from trainables.pack_stacks import PackStacks, Settings, Start
from trainables.procedures.lottery import NO_ARCHIVE, Archive, Ladder, with_ancestors
from trainables.procedures.measures import after_training, before_training
from trainables.procedures.spectra import spectra_at_start, spectra_due
from trainables.progress import Progress, Report, plain, row, verdict, with_best
from trainables.stack_width import Choice, attempt, release_memory

__all__ = ["Ended", "PackSession", "Settings", "Start"]

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
        archive: Archive = NO_ARCHIVE,
    ) -> None:
        """
        Args:
            runs: (run_id, configuration) of each lane of the pack.
            data: data sets by ``data_key(configuration.data)``.
            starts: run_id → where it begins; the others begin anew.
            archive: where networks that others come from are kept.
        """
        self.settings = settings
        self._ended = ended
        self.progress: dict[str, Progress] = {}
        self.reports = 0
        """Reports made so far, over all attempts of the pack."""
        self._stacks: list[tuple[list[str], Stack]] = []
        self._plan = PackStacks(data, settings, starts, self._fail)
        self._ladder = Ladder(self._plan.arrays_of, archive)
        self._measured: dict[str, dict[str, float]] = {}
        """Run in training → what was measured of it before its first step."""
        self._probes: list[dict[str, Any]] = []
        self._lost: set[str] = set()
        self.join(runs)
        self._build()

    @property
    def choices(self) -> list[Choice]:
        """How each group is stacked."""
        return self._plan.choices

    @property
    def threads(self) -> int:
        return self._plan.threads

    @property
    def finished(self) -> bool:
        return not (self._stacks or self._plan.waiting or self._ladder.waiting)

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
        self._plan.drop({r for r, p in self.progress.items() if p.status != "running"})

    def join(self, runs: Sequence[tuple[str, RunConfig]]) -> None:
        """Adds runs, from their first step, as further lanes in stacks of their own; those that
        come from others wait for these."""
        for run_id, _ in runs:
            self.progress[run_id] = Progress(run_id, len(self.progress))
        nodes = {run_id: run for run_id, run in runs if run.lottery is not None}
        again = self._await(nodes)
        self._add([*((name, run) for name, run in runs if name not in nodes), *again.items()])

    def _await(self, nodes: Mapping[str, RunConfig]) -> dict[str, RunConfig]:
        """Has networks wait for what they come from; what must be trained again for it."""
        try:
            again = self._ladder.add(nodes, self.progress)
        except Exception as error:  # a user's data or schedule may raise anything
            for run_id in nodes:
                self._fail(run_id, error)
            return {}
        for run_id in sorted(self._ladder.silent - self.progress.keys()):
            self.progress[run_id] = Progress(run_id, len(self.progress))
        return again

    def _add(self, runs: Sequence[tuple[str, RunConfig]]) -> None:
        if runs:
            waiting = [run_id for waiting in self._plan.waiting for run_id in waiting.run_ids]
            others = sum(len(ids) for ids, _ in self._stacks) + len(waiting)
            self._plan.add(runs, others, 1 + len(self._ladder.waiting) / len(runs))

    def _build(self) -> None:
        while (built := self._plan.build_next(len(self._stacks))) is not None:
            for run_ids, stack in built:
                for run_id in run_ids:
                    self._begin(run_id, stack)
                found = before_training(run_ids, stack)
                self._measured |= found.values
                self._probes += found.rows
                self._spectra(run_ids, stack)
                self._keep_unfinished(run_ids, stack)

    def _spectra(
        self, run_ids: list[str], stack: Stack, due: Sequence[int] | None = None
    ) -> Mapping[str, dict[str, float]]:
        """Measures the spectra that are due (None: of runs that begin), outside of the runs' time.

        Runs for which that raises have failed: what they asked for cannot be had.
        """
        try:
            found = (
                spectra_at_start(run_ids, stack)
                if due is None
                else spectra_due(run_ids, stack, due)
            )
        except Exception as error:  # a user's model may raise anything
            for lane in range(len(run_ids)) if due is None else due:
                self._fail(run_ids[lane], error)
            return {}
        self._probes += found.rows
        return found.values

    def _begin(self, run_id: str, stack: Stack) -> None:
        start, progress = self._plan.starts.pop(run_id, None), self.progress[run_id]
        if start is not None:
            progress.best, progress.wall_seconds = dict(start.best), start.seconds
            self._clock(progress, stack)

    def advance(self) -> Report:
        """Trains every stack to its next evaluation, and reports the lanes that were due.

        Also reports runs that failed before their first step.
        """
        self._begin_ready()
        self._build()
        self.reports += 1
        rows: list[dict[str, Any]] = []
        touched = {r for r, p in self.progress.items() if p.status == "failed"} | self._lost
        stacks, self._stacks = self._stacks, []
        for run_ids, stack in stacks:
            for part_ids, part in self._advance_or_split(run_ids, stack, touched):
                due = part.due()
                touched.update(part_ids[lane] for lane in due)
                rows += self._evaluate(part_ids, part, due)
                self._observe_ended(part_ids, part)
                self._show_ended(part_ids, part)
                self._keep_unfinished(part_ids, part)
        events = self._exchange()
        told = touched - self._ladder.silent
        reported = [plain(p) for r, p in self.progress.items() if r in told]
        probes, self._probes = self._probes, []
        return Report(rows, reported, events, probes)

    def _begin_ready(self) -> None:
        """Begins the networks that have what they come from, and ends those that never will."""
        self._lost = set()
        while lost := self._ladder.orphans(self.progress):
            for run_id, (status, reason) in lost.items():
                self.progress[run_id].status, self.progress[run_id].reason = status, reason
            self._lost |= lost.keys()
        begun: list[tuple[str, RunConfig]] = []
        for group in self._ladder.begin(self._ladder.ready()):
            if isinstance(group, list):
                begun += [(run_id, run) for run_id, run, _ in group]
                self._plan.starts |= {run_id: Start(state, {}, 0.0) for run_id, _, state in group}
            else:
                for run_id in group[0]:
                    self._fail(run_id, group[1])
        self._add(begun)
        if not (self._stacks or self._plan.waiting):
            for run_id in self._ladder.give_up():
                self._fail(run_id, RuntimeError("the network that it comes from is missing"))

    def _exchange(self) -> list[dict[str, Any]]:
        """Members of populations that copy others, where that is due; what was copied."""
        found = population.exchange(self._stacks, self.progress)
        self._plan.runs |= found.runs
        self._stacks = []
        for run_ids, stack in found.stacks:
            self._keep_unfinished(run_ids, stack)
        return found.events

    def _advance_or_split(
        self, run_ids: list[str], stack: Stack, touched: set[str]
    ) -> list[tuple[list[str], Stack]]:
        started = time.perf_counter()
        failure = self._attempt(run_ids, stack)
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

    def _attempt(self, run_ids: list[str], stack: Stack) -> Exception | None:
        """Advances the stack to its next evaluation; networks begin from steps on the way."""
        for stop in self._ladder.stops(run_ids, stack):
            if (failure := attempt(stack, stop)) is not None:
                return failure
            self._ladder.observe(run_ids, stack)
        return None

    def _evaluate(self, run_ids: list[str], stack: Stack, due: list[int]) -> list[dict[str, Any]]:
        started = time.perf_counter()
        metrics, losses = stack.evaluate()
        stack.adapt(metrics)
        share = (time.perf_counter() - started) / len(run_ids)
        spectra = self._spectra(run_ids, stack, due)
        rows = []
        for lane, run_id in enumerate(run_ids):
            progress = self.progress[run_id]
            progress.wall_seconds += share
            if lane not in due or progress.status == "failed":
                continue
            values = {name: float(column[lane]) for name, column in metrics.items()}
            if cycling(self._plan.runs[run_id].schedule) is None:
                values.pop("momentum", None)  # a neighbour's varies
            values |= spectra.get(run_id, {})
            self._update(progress, stack, lane, values, losses[:, lane])
            held = population.in_force(stack.runs[lane], stack.last)
            shown = {f"optimizer.{name}": value for name, value in held.items()}
            if run_id not in self._ladder.silent:
                node = stack.runs[lane].lottery
                rows.append(row(progress, values | shown, node.level if node else 0))
        return rows

    def _update(
        self,
        progress: Progress,
        stack: Stack,
        lane: int,
        values: dict[str, float],
        losses: npt.NDArray[np.float64],
    ) -> None:
        config = self._plan.runs[progress.run_id]
        self._clock(progress, stack)
        progress.final = values | self._measured.get(progress.run_id, {})
        progress.best = with_best(progress.best, values)
        ended = stack.step >= stack.lengths[lane]
        found = verdict(config, values, losses, ended=ended)
        progress.status, progress.reason = population.spared(
            config, progress.reason, *found, ended=ended
        )

    def _clock(self, progress: Progress, stack: Stack) -> None:
        progress.steps = stack.updates
        progress.epochs = stack.step / stack.steps_per_epoch
        progress.examples = stack.step * self._plan.runs[progress.run_id].train.batch_size

    def _observe_ended(self, run_ids: list[str], stack: Stack) -> None:
        """Keeps the ends that networks wait for, and measures children against their siblings."""
        ladder, progress = self._ladder, self.progress
        ladder.observe_ended(run_ids, stack, progress)
        for run_id in ladder.satisfied():
            if progress[run_id].status == "running":
                progress[run_id].status = "stopped"
        ended = [run_id for run_id in run_ids if progress[run_id].status != "running"]
        children = [
            run_id
            for run_id in ended
            if run_id in ladder.siblings and progress[run_id].status in ("completed", "stopped")
        ]
        if children:
            own = stack.keep([run_ids.index(run_id) for run_id in children])
            found = after_training(children, own, [ladder.end_of(child) for child in children])
            self._probes += found.rows
            for run_id, values in found.values.items():
                progress[run_id].final |= values
        ladder.leave(ended)

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
            "plan": self._plan.state_dict(),
            "progress": {r: plain(p) for r, p in self.progress.items()},
            "reports": self.reports,
            "lineages": population.lineages(self._plan.runs),
            "ladder": self._ladder.state_dict(),
            "measured": self._measured,
        }

    @classmethod
    def restore(
        cls,
        saved: Mapping[str, Any],
        runs: Sequence[tuple[str, RunConfig]],
        data: Mapping[str, DataSet],
        settings: Settings,
        ended: Ended | None = None,
        archive: Archive = NO_ARCHIVE,
    ) -> PackSession:
        """The session that ``state_dict`` was taken of: it goes on bit for bit.

        Args:
            runs: those of the pack and those that have joined it; more do no harm.
        """
        session = cls([], data, settings, ended=ended, archive=archive)
        known = {run_id: run for run_id, run in runs if run_id in saved["progress"]}
        session.reports = saved["reports"]
        session.progress = {r: Progress(**p) for r, p in saved["progress"].items()}
        population.check_whole(known.values())
        lived = population.with_lineages(known, saved["lineages"])
        every = with_ancestors(lived)  # those trained again are no runs of the pack
        ladder = session._ladder
        ladder.load_state_dict(saved["ladder"])
        trained = {run_id: ladder.as_trained(run) for run_id, run in every.items()}
        session._plan.load_state_dict(saved["plan"], trained)
        session._measured = dict(saved["measured"])
        session._stacks = [
            (list(run_ids), session._plan.restored(run_ids, state))
            for run_ids, state in saved["stacks"]
        ]
        again = session._await({run_id: every[run_id] for run_id in saved["ladder"]["waiting"]})
        session._add([*again.items()])
        return session
