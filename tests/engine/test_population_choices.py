"""Populations: who is replaced by whom and with what; and changes on the way of a run."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.engine.populations import (
    DATA,
    Eager,
    finished,
    members,
    session_of,
)
from trainables.configs.base import Steps
from trainables.configs.models import Linear
from trainables.configs.optimizers import Adam, Sgd
from trainables.configs.population import Change
from trainables.configs.run import RunConfig, Train, run_id
from trainables.configs.schedules import Plateau
from trainables.data import load
from trainables.population import Member, decide

RULES = members()[0].population
assert RULES is not None


def some(scores: list[float]) -> list[Member]:
    return [Member(f"r{n}", score, {"lr": 0.1, "momentum": 0.5}) for n, score in enumerate(scores)]


def test_the_best_are_copied_and_the_worst_replaced() -> None:
    assert RULES is not None
    for step in range(50):
        copies = decide(RULES, 0, step, some([3, 1, 4, 2, 9, 5, 8]))
        assert copies is not None
        assert {c.member for c in copies} == {"r4", "r6"}
        assert {c.source for c in copies} <= {"r1", "r3"}


def test_ties_are_broken_by_chance_and_choices_follow_the_step() -> None:
    assert RULES is not None
    losers, sources, values = set(), set(), set()
    for step in range(200):
        members = some([1.0] * 7)
        copies = decide(RULES, 0, step, members)
        assert copies == decide(RULES, 0, step, members)
        assert copies is not None
        assert sorted(copies) == sorted(decide(RULES, 0, step, members[::-1]) or [])
        losers |= {c.member for c in copies}
        sources |= {c.source for c in copies}
        values |= {c.values["momentum"] for c in copies}
        assert not {c.member for c in copies} & {c.source for c in copies}
    assert len(losers) == len(sources) == 7
    assert {0.4, 0.6} < values
    fresh = [value for value in values if value not in (0.4, 0.6)]
    assert all(0 <= value <= 0.97 for value in fresh)
    assert min(fresh) < 0.2
    assert max(fresh) > 0.8


def test_how_often_values_are_drawn_anew_and_from_where() -> None:
    assert RULES is not None
    found = [
        c.values["lr"]
        for step in range(2000)
        for c in decide(RULES, 0, step, some([1, 2, 3, 4, 5, 6, 7])) or []
    ]
    fresh = [value for value in found if value not in (0.08, 0.12)]
    assert len(fresh) / len(found) == pytest.approx(0.25, abs=0.03)
    middle = math.sqrt(1e-3 * 0.5)
    assert sum(v < middle for v in fresh) / len(fresh) == pytest.approx(0.5, abs=0.05)


def test_values_stay_in_the_space() -> None:
    assert RULES is not None
    edge = [Member(f"r{n}", n, {"lr": 0.5, "momentum": 0.97}) for n in range(7)]
    for step in range(100):
        for c in decide(RULES, 0, step, edge) or []:
            assert 1e-3 <= c.values["lr"] <= 0.5
            assert 0 <= c.values["momentum"] <= 0.97


def test_populations_differ_by_seed() -> None:
    assert RULES is not None
    steps = range(20)
    for other in (
        [decide(RULES, 1, step, some([1, 2, 3, 4, 5, 6, 7])) for step in steps],
        [
            decide(dataclasses.replace(RULES, seed=6), 0, step, some([1, 2, 3, 4, 5, 6, 7]))
            for step in steps
        ],
    ):
        assert other != [decide(RULES, 0, step, some([1, 2, 3, 4, 5, 6, 7])) for step in steps]


@pytest.mark.parametrize("optimizer", [Sgd(lr=0.03, momentum=0.5), Adam(lr=0.03)])
def test_changes_are_those_of_an_optimizer_whose_groups_are_changed(
    optimizer: Sgd | Adam,
) -> None:
    """Against PyTorch's optimizer, whose hyperparameters are set between two steps."""
    first = "momentum" if isinstance(optimizer, Sgd) else "beta1"
    changes = (
        Change(step=5, optimizer={"lr": 0.01, "weight_decay": 0.1}),
        Change(step=9, optimizer={"lr": 0.05, first: 0.2}),
    )
    train = Train(steps=17, batch_size=4, loss="quadratic", precision="float64", changes=changes)
    run = RunConfig(data=DATA, model=Linear(), optimizer=optimizer, train=train, seed=2)
    plain = dataclasses.replace(run, train=dataclasses.replace(train, changes=()))
    found = finished(session_of([run, plain]))["progress"][run_id(run)].final
    data = load(DATA)
    lone = Eager(dataclasses.replace(run, optimizer=Sgd(lr=1.0)), data)
    if isinstance(optimizer, Sgd):
        lone.state = torch.optim.SGD(lone.module.parameters(), lr=0.03, momentum=0.5)
    else:
        lone.state = torch.optim.Adam(lone.module.parameters(), lr=0.03)  # type: ignore[assignment]
    group = lone.state.param_groups[0]
    lone.train(0, 5)
    group |= {"lr": 0.01, "weight_decay": 0.1}
    lone.train(5, 9)
    group |= {"lr": 0.05}
    group |= {"momentum": 0.2} if isinstance(optimizer, Sgd) else {"betas": (0.2, 0.999)}
    assert found["valid/loss"] == pytest.approx(lone.train(9, 17), rel=1e-10)


def test_a_changed_rate_scales_what_is_left_of_the_schedule() -> None:
    schedule = Plateau(patience=0, factor=0.5, threshold=10.0)
    train = Train(
        steps=12,
        batch_size=4,
        loss="quadratic",
        evaluate_every=Steps(steps=3),
        changes=(Change(step=7, optimizer={"lr": 0.3}),),
    )
    run = RunConfig(
        data=DATA, model=Linear(), optimizer=Sgd(lr=0.1), train=train, schedule=schedule
    )
    rows = finished(session_of([run]))["rows"]
    assert [row["lr"] for row in rows] == pytest.approx([0.1, 0.05, 0.025 * 3, 0.0125 * 3])
