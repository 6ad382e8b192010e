"""The lottery study as one writes it by hand: plain PyTorch, one network after the other.

As OpenLTH has it: masks multiply the weights after each step of an ordinary optimizer. What makes
it slow is left out: the data are in memory, without a ``DataLoader``; the optimizer is PyTorch's
fused one, the quickest here; all masks are applied in one call. Nothing is saved or recorded.

Nothing of ``trainables/pruning`` is used. The seeds of weights, orders and shuffles are Regatta's,
so that both train the same networks.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.contender import trained_runs
from benchmarks.eager import Pair, Splits
from orchestrator.spec import load_study
from trainables import models
from trainables.configs.lottery import Node
from trainables.configs.optimizers import Adam
from trainables.configs.run import RunConfig, evaluation_interval, length, run_id
from trainables.data import load
from trainables.lanes import derive, permutation

Weights = Mapping[str, Tensor]


class Score(NamedTuple):
    """Where a network ended."""

    density: float
    """Share of the weights left."""
    valid_loss: float
    test_accuracy: float


def main() -> None:
    """Trains the networks of a study, and writes their scores as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    runs = trained_runs(load_study(given.study))
    data = Splits.of(load(runs[0].data))
    seeds = dict.fromkeys(run.seed for run in runs)
    trees = [([run for run in runs if run.seed == s], data, given.threads) for s in seeds]
    if given.processes > 1:
        with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
            found = pool.starmap(train_tree, trees, chunksize=1)
    else:
        found = [train_tree(*tree) for tree in trees]
    scores = {run: score for part in found for run, score in part.items()}
    (given.folder / "scores.json").write_text(json.dumps(scores))


def train_tree(runs: Sequence[RunConfig], data: Splits, threads: int) -> dict[str, Score]:
    """The networks of one seed, level by level; run_id → score."""
    torch.set_num_threads(threads)
    x, _ = data.train
    shape = (x.shape[1:], data.outputs)
    initial = copy.deepcopy(models.build(runs[0].model, *shape, runs[0].seed).state_dict())
    names = [name for name, weight in initial.items() if weight.dim() > 1]
    masks = {name: torch.ones_like(initial[name]) for name in names}
    ended: Weights = {}
    level, scores = 0, {}
    for run in sorted(runs, key=_rank):
        node = run.lottery
        control = node.control if node else None
        if node is not None and node.level > level:
            masks, level = pruned(ended, masks, node), node.level
        first = initial
        if control in ("reinitialized", "signs"):
            fresh = derive(run.seed, "reinitialized")
            first = models.build(run.model, *shape, fresh).state_dict()
        if control == "signs":
            first = first | {name: first[name].abs().copysign(initial[name]) for name in names}
        own = shuffled(masks, run.seed, level) if control == "shuffled" else masks
        model = models.build(run.model, *shape, run.seed)
        model.load_state_dict(first)
        scores[run_id(run)] = train(run, model, own if node else {}, data)
        if control is None:
            ended = model.state_dict()
    return scores


def _rank(run: RunConfig) -> tuple[int, bool]:
    """By level; the ticket before its controls."""
    node = run.lottery
    return (0, False) if node is None else (node.level, node.control is not None)


def pruned(ended: Weights, masks: Weights, node: Node) -> dict[str, Tensor]:
    """Masks of 0 and 1: layer by layer, a share of the weights left goes, the smallest first."""
    found = {}
    for name, mask in masks.items():
        last = node.rate / 2 if node.output_rate is None else node.output_rate
        rate = last if name == [*masks][-1] else node.rate
        left = int(mask.sum())
        sizes = torch.where(mask > 0, ended[name].abs(), -1.0)
        staying = sizes.flatten().topk(left - round(rate * left)).indices
        found[name] = torch.zeros(mask.numel()).index_fill(0, staying, 1.0).view_as(mask)
    return found


def shuffled(masks: Weights, seed: int, level: int) -> dict[str, Tensor]:
    """The masks, each in another order."""
    moved = {}
    for name, mask in masks.items():
        generator = torch.Generator().manual_seed(derive(seed, "shuffle", level, name))
        order = torch.randperm(mask.numel(), generator=generator)
        moved[name] = mask.flatten()[order].view_as(mask)
    return moved


def train(run: RunConfig, model: nn.Module, masks: Weights, data: Splits) -> Score:
    """Trains the model under the masks to its end, evaluated as the study says."""
    params = dict(model.named_parameters())
    weights, kept = [params[name].detach() for name in masks], [*masks.values()]
    if masks:
        torch._foreach_mul_(weights, kept)
    optimizer = _optimizer(run, model)
    x, y = data.train
    size, per_epoch = run.train.batch_size, len(x) // run.train.batch_size
    steps, interval = length(run.train, per_epoch), evaluation_interval(run.train, per_epoch)
    for step in range(steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0:
            order = permutation(run.seed, epoch, len(x))
        batch = order[position * size : (position + 1) * size]
        optimizer.zero_grad()
        cross_entropy(model(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if masks:
            torch._foreach_mul_(weights, kept)
        if (step + 1) % interval == 0 or step + 1 == steps:
            loss, _ = _evaluated(model, data.valid)
            _, accuracy = _evaluated(model, data.test)
    density = float(torch.cat([mask.flatten() for mask in kept]).double().mean()) if masks else 1.0
    return Score(density, loss, accuracy)


def _optimizer(run: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    adam = run.optimizer
    assert isinstance(adam, Adam)
    assert run.schedule.name == "constant"
    return torch.optim.Adam(
        model.parameters(),
        lr=adam.lr,
        betas=(adam.beta1, adam.beta2),
        eps=adam.eps,
        weight_decay=adam.weight_decay,
        fused=True,
    )


@torch.no_grad()
def _evaluated(model: nn.Module, split: Pair) -> tuple[float, float]:
    """(loss, accuracy)."""
    x, y = split
    outputs = model(x)
    return float(cross_entropy(outputs, y)), float((outputs.argmax(1) == y).float().mean())


if __name__ == "__main__":
    main()
