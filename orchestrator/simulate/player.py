"""A study on virtual time: packs on slots, events in a heap, decisions as a launch makes them.

Nothing here waits or trains. A pack's report is due once its stacks have, one after the other,
come to their next evaluations; a stack of L lanes takes as long as its ``Pace`` says, so that
lanes that leave make the others faster, and narrow stacks are dear.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.decide import Lanes, decide, standing
from orchestrator.early_stopping import Rules
from orchestrator.search import Source
from orchestrator.simulate.curve import Curve, Curves, SimulateError
from orchestrator.simulate.pace import Pace, Paces, pack_key
from orchestrator.store import Outcome
from trainables.configs.function_run import Run

_MOST_SILENCE = 1000
"""Times that a search may have nothing to give while nothing trains."""


@dataclass(slots=True)
class VirtualClock:
    """Seconds since the study began; rules that ask for the time ask this."""

    now: float = 0.0


@dataclass(slots=True)
class Lane:
    """A run that has begun, and how it stands."""

    run_id: str
    curve: Curve
    number: int
    """Its lane in the pack."""
    began: float
    reported: int = 0
    """Evaluations so far."""
    seconds: float = 0.0
    """Its share of its stacks' time."""
    status: str = "running"
    reason: str = ""
    ended: float = 0.0

    @property
    def batches(self) -> int:
        """Batches that it has been trained on, as far as it has reported them."""
        return self.curve.batches[self.reported - 1] if self.reported else 0

    @property
    def at_end(self) -> bool:
        return self.reported == len(self.curve.batches)

    def value(self, metric: str) -> float | None:
        """The last value of a metric; None where there is none."""
        if not self.reported or self.status in ("diverged", "failed"):
            return None
        return self.curve.measured(self.reported - 1).get(metric)

    def outcome(self) -> Outcome:
        last = self.reported - 1
        return Outcome(
            run_id=self.run_id,
            lane=self.number,
            status=self.status,
            reason=self.reason,
            steps=self.curve.steps[last],
            epochs=self.curve.epochs[last],
            examples=self.curve.examples[last],
            wall_seconds=self.seconds,
            final=self.curve.measured(last),
            best={},
        )


@dataclass(slots=True)
class Stack:
    """Lanes at one step."""

    lanes: list[Lane]
    at: int = 0
    """Batches so far."""


@dataclass(slots=True)
class VirtualPack:
    pace: Pace
    lanes: Lanes
    stacks: list[Stack]
    began: float
    size: int
    """Lanes that it has had, those that joined included."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of the report that is due."""
    touched: list[Lane] = field(default_factory=list)


@dataclass(slots=True)
class Played:
    """What came of it."""

    lanes: dict[str, Lane]
    """Every run that began."""
    began: float
    """Seconds at which the first pack began."""
    ended: float
    """Seconds at which the last pack ended."""
    slot_seconds: float
    """Summed over packs."""
    lane_seconds: float
    """Lanes that trained × seconds, summed over packs."""
    width_seconds: float
    """Lanes that packs began with × seconds, summed over packs."""
    packs: int
    reports: int


