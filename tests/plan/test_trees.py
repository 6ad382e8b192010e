"""Networks of a lottery: whole trees in packs, by the work and the lanes that they have."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api import plan_study
from orchestrator.plan import estimate, make_packs, networks_planned, unique_runs
from orchestrator.plan.in_words import study_in_words
from orchestrator.plan.packs import work
from orchestrator.plan.trees import descendants, first_batch, kinds, lanes_at_once, parents, tree_of
from orchestrator.spec import load_study
from trainables.configs import Digits, Lottery, Mlp, RunConfig, Train, run_id
from trainables.configs.base import Duration, Epochs, Steps
from trainables.configs.lottery import Node, ancestors, networks
from trainables.configs.optimizers import Sgd
from trainables.procedures.tickets import begins_anew, rewind_step

TRAIN = Train(steps=47, batch_size=13)
LOTTERY = Lottery(levels=5, controls=("reinitialized", "shuffled"), children=2, children_at=(0, 3))


def dense_run(seed: int = 0, train: Train = TRAIN) -> RunConfig:
    return RunConfig(
        data=Digits(), model=Mlp(hidden=(11,)), optimizer=Sgd(lr=0.1), train=train, seed=seed
    )


def trees(seeds: int, lottery: Lottery = LOTTERY) -> dict[str, RunConfig]:
    found = (networks(dense_run(seed), lottery) for seed in range(seeds))
    return {run_id(run): run for some in found for run in some}


def with_node(**changes: object) -> RunConfig:
    return dataclasses.replace(dense_run(), lottery=Node(level=2, **changes))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(seeds=st.integers(1, 11), slots=st.integers(1, 5), most=st.none() | st.integers(1, 29))
def test_a_tree_is_whole_and_in_order(seeds: int, slots: int, most: int | None) -> None:
    runs = trees(seeds)
    packs = make_packs(runs, slots=slots, most_lanes=most)
    assert Counter(name for pack in packs for name in pack.run_ids) == Counter([*runs])
    for pack in packs:
        seen: set[str] = set()
        for name in pack.run_ids:
            assert {*parents(runs[name])} <= seen
            seen.add(name)
        assert lanes_at_once(runs[name] for name in pack.run_ids) == pack.lanes
    # 5 lanes a tree: a ticket, two controls and two children at level 3.
    wide = max(pack.lanes for pack in packs)
    assert wide <= max(5, most or 256)
    assert [p.cost for p in packs] == sorted((p.cost for p in packs), reverse=True)
    if seeds >= slots:
        assert len(packs) >= slots


@pytest.mark.parametrize(
    ("seeds", "slots", "most", "lanes"),
    [
        (4, 2, None, [10, 10]),
        (5, 2, None, [15, 10]),
        (1, 2, None, [5]),
        (3, 8, None, [5, 5, 5]),
        (6, 2, 10, [10] * 2 + [5] * 2),
        (2, 1, 3, [5, 5]),
    ],
)
def test_trees_are_dealt_out_evenly(
    seeds: int, slots: int, most: int | None, lanes: list[int]
) -> None:
    packs = make_packs(trees(seeds), slots=slots, most_lanes=most)
    assert sorted((pack.lanes for pack in packs), reverse=True) == lanes


@pytest.mark.parametrize(
    ("changes", "lanes"),
    [
        ({}, 5),
        ({"rounds": "one_shot"}, 5 * 3 + 2),
        ({"criterion": "snip"}, 5 * 3 + 2),
        ({"criterion": "snip", "at": "end"}, 5),
    ],
)
def test_levels_that_are_pruned_at_once_train_at_once(changes: dict[str, str], lanes: int) -> None:
    runs = trees(3, dataclasses.replace(LOTTERY, **changes))  # type: ignore[arg-type]
    assert [pack.lanes for pack in make_packs(runs, slots=3)] == [lanes] * 3


def test_trees_of_different_sizes_are_balanced_by_their_work() -> None:
    """Of three seeds one is new, and two have gained a level: 18 + 1 networks, not 1 + 1 first."""
    before = trees(2)
    more = dataclasses.replace(LOTTERY, levels=6)
    runs = {name: run for name, run in trees(5, more).items() if name not in before}
    costs = [pack.cost for pack in make_packs(runs, slots=2)]
    assert sum(costs) == sum(work(run) * 13 for run in runs.values())
    assert max(costs) / min(costs) < 2.3, (
        "2 of the 3 new trees, and 1 with what the old ones gained"
    )


def test_a_dense_network_alone_is_no_tree() -> None:
    runs = unique_runs(dense_run(seed) for seed in range(7))
    packs = make_packs(runs, slots=2)
    assert [pack.lanes for pack in packs] == [len(pack.run_ids) for pack in packs] == [4, 3]


def test_networks_of_several_lotteries_share_their_tree() -> None:
    both = [
        run
        for criterion in ("magnitude", "random")
        for run in networks(dense_run(), dataclasses.replace(LOTTERY, criterion=criterion))
    ]
    runs = {run_id(run): run for run in both}
    assert len(runs) == 1 + 2 + 2 * (5 * 3 + 2)
    (pack,) = make_packs(runs, slots=2)
    assert pack.lanes == 2 * 5
    assert {tree_of(name, run) for name, run in runs.items()} == {pack.run_ids[0]}


PER_EPOCH = (1797 - 2 * 359) // 13


@pytest.mark.parametrize(
    ("node", "train", "start"),
    [
        ({"rewind_to": Steps(steps=11)}, TRAIN, 11),
        ({"rewind_to": 0.25}, TRAIN, 12),
        ({}, TRAIN, 0),
        ({"rewind_to": Steps(steps=11), "control": "shuffled"}, TRAIN, 11),
        ({"rewind_to": Steps(steps=11), "control": "reinitialized"}, TRAIN, 0),
        ({"rewind_to": Steps(steps=11), "control": "signs"}, TRAIN, 0),
        ({"rewind_to": Steps(steps=11), "after": "fine_tune"}, TRAIN, 11),
        ({"rewind_to": Steps(steps=11), "after": "learning_rate"}, TRAIN, 11),
        ({"rewind_to": Steps(steps=11), "child": 2}, TRAIN, 11),
        ({"rewind_to": Epochs(epochs=2.0)}, Train(epochs=3.0, batch_size=13), None),
        ({"rewind_to": 0.999}, TRAIN, 46),
    ],
)
def test_the_work_of_a_network_begins_where_it_is_rewound_to(
    node: dict[str, Duration | str], train: Train, start: int | None
) -> None:
    run = dataclasses.replace(with_node(**node), train=train)
    per_epoch = Digits().sizes().train // 13
    start = 2 * per_epoch if start is None else start
    total = train.steps or 3 * per_epoch
    assert first_batch(run, per_epoch) == start
    assert work(run) == total - start
    assert work(dense_run(train=train)) == total


def test_an_estimate_takes_what_networks_share_as_trained() -> None:
    runs = trees(2, dataclasses.replace(LOTTERY, rewind_to=Steps(steps=11)))
    planned = networks_planned(runs, [LOTTERY], slots=2, measured={})
    assert planned is not None
    # Of 20 networks a tree 14 begin at step 11; the dense one and 5 re-initialized ones do not.
    assert planned.times == pytest.approx((14 * 36 + 6 * 47) / 47)
    assert planned.counts == {
        "dense": 2, "tickets": 10, "reinitialized": 10, "shuffled": 10, "children": 8
    }  # fmt: skip
    only = {name: run for name, run in runs.items() if run.lottery is None}
    assert planned.dense_only == estimate(only, slots=2, measured={})
    assert networks_planned(only, [], slots=2, measured={}) is None


def test_what_comes_from_a_network() -> None:
    runs = trees(2)
    names = {run_id(run): run for run in networks(dense_run(), LOTTERY)}
    first = next(iter(names))
    assert descendants(runs, [first]) == {*names} - {first}
    ticket = next(n for n, r in names.items() if r.lottery and r.lottery.level == 3)
    below = {
        name
        for name, run in names.items()
        if run.lottery and (run.lottery.level > 3 or (run.lottery.level == 3 and run.lottery.child))
    }
    assert descendants(runs, [ticket]) == below
    control = next(n for n, r in names.items() if r.lottery and r.lottery.control)
    assert descendants(runs, [control]) == set()
    assert kinds(names.values())["dense"] == 1


@pytest.mark.parametrize("changes", [{}, {"rounds": "one_shot"}, {"criterion": "synflow"}])
def test_the_plan_and_the_worker_agree_on_what_comes_from_what(changes: dict[str, str]) -> None:
    lottery = dataclasses.replace(LOTTERY, rewind_to=Steps(steps=11), **changes)  # type: ignore[arg-type]
    runs = trees(1, lottery)
    for name, run in runs.items():
        above = {run_id(one) for one in ancestors(run)}
        assert {other for other in runs if name in descendants(runs, [other])} == above
        if run.lottery is not None:
            at = 0 if begins_anew(run.lottery) else rewind_step(run, PER_EPOCH)
            assert first_batch(run, PER_EPOCH) == at


YAML = (
    "study: s\ndata: {name: digits}\noptimizer: {name: sgd, lr: 0.1}\ntrain: {steps: 47}\n"
    "seeds: 3\nprocedure: {name: lottery, levels: 4, children: 2, children_at: [4]}\n"
)


def test_a_study_of_networks_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(YAML)
    study = load_study(path)
    words = (
        "33 networks (3 dense, 12 tickets, 12 reinitialized, 6 children) of a lottery of 4 levels"
    )
    assert study_in_words(study, 33, 8) == f"{words}, 8 at a time"
    assert study_in_words(study, 7, 8) == f"7 of {words}, 7 at a time"
    planned = plan_study(path, tmp_path)
    assert planned.runs == 33
    assert planned.networks is not None
    assert planned.networks.levels == 4
    assert planned.networks.times == pytest.approx(11)
    assert sum(len(pack.run_ids) for pack in planned.packs) == 33
    plain = plan_study(load_study(path, ["procedure={name: train}"]), tmp_path)
    assert plain.networks is None
    assert plain.estimate == planned.networks.dense_only
