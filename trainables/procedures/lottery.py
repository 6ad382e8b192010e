"""The networks of a pack that come from others: which of them wait, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trainables.arrays import Arrays
from trainables.configs import lottery
from trainables.configs.run import RunConfig, run_id
from trainables.engine import Stack
from trainables.procedures.tickets import (
    Origins,
    as_trained,
    first_states,
    group_key,
    is_ticket,
    needs_snapshot,
    rewind_step,
)
from trainables.progress import Progress
from trainables.stack_state import StackState


@dataclass(frozen=True, slots=True)
class Archive:
    """Where states of networks are kept beyond their pack."""

    keep: Callable[[str, int, StackState], None]
    """Is given a run's lane at a step (batches) that networks begin from."""
    load: Callable[[str, int | None], StackState | None]
    """A run's lane at such a step, or at its end; None where it is lost, or never was."""


NO_ARCHIVE = Archive(lambda *_: None, lambda *_: None)


class Need(NamedTuple):
    """A state that a network waits for: of a run, at a step (batches), or at its end."""

    run_id: str
    at: int | None


class Begun(NamedTuple):
    """A network that can begin now."""

    run_id: str
    run: RunConfig
    """As it trains."""
    state: StackState


class Ladder:
    """Networks that wait for others of the pack, or of the archive, and what they wait for.

    States stay on the device for as long as a network waits for them.
    """

    def __init__(self, arrays_of: Callable[[RunConfig], Arrays], archive: Archive) -> None:
        self.waiting: dict[str, RunConfig] = {}
        self.silent: set[str] = set()
        """Runs that ended in another pack and are trained again, as their states are lost."""
        self.siblings: dict[str, str] = {}
        """Children in training → the run that they are measured against."""
        self._arrays_of = arrays_of
        self._archive = archive
        self._needs: dict[str, dict[str, Need]] = {}
        """Run that waits → part of its ``Origins`` → what it waits for."""
        self._states: dict[Need, StackState] = {}

    def add(self, nodes: Mapping[str, RunConfig], present: Collection[str]) -> dict[str, RunConfig]:
        """Has these networks wait.

        Args:
            present: the runs of the pack, trained or in training.

        Returns:
            Dense networks that must be trained again for them; pruned ones wait, too.

        Raises:
            ValueError: training is rewound to its end. Then none waits.
        """
        self._needs |= {name: self._needs_of(run) for name, run in nodes.items()}
        self.waiting |= nodes
        dense: dict[str, RunConfig] = {}
        queue = list(nodes.items())
        while queue:
            name, run = queue.pop()
            known = {run_id(parent): parent for parent in lottery.ancestors(run)}
            for need in self._needs[name].values():
                there = need.run_id in (*present, *self.waiting, *dense)
                if there or self._loaded(need):
                    continue
                again = known[need.run_id]
                self.silent.add(need.run_id)
                if again.lottery is None:
                    dense[need.run_id] = again
                else:
                    self._needs[need.run_id] = self._needs_of(again)
                    self.waiting[need.run_id] = again
                    queue.append((need.run_id, again))
        return dense

    def _steps_per_epoch(self, run: RunConfig) -> int:
        return self._arrays_of(run).examples // run.train.batch_size

    def _needs_of(self, run: RunConfig) -> dict[str, Need]:
        per_epoch = self._steps_per_epoch(run)
        found = {}
        for part, parent in (
            ("end", lottery.pruned_from(run)),
            ("sibling", lottery.sibling(run)),
        ):
            if parent is not None:
                found[part] = Need(run_id(parent), None)
        if needs_snapshot(run, per_epoch):
            found["snapshot"] = Need(run_id(lottery.dense(run)), rewind_step(run, per_epoch))
        return found

    def _loaded(self, need: Need) -> bool:
        if need not in self._states:
            state = self._archive.load(*need)
            if state is None:
                return False
            self._states[need] = state
        return True

    def as_trained(self, run: RunConfig) -> RunConfig:
        """See ``tickets.as_trained``."""
        return as_trained(run, self._steps_per_epoch(run)) if run.lottery else run

    def stops(self, run_ids: Sequence[str], stack: Stack) -> list[int]:
        """The next step at which a lane is due, and those before it that networks begin from."""
        due = stack.next_stop()
        marks = {n.at for n in self._wanted() if n.at is not None and n.run_id in run_ids}
        return [*sorted(at for at in marks if stack.step < at < due), due]

    def observe(self, run_ids: Sequence[str], stack: Stack) -> None:
        """Keeps the lanes that have come to a step that networks begin from."""
        for need in self._wanted():
            passed = need.at is not None and stack.last < need.at <= stack.step
            if passed and need.run_id in run_ids and need not in self._states:
                assert need.at is not None
                state = stack.lane_states([run_ids.index(need.run_id)])
                self._states[need] = state
                self._archive.keep(need.run_id, need.at, state)

    def observe_ended(
        self, run_ids: Sequence[str], stack: Stack, progress: Mapping[str, Progress]
    ) -> None:
        """Keeps the last state of lanes that others wait for."""
        wanted = self._wanted()
        for lane, name in enumerate(run_ids):
            ended = progress[name].status in ("completed", "stopped")
            if ended and Need(name, None) in wanted:
                self._states[Need(name, None)] = stack.lane_states([lane])

    def satisfied(self) -> list[str]:
        """Runs trained again of which nothing more is needed."""
        left = {need.run_id for need in self._wanted() if need not in self._states}
        return [name for name in self.silent if name not in left and name not in self.waiting]

    def _wanted(self) -> set[Need]:
        of_children = {Need(name, None) for name in self.siblings.values()}
        return of_children.union(*(needs.values() for needs in self._needs.values()))

    def orphans(self, progress: Mapping[str, Progress]) -> dict[str, tuple[str, str]]:
        """Networks that cannot begin any more: run_id → status and reason. They wait no longer."""
        found: dict[str, tuple[str, str]] = {}
        for name, needs in self._needs.items():
            for need in needs.values():
                parent = progress.get(need.run_id)
                if need in self._states or parent is None:
                    continue
                if parent.status in ("diverged", "failed"):
                    why = f"run {need.run_id}, which it comes from, {parent.status}"
                    found[name] = (parent.status, why)
                    break
                if need.at is not None and parent.status != "running":
                    why = f"run {need.run_id} ended before step {need.at}, to rewind to"
                    found[name] = ("failed", why)
                    break
        for name in found:
            del self.waiting[name], self._needs[name]
        return found

    def ready(self) -> list[str]:
        """Networks that have all that they wait for."""
        return [
            name
            for name, needs in self._needs.items()
            if all(need in self._states for need in needs.values())
        ]

    def begin(self, names: Sequence[str]) -> Iterator[list[Begun] | tuple[list[str], Exception]]:
        """These networks, in groups whose masks are found together; or why a group cannot."""
        groups: dict[str, list[str]] = {}
        for name in names:
            run = self.waiting[name]
            key = group_key(run, self._steps_per_epoch(run))
            groups.setdefault(key, []).append(name)
        for group in groups.values():
            try:
                yield self._group(group)
            except Exception as error:  # a user's model may raise anything
                yield group, error
        for name in names:
            run, needs = self.waiting.pop(name), self._needs.pop(name)
            if run.lottery is not None and run.lottery.child:
                self.siblings[name] = needs["sibling"].run_id
        self._forget()

    def _group(self, names: Sequence[str]) -> list[Begun]:
        runs = [self.waiting[name] for name in names]
        origins = [
            Origins(**{part: self._states[need] for part, need in self._needs[name].items()})
            for name in names
        ]
        states = first_states(runs, self._arrays_of(runs[0]), origins)
        for name, run, state in zip(names, runs, states, strict=True):
            if is_ticket(run):
                self._archive.keep(name, rewind_step(run, self._steps_per_epoch(run)), state)
        return [
            Begun(name, self.as_trained(run), state)
            for name, run, state in zip(names, runs, states, strict=True)
        ]

    def end_of(self, name: str) -> StackState:
        """The last state of the run that a child is measured against; it has served its purpose."""
        return self._states[Need(self.siblings[name], None)]

    def leave(self, names: Collection[str]) -> None:
        """Children that have ended."""
        for name in names:
            self.siblings.pop(name, None)
        self._forget()

    def give_up(self) -> list[str]:
        """Networks that still wait, where nothing trains that they could wait for; no longer."""
        names, self.waiting = [*self.waiting], {}
        self._needs = {}
        return names

    def _forget(self) -> None:
        wanted = self._wanted()
        self._states = {need: state for need, state in self._states.items() if need in wanted}

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data; configurations are those of the pack."""
        return {
            "waiting": [*self.waiting],
            "silent": sorted(self.silent),
            "siblings": dict(self.siblings),
            "states": [(*need, state) for need, state in self._states.items()],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Puts back what ``state_dict`` gave; what waited is added again afterwards."""
        self.silent = set(saved["silent"])
        self.siblings = dict(saved["siblings"])
        self._states = {Need(name, at): state for name, at, state in saved["states"]}


def with_ancestors(runs: Mapping[str, RunConfig]) -> dict[str, RunConfig]:
    """The runs, and all that they come from, by ``run_id``."""
    found = {run_id(one): one for run in runs.values() for one in lottery.ancestors(run)}
    return found | dict(runs)
