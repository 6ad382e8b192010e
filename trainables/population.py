"""Population-based training: the worst lanes copy the best ones, and change what they copied.

Jaderberg et al. 2017, with truncation selection (their section 4.1): every ``interval``, each of
the worst ``quantile`` of the members takes over the whole state of a random one of the best
``quantile`` (exploit); each of its hyperparameters is then multiplied by one of ``factors``, or
drawn anew with probability ``resample`` (explore). Values stay within the space.

Deviations: members that have diverged are replaced, however many there are; values are rounded to
six digits. Nothing comes from a generator: each choice is a hash of the population's seed, the
run's seed, the step and the member, so that neither restarts nor the order of lanes change it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trainables.configs.base import steps_in, to_plain
from trainables.configs.population import Change, Population
from trainables.configs.run import RunConfig, length
from trainables.engine import Stack
from trainables.lanes import derive
from trainables.progress import Progress
from trainables.stack_state import join, take

Stacks = list[tuple[list[str], Stack]]
Place = tuple[int, int]
"""(stack, lane)."""


class Member(NamedTuple):
    """One run of a population, at an exchange."""

    run_id: str
    score: float
    """Lower is better; infinite where it has diverged."""
    values: Mapping[str, float]
    """Its hyperparameters up to here."""


class Copy(NamedTuple):
    """A member that goes on as another one, with these hyperparameters."""

    member: str
    source: str
    values: dict[str, float]


@dataclass(slots=True)
class Exchange:
    """What has become of the stacks of a pack."""

    stacks: Stacks
    runs: dict[str, RunConfig] = field(default_factory=dict)
    """Those that have changed, as they go on."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Run, step (batches), source and new values of each copy."""


def check_whole(runs: Iterable[RunConfig], held: int | None = None) -> None:
    """A population trains with all of its members at once.

    Args:
        held: how many of the lanes memory holds; None: all.

    Raises:
        ValueError: some are missing, or would have to wait.
    """
    found = _populations((run, run) for run in runs)
    lanes = sum(map(len, found.values()))
    if held is not None and lanes > held:
        raise ValueError(f"memory holds {held} of the {lanes} members that must train together")
    for (population, _), members in found.items():
        if len(members) < population.size:
            raise ValueError(
                f"{len(members)} of a population's {population.size} members do not train alone"
            )


def _populations(
    runs: Iterable[tuple[Any, RunConfig]],
) -> dict[tuple[Population, int], list[Any]]:
    """(population, seed) → its members, of pairs (member, configuration)."""
    found: dict[tuple[Population, int], list[Any]] = {}
    for member, run in runs:
        if run.population is not None:
            found.setdefault((run.population, run.seed), []).append(member)
    return found


def spared(
    run: RunConfig, earlier: str, status: str, reason: str, *, ended: bool
) -> tuple[str, str]:
    """Status and reason of a run for which ``verdict`` has found these.

    A member that diverges stays, with the reason noted, until the next exchange or the end.

    Args:
        earlier: the reason noted before, "" where it was fine.
    """
    if run.population is None or not (earlier or status == "diverged"):
        return status, reason
    return ("diverged" if ended else "running"), earlier or reason


def in_force(run: RunConfig, step: int) -> dict[str, float]:
    """The mutable hyperparameters of the step that begins after ``step`` batches."""
    if run.population is None:
        return {}
    values = {at.name: float(getattr(run.optimizer, at.name)) for at in run.population.space}
    for change in run.train.changes:
        if change.step <= step:
            values |= change.optimizer
    return values


def decide(
    population: Population, seed: int, step: int, members: Sequence[Member]
) -> list[Copy] | None:
    """Who goes on as whom, and with what; None where every member has diverged.

    Args:
        seed: the members' seed.
        members: in any order.
    """

    def share(*words: object) -> float:
        return derive(population.seed, "population", seed, step, *words) / 2**63

    alive = [member for member in members if math.isfinite(member.score)]
    if not alive:
        return None
    # Ties are broken by chance: a place among the lanes must not decide.
    alive.sort(key=lambda member: (member.score, share("tie", member.run_id)))
    count = int(population.quantile * len(members) + 1e-9)
    lost = [member for member in members if not math.isfinite(member.score)]
    worst = alive[len(alive) - max(0, count - len(lost)) :]
    best = alive[: max(1, count)]
    copies = []
    for member in [*lost, *worst]:
        source = best[int(share("source", member.run_id) * len(best))]
        values = _explored(population, source.values, share, member.run_id)
        copies.append(Copy(member.run_id, source.run_id, values))
    return copies


def _explored(
    population: Population, values: Mapping[str, float], share: Any, run_id: str
) -> dict[str, float]:
    found = {}
    for at in population.space:
        if share("resample", run_id, at.name) < population.resample:
            found[at.name] = at.at(share("value", run_id, at.name))
        else:
            factors = population.factors
            factor = factors[int(share("factor", run_id, at.name) * len(factors))]
            found[at.name] = at.within(values[at.name] * factor)
    return found


