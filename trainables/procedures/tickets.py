"""What pruned networks begin with: masks, weights, and the state of a lane made of both."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.arrays import Arrays
from trainables.configs.base import steps_in, to_plain
from trainables.configs.lottery import Node
from trainables.configs.run import RunConfig, fusion_key, length, step_ends
from trainables.configs.schedules import Constant, Plateau
from trainables.curvature.objective import Objective
from trainables.engine import Stack
from trainables.gradients import Batch
from trainables.lanes import Tree, derive
from trainables.pruning import masks, rewind
from trainables.pruning.criteria import Evidence, prune
from trainables.schedules import table
from trainables.stack_state import StackState, join, take


class Origins(NamedTuple):
    """What a network is made of, each the state of a lane; None where it has no part in it."""

    end: StackState | None = None
    """Of the network that it is pruned from."""
    snapshot: StackState | None = None
    """Of the dense network at the rewind step."""
    sibling: StackState | None = None
    """Of its sibling at the end, where it is a child."""


def node_of(run: RunConfig) -> Node:
    assert run.lottery is not None, "only what comes from a dense network is made here"
    return run.lottery


def rewind_step(run: RunConfig, steps_per_epoch: int) -> int:
    """``rewind_to`` in batches of ``batch_size``.

    Raises:
        ValueError: nothing would be left to train.
    """
    total = length(run.train, steps_per_epoch)
    found = steps_in(node_of(run).rewind_to, total_steps=total, steps_per_epoch=steps_per_epoch)
    if found >= total:
        raise ValueError(f"rewind_to: step {found} is not before the end of training, {total}")
    return found


def begins_anew(node: Node) -> bool:
    """Whether it trains other first weights than the dense network's, from step 0."""
    return node.control in ("reinitialized", "signs")


def is_ticket(run: RunConfig) -> bool:
    """Whether it is a pruned network that is neither a control nor a child."""
    node = node_of(run)
    return node.level > 0 and node.control is None and node.child == 0


def needs_snapshot(run: RunConfig, steps_per_epoch: int) -> bool:
    """Whether weights of the dense network at a step after its first have a part in it.

    A child's have: it begins with what its sibling began with.
    """
    node = node_of(run)
    rewinds = node.after == "rewind" and not begins_anew(node)
    prunes = node.prunes_at == "start" and node.level > 0 and node.child == 0
    return (rewinds or prunes) and rewind_step(run, steps_per_epoch) > 0


def as_trained(run: RunConfig, steps_per_epoch: int) -> RunConfig:
    """The run with what its training takes from its node: data order, and schedule.

    A child's order, dropout and augmentation are those of another seed. Fine-tuning has the last
    rate of the run's schedule throughout.

    Raises:
        ValueError: the last rate is 0, or not known beforehand.
    """
    if run.lottery is None:
        return run
    node = run.lottery
    if node.child:
        run = replace(run, seed=derive(run.seed, "child", node.child))
    if node.after != "fine_tune" or begins_anew(node) or node.level == 0:
        return run
    if isinstance(run.schedule, Plateau):
        raise ValueError(
            "after: fine_tune needs the last rate of the schedule, which plateau finds"
        )
    total = length(run.train, steps_per_epoch)
    last = float(table(run.schedule, run.optimizer.lr, total, steps_per_epoch)[-1])
    if last <= 0:
        raise ValueError("after: fine_tune trains at the schedule's last rate, and that is 0")
    optimizer = replace(run.optimizer, lr=last)
    return replace(run, optimizer=optimizer, schedule=Constant())


def group_key(run: RunConfig, steps_per_epoch: int) -> str:
    """What networks share whose masks and weights are found together."""
    node = node_of(run)
    shared = to_plain(replace(node, rate=0.5, child=0)) | {
        "output_rate": node.output_rate is None,
        "layer_rates": sorted(node.layer_rates),
        "child": node.child > 0,
        "at": rewind_step(run, steps_per_epoch),
    }
    return fusion_key(run) + json.dumps(shared, sort_keys=True)


def first_states(
    runs: Sequence[RunConfig], arrays: Arrays, origins: Sequence[Origins]
) -> list[StackState]:
    """The states that networks of one ``group_key`` begin with, a lane each.

    Args:
        runs: as the study has them, not ``as_trained``: weights are of the run's own seed.

    Raises:
        ValueError: nothing can be pruned, or patterns match nothing.
    """
    # A child begins as its sibling did.
    begins = [replace(run, lottery=replace(node_of(run), child=0)) for run in runs]
    fresh, node = Stack(begins, arrays), node_of(runs[0])
    end = joined([one.end for one in origins])
    snapshot = joined([one.snapshot for one in origins])
    if node.child:
        found = _masks_of(joined([one.sibling for one in origins]), fresh)
    else:
        found = _pruned(fresh, end, snapshot)
        if node.control == "shuffled":
            found = rewind.shuffled(found, [run.seed for run in runs], node.level)
    state = masks.with_masks(_begun(fresh, end, snapshot, [*found]), found)
    return [take(state, [lane]) for lane in range(len(runs))]


