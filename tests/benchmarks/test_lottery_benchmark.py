"""The lottery benchmark: what is done by hand is what Regatta does, and differences are told."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from benchmarks import eager_lottery, lottery
from benchmarks.eager import Splits
from benchmarks.eager_lottery import Score
from trainables.configs import Digits, Mlp, Train
from trainables.configs.lottery import Lottery, Node, networks
from trainables.configs.optimizers import Adam
from trainables.configs.run import RunConfig, data_key, run_id
from trainables.data import load
from trainables.pruning import rewind
from trainables.session import PackSession, Settings


def _runs() -> list[RunConfig]:
    dense = RunConfig(
        data=Digits(),
        model=Mlp(hidden=(11, 7)),
        optimizer=Adam(lr=0.003),
        train=Train(epochs=3, batch_size=59),
        seed=5,
    )
    return networks(dense, Lottery(levels=2, controls=("reinitialized", "shuffled", "signs")))


def test_a_level_prunes_as_pytorch_does() -> None:
    torch.manual_seed(0)
    layers = {"0.weight": nn.Linear(7, 11), "2.weight": nn.Linear(11, 5)}
    weights = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    masks = {name: torch.ones_like(weight) for name, weight in weights.items()}
    node = Node(level=1, rate=0.3, output_rate=0.1)
    for _ in range(3):
        masks = eager_lottery.pruned(weights, masks, node)
        for (name, layer), rate in zip(layers.items(), (0.3, 0.1), strict=True):
            torch_prune.l1_unstructured(layer, "weight", rate)
            assert torch.equal(masks[name], layer.weight_mask)


def test_half_of_the_rate_goes_of_the_last_layer() -> None:
    weights = {name: torch.rand(1, 100) for name in ("0.weight", "2.weight")}
    masks = {name: torch.ones(1, 100) for name in weights}
    left = eager_lottery.pruned(weights, masks, Node(level=1, rate=0.2))
    assert [int(mask.sum()) for mask in left.values()] == [80, 90]


def test_masks_are_shuffled_as_regatta_does() -> None:
    masks = {name: torch.rand(5, 7).gt(0.4).float() for name in ("0.weight", "2.weight")}
    ours = rewind.shuffled({name: mask.bool()[None] for name, mask in masks.items()}, [13], 2)
    by_hand = eager_lottery.shuffled(masks, 13, 2)
    assert all(torch.equal(by_hand[name], ours[name][0].float()) for name in masks)


def test_differences_are_told() -> None:
    runs = _runs()
    scores = {run_id(run): Score(0.5, 0.1, 0.9) for run in runs}
    assert lottery.disagreements(runs, scores, dict(scores)) == []
    last = run_id(runs[-1])
    fewer = {run: score for run, score in scores.items() if run != last}
    assert lottery.disagreements(runs, scores, fewer) == [
        f"{len(runs) - 1} networks instead of {len(runs)}"
    ]
    denser = scores | {last: Score(0.5 + 1 / 850, 0.1, 0.9)}
    assert lottery.disagreements(runs, scores, denser) == ["1 masks leave another share of weights"]
    worse = {
        run_id(run): Score(0.5, 0.1, 0.88 if lottery.kind(run) == "shuffled" else 0.9)
        for run in runs
    }
    assert lottery.disagreements(runs, scores, worse) == [
        "shuffled: test accuracy 0.8800 instead of 0.9000"
    ]


def test_by_hand_each_network_ends_as_in_regatta() -> None:
    runs = _runs()
    data = load(Digits())
    by_hand = eager_lottery.train_tree(runs, Splits.of(data), 1)
    session = PackSession(
        [(run_id(run), run) for run in runs], {data_key(runs[0]): data}, Settings()
    )
    while not session.finished:
        session.advance()
    assert {*by_hand} == {*session.progress}
    for name, progress in session.progress.items():
        density, loss, accuracy = by_hand[name]
        assert density == pytest.approx(progress.final.get("probe/density", 1.0), abs=1e-12)
        assert loss == pytest.approx(progress.final["valid/loss"], rel=1e-5)
        assert accuracy == pytest.approx(progress.final["test/accuracy"], abs=1e-6)