def exchange(stacks: Stacks, progress: Mapping[str, Progress]) -> Exchange:
    """Has the populations of a pack exchange members, where that is due after an evaluation.

    What is copied stays on the device, and is copied across the stacks of a pack as within one.

    Args:
        progress: run_id → how the run stands. Of a member that is replaced, ``reason`` is cleared;
            a population that has diverged as a whole ends here.
    """
    places = {
        run_id: (number, lane)
        for number, (run_ids, stack) in enumerate(stacks)
        if _due(stack)
        for lane, run_id in enumerate(run_ids)
    }
    runs = {run_id: stacks[number][1].runs[lane] for run_id, (number, lane) in places.items()}
    found = Exchange(stacks)
    sources: dict[str, str] = {}
    for (population, seed), members in _populations(runs.items()).items():
        step = stacks[places[members[0]][0]][1].step
        ranked = [_member(progress[run_id], runs[run_id], step) for run_id in members]
        copies = decide(population, seed, step, ranked)
        if copies is None:
            for run_id in members:
                progress[run_id].status = "diverged"
            continue
        for copy in copies:
            sources[copy.member] = copy.source
            run, source = runs[copy.member], runs[copy.source]
            found.runs[copy.member] = _successor(run, source, step, copy.values)
            found.events.append(
                {"run_id": copy.member, "step": step, "source": copy.source, "values": copy.values}
            )
            progress[copy.member].reason = ""
    found.stacks = [
        (run_ids, _replaced(number, stacks, sources, found.runs, places))
        for number, (run_ids, _) in enumerate(stacks)
    ]
    return found


def _due(stack: Stack) -> bool:
    run = stack.runs[0]
    if run.population is None:
        return False
    total = length(run.train, stack.steps_per_epoch)
    interval = steps_in(
        run.population.interval, total_steps=total, steps_per_epoch=stack.steps_per_epoch
    )
    return stack.reached(max(1, round(interval / stack.interval)) * stack.interval)


def _member(progress: Progress, run: RunConfig, step: int) -> Member:
    assert run.population is not None
    score = progress.final.get(run.population.metric, math.nan)
    score = -score if run.population.mode == "max" else score
    fine = math.isfinite(score) and not progress.reason
    return Member(progress.run_id, score if fine else math.inf, in_force(run, step))


def _successor(
    run: RunConfig, source: RunConfig, step: int, values: Mapping[str, float]
) -> RunConfig:
    """The run as it goes on: all that has led to its source's state, and what changes now.

    So a member is at any time an ordinary run, which trains to the same numbers by itself.
    """
    change = Change(step=step, optimizer=dict(values))
    train = dataclasses.replace(run.train, changes=(*source.train.changes, change))
    return dataclasses.replace(run, optimizer=source.optimizer, train=train)


def _replaced(
    number: int,
    stacks: Stacks,
    sources: Mapping[str, str],
    runs: Mapping[str, RunConfig],
    places: Mapping[str, Place],
) -> Stack:
    """One of the stacks with the lanes that it has from now on."""
    run_ids, stack = stacks[number]
    if not any(run_id in sources for run_id in run_ids):
        return stack
    states = [stack.state_dict()]
    index = list(range(stack.lanes))
    lanes = stack.lanes
    for lane, run_id in enumerate(run_ids):
        if run_id in sources:
            other, place = places[sources[run_id]]
            if other == number:
                index[lane] = place
            else:
                states.append(stacks[other][1].lane_states([place]))
                index[lane], lanes = lanes, lanes + 1
    state = take(join(states) if len(states) > 1 else states[0], index)
    own = zip(run_ids, stack.runs, strict=True)
    return stack.put([runs.get(run_id, run) for run_id, run in own], state)


def lineages(runs: Mapping[str, RunConfig]) -> dict[str, Any]:
    """What exchanges have made of runs, as plain data; of the others nothing."""
    return {
        run_id: {
            "optimizer": in_force(run, -1),
            "changes": to_plain(run.train.changes),
        }
        for run_id, run in runs.items()
        if run.population is not None and run.train.changes
    }


def with_lineages(runs: Mapping[str, RunConfig], saved: Mapping[str, Any]) -> dict[str, RunConfig]:
    """The runs as they were when ``lineages`` was taken of them."""
    found = dict(runs)
    for run_id in runs.keys() & saved.keys():
        run, lineage = runs[run_id], saved[run_id]
        changes = tuple(Change(**change) for change in lineage["changes"])
        found[run_id] = dataclasses.replace(
            run,
            optimizer=dataclasses.replace(run.optimizer, **lineage["optimizer"]),
            train=dataclasses.replace(run.train, changes=changes),
        )
    return found
