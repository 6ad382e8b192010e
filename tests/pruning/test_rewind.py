"""What a pruned network trains from: bits of a snapshot, or controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from trainables import models
from trainables.configs import RunConfig
from trainables.lanes import Tree, derive
from trainables.pruning import rewind

CPU = torch.device("cpu")
Maker = Callable[..., RunConfig]


def _masks(params: Tree) -> Tree:
    generator = torch.Generator().manual_seed(1)
    names = [name for name in params if name.endswith("weight")]
    return {n: torch.rand(params[n].shape, generator=generator) < 0.4 for n in names}


def test_reinitialized_weights_are_another_seeds(make_run: Maker) -> None:
    runs = [make_run(seed=seed) for seed in (3, 5)]
    found = rewind.reinitialized(runs, (7,), 5, CPU, torch.float64)
    for lane, run in enumerate(runs):
        seed = derive(run.seed, "reinitialized")
        expected = models.build(run.model, (7,), 5, seed).double()
        first = models.build(run.model, (7,), 5, run.seed).double()
        for name, tensor in expected.named_parameters():
            assert found[name][lane].equal(tensor.detach())
            assert (found[name][lane] != first.get_parameter(name)).all()
    alone = rewind.reinitialized(runs[1:], (7,), 5, CPU, torch.float64)
    assert all(alone[name][0].equal(tensor[1]) for name, tensor in found.items())
    other = [dataclasses.replace(run, seed=9) for run in runs]
    lanes = rewind.reinitialized(other, (7,), 5, CPU, torch.float64)
    assert all(tensor[0].equal(tensor[1]) for tensor in lanes.values())


def test_signs_are_kept_and_sizes_are_not(make_run: Maker) -> None:
    runs = [make_run(seed=seed) for seed in (3, 5)]
    _, first, _ = models.build_lanes(runs, (7,), 5, CPU, torch.float64)
    fresh = rewind.reinitialized(runs, (7,), 5, CPU, torch.float64)
    first["0.weight"][0, 0, 0], first["0.weight"][0, 0, 1] = 0.0, -0.0
    names = [name for name in first if name.endswith("weight")]
    found = rewind.with_signs(fresh, first, names)
    for name in names:
        assert found[name].abs().equal(fresh[name].abs())
        assert found[name].signbit().equal(first[name].signbit())
        assert (found[name] != fresh[name]).any()
    for name in set(first) - set(names):
        assert found[name] is fresh[name]


def test_shuffled_masks_keep_each_layers_count() -> None:
    like = {"a": torch.zeros(3, 11, 7), "a2.weight": torch.zeros(3, 11, 7)}
    left = _masks({f"{name}.weight": t for name, t in like.items()})
    found = rewind.shuffled(left, [4, 9, 4], level=2)
    for name, mask in left.items():
        assert found[name].flatten(1).sum(1).equal(mask.flatten(1).sum(1))
        assert found[name].shape == mask.shape
        for lane in range(3):
            assert not found[name][lane].equal(mask[lane])
    alone = rewind.shuffled({n: m[1:2] for n, m in left.items()}, [9], level=2)
    again = rewind.shuffled(left, [4, 9, 4], level=3)
    orders = rewind.shuffled({n: m[[0, 0, 0]] for n, m in left.items()}, [4, 9, 4], level=2)
    for name in left:
        assert alone[name][0].equal(found[name][1])
        assert not again[name].equal(found[name])
        assert orders[name][0].equal(orders[name][2])
        assert not orders[name][0].equal(orders[name][1])
    same = dict.fromkeys(left, left["a.weight"])
    layers = [*rewind.shuffled(same, [4, 9, 4], level=2).values()]
    assert not layers[0].equal(layers[1]), "layers have orders of their own"
