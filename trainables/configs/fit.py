"""Whether a schedule's durations fit its training: known beforehand, and said in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainables.configs import schedules as s
from trainables.configs.base import Duration, steps_in

Measure = Callable[[Duration, float], float | None]
"""(duration, the whole that shares are of) → its length in the caller's unit, None: unknown."""
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Misfit:
    """What does not fit, at which path below the schedule."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class _Room:
    """A training, or the part of one that a schedule has."""

    total: float
    measure: Measure
    unit: str
    name: str = "training"

    def length(self, duration: Duration) -> float | None:
        return self.measure(duration, self.total)

    def slack(self, duration: Duration) -> float:
        """What a share may exceed its limit by, as it is rounded to whole steps."""
        return 1.0 if isinstance(duration, float) and self.unit == "steps" else 0.0

    def text(self, amount: float) -> str:
        return f"{amount:.6g} {self.unit}"


def misfits(schedule: s.Schedule, total: float, measure: Measure, unit: str) -> Iterator[Misfit]:
    """Every duration of ``schedule`` that a training of ``total`` has no room for.

    A warmup, period or interval must not be longer than training; a milestone, the decay of
    ``wsd`` and the parts of a sequence must fit what the warmup leaves. ``inverse_sqrt``'s
    offset is a scale and may be longer. Durations that ``measure`` does not know are passed.
    """
    yield from _misfits(schedule, _Room(total, measure, unit))


def unfit(schedule: s.Schedule, total_steps: int, steps_per_epoch: int) -> list[Misfit]:
    """The schedule's durations that a training of ``total_steps`` steps has no room for."""

    def measure(duration: Duration, whole: float) -> float:
        return steps_in(duration, total_steps=int(whole), steps_per_epoch=steps_per_epoch)

    return list(misfits(schedule, total_steps, measure, "steps"))


def _misfits(schedule: s.Schedule, room: _Room) -> Iterator[Misfit]:
    warmup = room.length(schedule.warmup)
    if warmup is not None and warmup >= room.total:
        message = (
            f"must be shorter than {room.name} ({room.text(room.total)}), got {room.text(warmup)}"
        )
        yield Misfit(("warmup",), message)
        return
    rest = None if warmup is None else room.total - warmup
    if isinstance(schedule, s.OneCycle):
        yield from _three_phases(schedule, room)
    for path, duration in _lengths(schedule):
        yield from _at_most(path, duration, room.total, room, room.name)
    if rest is None:
        return
    after = f"what the warmup leaves of {room.name}" if schedule.warmup != 0 else room.name
    for path, duration in _within_rest(schedule):
        yield from _at_most(path, duration, rest, room, after)
    if isinstance(schedule, s.Sequence):
        yield from _sequence(schedule, rest, room, after)
    elif isinstance(schedule, s.Chain):
        inside = _Room(rest, room.measure, room.unit, after)
        for index, part in enumerate(schedule.schedules):
            yield from _below(("schedules", index), _misfits(part, inside))


def _lengths(schedule: s.Schedule) -> Iterator[tuple[tuple[str | int, ...], Duration]]:
    if isinstance(schedule, s.Step):
        yield ("every",), schedule.every
    elif isinstance(schedule, s.Sgdr | s.Cyclic):
        yield ("period",), schedule.period


def _within_rest(schedule: s.Schedule) -> Iterator[tuple[tuple[str | int, ...], Duration]]:
    if isinstance(schedule, s.MultiStep):
        for index, milestone in enumerate(schedule.milestones):
            yield ("milestones", index), milestone
    elif isinstance(schedule, s.Wsd):
        yield ("decay",), schedule.decay
    elif isinstance(schedule, s.Constant) and schedule.until is not None:
        yield ("until",), schedule.until


def _at_most(
    path: tuple[str | int, ...], duration: Duration, limit: float, room: _Room, name: str
) -> Iterator[Misfit]:
    found = room.length(duration)
    if found is not None and found > limit * _ROUNDING + room.slack(duration):
        message = f"must not exceed {name} ({room.text(limit)}), got {room.text(found)}"
        yield Misfit(path, message)


def _three_phases(schedule: s.OneCycle, room: _Room) -> Iterator[Misfit]:
    rise = room.length(schedule.warmup)
    if not schedule.three_phase or rise is None:
        return
    if 2 * rise > room.total * _ROUNDING + room.slack(schedule.warmup):
        message = (
            f"must not exceed half of {room.name} ({room.text(room.total)}) with three_phase,"
            f" got {room.text(rise)}"
        )
        yield Misfit(("warmup",), message)


def _sequence(schedule: s.Sequence, rest: float, room: _Room, after: str) -> Iterator[Misfit]:
    lengths = [room.length(duration) for duration in schedule.durations]
    known = [length for length in lengths if length is not None]
    if sum(known) >= rest:
        message = (
            f"must be shorter than {after} ({room.text(rest)}) together, got"
            f" {room.text(sum(known))}"
        )
        yield Misfit(("durations",), message)
        return
    last = rest - sum(known) if len(known) == len(lengths) else None
    for index, (part, length) in enumerate(zip(schedule.schedules, [*lengths, last], strict=True)):
        if length:
            inside = _Room(length, room.measure, room.unit, "its part of the sequence")
            yield from _below(("schedules", index), _misfits(part, inside))


def _below(path: tuple[str | int, ...], found: Iterator[Misfit]) -> Iterator[Misfit]:
    for misfit in found:
        yield Misfit((*path, *misfit.path), misfit.message)