def joined(states: Sequence[StackState | None]) -> StackState | None:
    """The lanes in one state, as if all were at the first one's step; None of none.

    A network may have reached its target before another, or be between two evaluations.
    """
    there = [state for state in states if state is not None]
    if not there:
        return None
    alike: StackState = {"losses": [], "scores": [], "counts": [], "updates": there[0]["updates"]}
    return join([state | alike for state in there])


def _masks_of(sibling: StackState | None, fresh: Stack) -> Tree:
    """A child's masks: bit for bit those of the network whose data order it leaves."""
    assert sibling is not None, "a child begins once its sibling has ended"
    own: Tree = sibling["masks"]
    # A dense one has masks, too: it trains in a stack with pruned ones.
    return own or masks.ones(fresh.params, masks.prunable(fresh.network.module))


def _pruned(fresh: Stack, end: StackState | None, snapshot: StackState | None) -> Tree:
    """The masks of the level, (L, …)."""
    nodes = [node_of(run) for run in fresh.runs]
    first = nodes[0]
    names = masks.prunable(fresh.network.module, first.exclude)
    source = (end if first.prunes_at == "end" else snapshot) or fresh.state_dict()
    before: Tree = dict(source["masks"]) or masks.ones(fresh.params, names)
    loss = fresh.runs[0].train.loss
    evidence = Evidence(
        params=source["params"],
        initial=fresh.params,
        masks=before,
        seeds=[run.seed for run in fresh.runs],
        level=first.level - 1,
        objective=Objective(fresh.network, source["buffers"], _looked_at(fresh, first), loss),
    )
    layerwise = first.scope == "layerwise"
    outputs = [node.rate / 2 if node.output_rate is None else node.output_rate for node in nodes]
    return prune(
        first.criterion,
        first.scope,
        evidence,
        _rates(nodes, [node.rate for node in nodes]),
        _rates(nodes, outputs) if layerwise else None,
        layer_rates=_layer_rates(nodes, names),
    )


def _looked_at(fresh: Stack, node: Node) -> Batch:
    """The first batches of the epoch that training is rewound to."""
    per_epoch = fresh.steps_per_epoch
    if node.batches > per_epoch:
        raise ValueError(f"batches: {node.batches} is more than the {per_epoch} of an epoch")
    first = rewind_step(fresh.runs[0], per_epoch) // per_epoch * per_epoch
    return fresh.batch(first, node.batches)


def _rates(nodes: Sequence[Node], rates: Sequence[float]) -> Tensor:
    """What goes of the weights that there are: at once, what all levels up to this one take."""
    found = [
        1 - (1 - rate) ** node.level if node.prunes_at_once else rate
        for node, rate in zip(nodes, rates, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


def _layer_rates(nodes: Sequence[Node], names: Sequence[str]) -> Tree:
    """The rates of the layers that patterns name, (L,) each; of several, the last one counts."""
    found: Tree = {}
    for pattern in nodes[0].layer_rates:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(f"layer_rates: {pattern!r} matches none of {', '.join(names)}")
        rates = _rates(nodes, [node.layer_rates[pattern] for node in nodes])
        found |= dict.fromkeys(matching, rates)
    return found


def _begun(
    fresh: Stack, end: StackState | None, snapshot: StackState | None, names: Sequence[str]
) -> StackState:
    """What the networks begin with before they are masked."""
    run, node = fresh.runs[0], node_of(fresh.runs[0])
    if begins_anew(node):
        return fresh.begun_with(_other_weights(fresh, node, names), fresh.buffers)
    at = rewind_step(run, fresh.steps_per_epoch)
    if node.after == "rewind":
        if snapshot is None:
            return fresh.state_dict()
        begun = fresh.begun_with(snapshot["params"], snapshot["buffers"])
        begun |= {"updates": snapshot["updates"], "plateaus": snapshot["plateaus"]}
        kept = {"state": snapshot["state"], "average": snapshot["average"]}
        return begun | kept if node.optimizer_state == "kept" else begun
    assert end is not None
    begun = fresh.begun_with(end["params"], end["buffers"])
    total = length(run.train, fresh.steps_per_epoch)
    begun["updates"] = bisect.bisect_left(step_ends(run.train, fresh.steps_per_epoch, total), at)
    return begun | {"state": end["state"]} if node.optimizer_state == "kept" else begun


def _other_weights(fresh: Stack, node: Node, names: Sequence[str]) -> Tree:
    arrays = fresh.arrays
    device = arrays.train[0].device
    other = rewind.reinitialized(
        fresh.runs, arrays.input_shape, fresh.outputs, device, arrays.dtype
    )
    if node.control == "signs":
        return rewind.with_signs(other, fresh.params, names)
    return other
