"""Every way from one network to the next, against loops written out in plain PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.procedures.ladders import DATA, REWOUND, dense_runs, same, trained, tree
from trainables import models
from trainables.configs import RunConfig, run_id
from trainables.configs.base import Steps
from trainables.configs.schedules import Step
from trainables.data import load
from trainables.lanes import derive, permutation

STEPS, BATCH, RATE = 17, 13, 0.3
Weights = dict[str, Tensor]
EXACT = 1e-12


class ByHand:
    """One network that PyTorch trains alone: SGD with momentum, masked after every step."""

    def __init__(self, run: RunConfig) -> None:
        self.run = run
        data = load(DATA)
        self.module = models.build(run.model, (7,), 5, run.seed).double()
        self.x = torch.from_numpy(data.train_x).double()
        self.y = torch.from_numpy(data.train_y)

    def first(self) -> Weights:
        return self._copy(self.module)

    def train(
        self,
        start: Weights,
        masks: Weights,
        first: int,
        *,
        last: int = STEPS,
        seed: int | None = None,
        lr: float = 0.2,
        momenta: Weights | None = None,
    ) -> tuple[Weights, Weights]:
        """The weights after step ``last``, and the momenta."""
        self.module.load_state_dict(start)
        optimizer = torch.optim.SGD(self.module.parameters(), lr=lr, momentum=0.9)
        named = dict(self.module.named_parameters())
        for name, momentum in (momenta or {}).items():
            optimizer.state[named[name]]["momentum_buffer"] = momentum.clone()
        self._mask(masks, optimizer)
        per_epoch = len(self.x) // BATCH
        for step in range(first, last):
            epoch, position = divmod(step, per_epoch)
            order = permutation(self.run.seed if seed is None else seed, epoch, len(self.x))
            batch = order[position * BATCH : (position + 1) * BATCH]
            optimizer.zero_grad()
            nn.functional.cross_entropy(self.module(self.x[batch]), self.y[batch]).backward()
            optimizer.step()
            self._mask(masks, optimizer)
        momenta = {n: optimizer.state[p].get("momentum_buffer", 0 * p) for n, p in named.items()}
        return self._copy(self.module), momenta

    def _mask(self, masks: Weights, optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            for name, param in self.module.named_parameters():
                if name in masks:
                    param.mul_(masks[name])
                    if momentum := optimizer.state[param]:
                        momentum["momentum_buffer"].mul_(masks[name])

    @staticmethod
    def _copy(module: nn.Module) -> Weights:
        return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _smallest_gone(weights: Weights, masks: Weights, rates: dict[str, float]) -> Weights:
    """Layer by layer, what is left after the smallest of what was left are gone."""
    found = {}
    for name, rate in rates.items():
        before = masks.get(name, torch.ones_like(weights[name], dtype=torch.bool))
        values = weights[name][before].abs().sort().values
        going = round(rate * len(values))
        found[name] = before & (weights[name].abs() > (values[going - 1] if going else -1))
    return found


RATES = {"0.weight": RATE, "2.weight": RATE, "4.weight": RATE / 2}


def _by_place(runs: list[RunConfig]) -> dict[Any, RunConfig]:
    return {r.lottery and (r.lottery.level, r.lottery.control, r.lottery.child): r for r in runs}


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("rewound", [0, 4])
def test_levels_of_prune_rewind_and_retrain(rewound: int, kept: bool) -> None:
    dense = dense_runs(1)[0]
    state = "kept" if kept else "reset"
    options: dict[str, Any] = {"rewind_to": REWOUND} if rewound else {}
    runs = tree(
        dense,
        children=1,
        controls=("reinitialized", "shuffled", "signs"),
        optimizer_state=state,
        **options,
    )
    ours, _ = trained(runs)
    place, hand = _by_place(runs), ByHand(dense)
    first = hand.first()
    start, momenta = hand.train(first, {}, 0, last=rewound)
    again = momenta if kept and rewound else None
    trunk, _ = hand.train(first, {}, 0)
    same(ours.params(dense), trunk, EXACT)

    weights, masks = trunk, {}
    for level in (1, 2, 3):
        masks = _smallest_gone(weights, masks, RATES)
        ticket = place[level, None, 0]
        same(ours.masks(ticket), masks)
        weights, _ = hand.train(start, masks, rewound, momenta=again)
        same(ours.params(ticket), weights, EXACT)
        other_order = derive(dense.seed, "child", 1)
        child, _ = hand.train(start, masks, rewound, seed=other_order, momenta=again)
        same(ours.params(place[level, None, 1]), child, EXACT)
        same(ours.masks(place[level, None, 1]), masks)

        fresh = ByHand(dense_runs(1, train={})[0])
        fresh.module = models.build(dense.model, (7,), 5, derive(0, "reinitialized")).double()
        new = fresh.first()
        other, _ = hand.train(new, masks, 0)
        same(ours.params(place[level, "reinitialized", 0]), other, EXACT)
        signed = {n: new[n].abs() * first[n].sign() if n in masks else new[n] for n in new}
        other, _ = hand.train(signed, masks, 0)
        same(ours.params(place[level, "signs", 0]), other, EXACT)

        shuffled = ours.masks(place[level, "shuffled", 0])
        assert all(shuffled[n].sum() == masks[n].sum() for n in masks)
        assert any(not shuffled[n].equal(masks[n]) for n in masks)
        other, _ = hand.train(start, shuffled, rewound, momenta=again)
        same(ours.params(place[level, "shuffled", 0]), other, EXACT)
    child, _ = hand.train(start, {}, rewound, seed=derive(0, "child", 1), momenta=again)
    same(ours.params(place[0, None, 1]), child, EXACT)


@pytest.mark.parametrize("after", ["learning_rate", "fine_tune"])
def test_weights_that_are_not_rewound(after: str) -> None:
    """The rate falls to a tenth after step 8: rewound, it is high again; fine-tuned, it is not."""
    schedule = Step(every=Steps(steps=8), gamma=0.1)
    dense = dense_runs(1, schedule=schedule)[0]
    runs = tree(dense, levels=2, after=after, rewind_to=REWOUND, controls=(), children=1)
    ours, _ = trained(runs)
    place, hand = _by_place(runs), ByHand(dense)

    def rate_by_rate(start: Weights, masks: Weights, first: int, **options: Any) -> Weights:
        momenta = None
        for a, b, lr in ((first, 8, 0.2), (8, 16, 0.02), (16, 17, 0.002)):
            start, momenta = hand.train(start, masks, a, last=b, lr=lr, momenta=momenta, **options)
        return start

    weights, masks = rate_by_rate(hand.first(), {}, 0), {}
    same(ours.params(dense), weights, EXACT)
    for level in (1, 2):
        masks = _smallest_gone(weights, masks, RATES)
        for child, options in ((1, {"seed": derive(0, "child", 1)}), (0, {})):
            if after == "fine_tune":
                end, _ = hand.train(weights, masks, 4, lr=0.002, **options)
            else:
                end = rate_by_rate(weights, masks, 4, **options)
            same(ours.params(place[level, None, child]), end, EXACT)
        weights = end


def test_one_shot_prunes_the_dense_network_to_each_levels_share() -> None:
    dense = dense_runs(1)[0]
    runs = tree(dense, rounds="one_shot", output_rate=0.2, controls=())
    ours, _ = trained(runs)
    trunk = ours.params(dense)
    for level in (1, 2, 3):
        rates = {n: 1 - (1 - (0.2 if n == "4.weight" else RATE)) ** level for n in RATES}
        same(ours.masks(_by_place(runs)[level, None, 0]), _smallest_gone(trunk, {}, rates))


def test_pruned_at_the_start_snip_sees_the_first_batch_of_first_weights() -> None:
    dense = dense_runs(1)[0]
    runs = tree(dense, levels=2, criterion="snip", scope="global", controls=("shuffled",))
    ours, _ = trained(runs)
    hand = ByHand(dense)
    first = hand.first()
    batch = permutation(0, 0, len(hand.x))[:BATCH]
    nn.functional.cross_entropy(hand.module(hand.x[batch]), hand.y[batch]).backward()
    scores = {
        n: (p.grad * p).abs().detach() for n, p in hand.module.named_parameters() if n in RATES
    }  # type: ignore[operator]
    values = torch.cat([score.flatten() for score in scores.values()]).sort().values
    for level in (1, 2):
        going = round((1 - 0.7**level) * len(values))
        masks = {name: score > values[going - 1] for name, score in scores.items()}
        ticket = _by_place(runs)[level, None, 0]
        same(ours.masks(ticket), masks)
        end, _ = hand.train(first, masks, 0)
        same(ours.params(ticket), end, EXACT)


def test_layers_with_rates_of_their_own_and_layers_that_are_left_whole() -> None:
    dense = dense_runs(1)[0]
    runs = tree(dense, levels=1, layer_rates={"2.*": 0.6}, exclude=("0.weight",), controls=())
    ours, _ = trained(runs)
    expected = _smallest_gone(ours.params(dense), {}, {"2.weight": 0.6, "4.weight": RATE / 2})
    same(ours.masks(_by_place(runs)[1, None, 0]), expected)


def test_barriers_of_children_are_measured_against_the_network_whose_order_they_leave() -> None:
    dense = dense_runs(1)[0]
    runs = tree(dense, levels=1, children=1, controls=())
    ours, session = trained(runs)
    place, hand = _by_place(runs), ByHand(dense)
    data = load(DATA)
    x, y = torch.from_numpy(data.test_x).double(), torch.from_numpy(data.test_y)
    for level, one in ((0, dense), (1, place[1, None, 0])):
        other = place[level, None, 1]
        values = []
        for k in range(31):
            a, b = ours.params(one), ours.params(other)
            mixed = {n: a[n] * (1 - k / 30) + b[n] * k / 30 for n in a}
            out = torch.func.functional_call(hand.module, mixed, (x,))
            values.append(float(nn.functional.cross_entropy(out, y)))
        expected = max(values) - (values[0] + values[-1]) / 2
        found = session.progress[run_id(other)].final["probe/barrier/test/loss"]
        assert found == pytest.approx(expected, abs=1e-12)
