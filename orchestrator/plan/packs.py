"""Runs into packs: by fusion key, as many as keep every slot busy, evenly mixed."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.plan.trees import first_batch, lanes_at_once, trees_of
from trainables.configs.function_run import FunctionRun, Run
from trainables.configs.run import RunConfig, fusion_key, length, run_id

MOST_LANES = 256
"""Lanes a pack at most, unless the study says otherwise: bounds memory and lost work."""
_PACKS_A_SLOT = 2
"""With several groups of runs, this many packs a slot leave no slot waiting for a straggler."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Runs that one trial trains together; ``run_ids[k]`` is lane k."""

    pack_id: str
    run_ids: tuple[str, ...]
    cost: int
    """Work relative to other packs of the study: examples to train on."""
    lanes: int
    """The most runs of it that train at the same time: of networks, those of one level."""


def unique_runs(runs: Iterable[Run]) -> dict[str, Run]:
    """run_id → configuration, in order; equal configurations are one run."""
    return {run_id(config): config for config in runs}


def make_packs(
    runs: Mapping[str, Run],
    *,
    slots: int,
    most_lanes: int | None = None,
    starts: Mapping[str, int] = MappingProxyType({}),
) -> list[Pack]:
    """Packs for these runs, the longest first.

    Runs are grouped by fusion key. One group makes ``slots`` packs of equal size, or the next
    multiple that respects ``most_lanes``; several groups share the slots by their work. Each
    group is dealt out in order of length, so that its packs end together. A population is one
    pack. A dense network and all that comes from it are in one pack, what a run comes from before
    it. A run of a user's own function is a pack of its own, in the order of the study.

    Args:
        slots: packs that train at the same time.
        most_lanes: runs of a pack that train at the same time, but for one tree of networks.
        starts: run_id → batches that it has seen already, where it goes on from another run.
            Runs that start elsewhere share no pack: they could not be stacked.
    """
    trained, own = by_kind(runs)
    alone = [Pack(pack_id_of([name]), (name,), 1, 1) for name in own]
    return _fused(trained, slots, most_lanes, starts) + alone if trained else alone


def by_kind(runs: Mapping[str, Run]) -> tuple[dict[str, RunConfig], dict[str, FunctionRun]]:
    """The runs that Regatta trains, and those of a user's own function."""
    trained = {name: run for name, run in runs.items() if isinstance(run, RunConfig)}
    return trained, {name: run for name, run in runs.items() if isinstance(run, FunctionRun)}


def _fused(
    runs: Mapping[str, RunConfig], slots: int, most_lanes: int | None, starts: Mapping[str, int]
) -> list[Pack]:
    groups: dict[tuple[str, int, int], dict[str, list[str]]] = {}
    for tree, names in trees_of(runs).items():
        config = runs[names[0]]
        population = -1 if config.population is None else config.seed
        key = (fusion_key(config), starts.get(tree, 0), population)
        groups.setdefault(key, {})[tree] = names
    left = {name: max(1, work(run) - starts.get(name, 0)) for name, run in runs.items()}
    cost = {name: left[name] * run.train.batch_size for name, run in runs.items()}
    total = sum(cost.values())
    wanted = slots if len(groups) == 1 else slots * _PACKS_A_SLOT
    packs: list[Pack] = []
    for (_, _, population), trees in groups.items():
        costs = {tree: sum(cost[name] for name in names) for tree, names in trees.items()}
        widest = max(lanes_at_once(runs[name] for name in names) for names in trees.values())
        most = max(1, (most_lanes or MOST_LANES) // widest)
        count = 1
        if population < 0:
            count = _pack_count(len(trees), sum(costs.values()) / total * wanted, slots, most)
        alone = all(len(names) == 1 for names in trees.values())
        for dealt in _dealt(costs, count) if alone else _balanced(costs, count, most):
            names = [name for tree in dealt for name in trees[tree]]
            lanes = lanes_at_once(runs[name] for name in names)
            packs.append(Pack(pack_id_of(names), tuple(names), sum(costs[t] for t in dealt), lanes))
    return sorted(packs, key=lambda pack: -pack.cost)


def _dealt(costs: Mapping[str, int], count: int) -> list[list[str]]:
    """The longest first, around as cards are: packs of as many runs, of all lengths."""
    by_length = sorted(costs, key=lambda name: -costs[name])
    return [by_length[first::count] for first in range(count)]


def _balanced(costs: Mapping[str, int], count: int, most: int) -> list[list[str]]:
    """Trees onto packs of about equal cost: each, the longest first, to the pack that has least,
    of those with fewer than ``most``."""
    heap = [(0, number) for number in range(count)]
    packs: list[list[str]] = [[] for _ in range(count)]
    for tree in sorted(costs, key=lambda tree: -costs[tree]):
        cost, number = heapq.heappop(heap)
        packs[number].append(tree)
        if len(packs[number]) < most:
            heapq.heappush(heap, (cost + costs[tree], number))
    return packs


def _pack_count(runs: int, wanted: float, slots: int, most_lanes: int) -> int:
    """Packs for a group: about ``wanted``, enough for ``most_lanes``, in whole rounds."""
    count = max(1, round(wanted), math.ceil(runs / most_lanes))
    if count > slots:
        count = math.ceil(count / slots) * slots
    return min(count, runs)


def pack_id_of(run_ids: Sequence[str]) -> str:
    """A pack's id: its runs, in the order of their lanes."""
    return hashlib.sha256(",".join(run_ids).encode()).hexdigest()[:12]


def first_lanes(runs: Mapping[str, RunConfig], *, slots: int, most_lanes: int | None = None) -> int:
    """Lanes of a pack whose lanes are stopped early and filled again; ``most_lanes`` if given.

    Half of a group's runs begin in the packs that share it; the other half waits for lanes that
    become free. With all of them in at once there would be nothing to fill up with, and packs
    would narrow to stacks that use the device badly; with fewer, stacks are narrow from the
    start. The first rung of ASHA frees two lanes of three, enough for two thirds of those that
    wait, and what it frees of these is enough for the rest.
    """
    groups = Counter(fusion_key(config) for config in runs.values())
    if most_lanes is not None or not groups:
        return most_lanes or 1
    sharing = max(1, round(slots / len(groups)))
    return min(MOST_LANES, math.ceil(max(groups.values()) / (2 * sharing)))


def cpus_a_pack(nodes: Sequence[float], packs: int) -> int:
    """The most CPUs that each of so many packs can have while all of them train.

    Args:
        nodes: CPUs of each machine; a pack stays on one.
    """
    most = max(1, int(max(nodes, default=1)))
    return next(
        (cpus for cpus in range(most, 1, -1) if sum(int(n / cpus) for n in nodes) >= packs), 1
    )


def work(config: RunConfig) -> int:
    """Training steps; epochs where the data set's size is not known beforehand. Of a network that
    comes from another, those of its own."""
    per_epoch = steps_per_epoch(config) or 1
    return length(config.train, per_epoch) - first_batch(config, per_epoch)


def steps_per_epoch(config: RunConfig) -> int | None:
    """Optimizer steps in an epoch, where the size of the data set is known beforehand."""
    sizes = config.data.sizes()
    return None if sizes is None else max(1, sizes.train // config.train.batch_size)