class Player:
    """Plays a study to its end."""

    def __init__(
        self,
        source: Source,
        rules: Rules,
        curves: Curves,
        paces: Paces,
        clock: VirtualClock,
        *,
        slots: int,
        lanes: int,
    ) -> None:
        """
        Args:
            clock: the one that the rules ask; the first packs begin at its time.
            slots: packs that train at the same time.
            lanes: runs in a new pack, at most.
        """
        self._source = source
        self._rules = rules
        self._curves = curves
        self._paces = paces
        self._clock = clock
        self._slots = slots
        self._width = lanes
        self._events: list[tuple[float, int, VirtualPack]] = []
        self._no_more = False
        self._played = Played({}, clock.now, clock.now, 0.0, 0.0, 0.0, 0, 0)

    def play(self) -> Played:
        """
        Raises:
            SimulateError: the search gives nothing, though nothing trains.
        """
        self._fill_slots()
        while self._events:
            self._clock.now, _, pack = heapq.heappop(self._events)
            self._report(pack)
            self._fill_slots()
        self._played.ended = self._clock.now
        return self._played

    def _fill_slots(self) -> None:
        """As ``PackSearcher``: a pack is made when a slot is free for it."""
        silent = 0
        while not self._no_more and len(self._events) < self._slots:
            if self._rules.used_up() is not None:
                self._no_more = True
                return
            runs = self._source.take(self._width, None)
            if runs:
                self._begin(runs)
            elif runs is not None:
                self._no_more = True
            elif self._events:
                return
            else:
                silent += 1
                if silent > _MOST_SILENCE:
                    raise SimulateError("the search suggests nothing more, and nothing trains")

    def _begin(self, runs: Mapping[str, Run]) -> None:
        first = next(iter(runs.values()))
        key = pack_key(first)
        lanes = Lanes(width=len(runs), key=key, live=set(runs))
        pack = VirtualPack(self._paces.of(first, key), lanes, [], self._clock.now, 0)
        self._played.packs += 1
        self._add_stack(pack, runs)
        self._train(pack)

    def _add_stack(self, pack: VirtualPack, runs: Mapping[str, Run]) -> None:
        lanes = []
        for run_id, run in runs.items():
            if run_id in self._played.lanes:
                raise AssertionError(f"run {run_id} begins a second time")
            lane = Lane(run_id, self._curves.of(run_id, run), pack.size, self._clock.now)
            self._played.lanes[run_id] = lane
            pack.size += 1
            lanes.append(lane)
        pack.stacks.append(Stack(lanes))

    def _train(self, pack: VirtualPack) -> None:
        """Brings each stack to its next evaluation, and puts the report where it is due."""
        seconds, lane_seconds = 0.0, 0.0
        for stack in pack.stacks:
            count = len(stack.lanes)
            stop = min(lane.curve.batches[lane.reported] for lane in stack.lanes)
            spent = pack.pace.seconds(count, stop - stack.at)
            stack.at = stop
            seconds += spent
            for lane in stack.lanes:
                lane.seconds += spent / count
                if lane.curve.batches[lane.reported] == stop:
                    pack.rows.append(lane.curve.row(lane.run_id, lane.reported, lane.seconds))
                    pack.touched.append(lane)
        lane_seconds = seconds * sum(len(stack.lanes) for stack in pack.stacks)
        self._played.slot_seconds += seconds
        self._played.lane_seconds += lane_seconds
        self._played.width_seconds += seconds * pack.lanes.width
        self._played.reports += 1
        due = self._clock.now + seconds
        heapq.heappush(self._events, (due, self._played.reports, pack))

    def _report(self, pack: VirtualPack) -> None:
        """A report is due: what is decided on it, and the pack's next one."""
        rows, touched = pack.rows, pack.touched
        pack.rows, pack.touched = [], []
        for lane in touched:
            lane.reported += 1
            if lane.at_end:
                self._end(lane, lane.curve.status, lane.curve.reason)
        ended = {lane.run_id for lane in touched if lane.at_end}
        done = len(ended) == len(pack.lanes.live)
        outcomes = [lane.outcome() for lane in touched]
        verdict = decide(self._rules, self._source, pack.lanes, rows, ended, done=done)
        reported = {lane.run_id for lane in touched}
        others = [self._played.lanes[run_id] for run_id in verdict.stop if run_id not in reported]
        outcomes += [lane.outcome() for lane in others if lane.reported]
        for run_id, reason in verdict.stop.items():
            self._end(self._played.lanes[run_id], "stopped", reason)
        self._source.tell(standing(outcomes, verdict.stop), rows)
        if ended or verdict.stop:
            for stack in pack.stacks:
                stack.lanes = [lane for lane in stack.lanes if lane.status == "running"]
            pack.stacks = [stack for stack in pack.stacks if stack.lanes]
        if verdict.join:
            self._add_stack(pack, verdict.join)
        if pack.stacks:
            self._train(pack)

    def _end(self, lane: Lane, status: str, reason: str) -> None:
        lane.status, lane.reason, lane.ended = status, reason, self._clock.now
