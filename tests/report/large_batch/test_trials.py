"""Shallue's protocol on trial tables made by hand."""

from __future__ import annotations

import math

import pytest

from orchestrator.report.large_batch import best, points, trials
from orchestrator.report.large_batch.trials import status_of
from tests.report.large_batch.tables import runs, table, trial


@pytest.mark.parametrize(
    ("status", "reason", "found"),
    [
        ("completed", "target reached", "reached"),
        ("completed", "trained to the end", "unreached"),
        ("stopped", "asha: rung 7", "unreached"),
        ("diverged", "batch loss nan", "infeasible"),
        ("failed", "OSError", "incomplete"),
        ("pending", "", "incomplete"),
        ("running", "", "incomplete"),
    ],
)
def test_statuses(status: str, reason: str, found: str) -> None:
    assert status_of(status, reason) == found


def test_the_best_trial_reached_the_target_in_the_fewest_steps() -> None:
    found = best(
        table(
            trial(7, 0.1, "reached", 31),
            trial(7, 0.3, "reached", 23),
            trial(7, 1.0, "unreached", 11),  # stopped early: fewer steps, but no target
            trial(7, 3.0, "infeasible", 2),  # diverged at its second step
        )
    )
    (row,) = found.to_dict("records")
    assert (row["rate"], row["steps"], row["examples"]) == (0.3, 23, 7 * 23)
    assert (row["status"], row["edge"]) == ("reached", "inside")


def test_of_equals_the_first_of_the_study_is_best() -> None:
    rows = [trial(7, 0.3, "reached", 23), trial(7, 0.1, "reached", 23)]
    assert best(table(*rows))["rate"].tolist() == [0.3]
    assert best(table(*reversed(rows)))["rate"].tolist() == [0.1]


def test_a_point_has_reached_the_target_only_with_all_its_seeds() -> None:
    def seeds(rate: float, *each: tuple[str, int]) -> list[dict[str, object]]:
        return [trial(5, rate, status, n, seed=k) for k, (status, n) in enumerate(each)]

    found = points(
        table(
            *seeds(0.1, ("reached", 40), ("reached", 20), ("reached", 90)),
            *seeds(0.2, ("reached", 10), ("unreached", 99), ("reached", 10)),
            *seeds(0.4, ("reached", 10), ("infeasible", 3), ("unreached", 99)),
            *seeds(0.8, ("reached", 10), ("incomplete", 7), ("reached", 10)),
        )
    )
    statuses = ["reached", "unreached", "infeasible", "incomplete"]
    assert found["status"].tolist() == statuses
    assert found["reached"].tolist() == [3, 2, 1, 2]
    assert found["steps"].tolist() == [40, 99, 99, 10]  # median; else the longest
    assert (found["low"][0], found["high"][0]) == (20, 90)
    assert best(found)["rate"].tolist() == [0.1]


def test_a_batch_size_without_a_reached_trial_has_a_bound_only() -> None:
    found = best(
        table(
            trial(3, 0.1, "infeasible", 2),
            trial(3, 0.2, "unreached", 97),
            trial(3, 0.3, "unreached", 101),
            trial(11, 0.1, "infeasible", 2),
            trial(13, 0.1, "incomplete", 5),
        )
    )
    assert found["status"].tolist() == ["unreached", "infeasible", "incomplete"]
    assert found["steps"].tolist() == [101, 2, 5]
    assert found["rate"].isna().all()
    assert set(found["point"]) == {""}


def test_the_best_at_an_end_of_what_was_tried_is_marked() -> None:
    rates = [0.1, 0.2, 0.4]
    steps = {2: [10, 20, 30], 3: [20, 10, 30], 5: [30, 20, 10]}
    rows = [
        trial(size, rate, "reached", n)
        for size, each in steps.items()
        for rate, n in zip(rates, each, strict=True)
    ]
    assert best(table(*rows, trial(7, 0.1, "reached", 9)))["edge"].tolist() == [
        *("lower", "inside", "upper"),
        "inside",  # one rate alone is no grid
    ]


def test_runs_become_trials_with_groups_and_points() -> None:
    rows = [
        {
            "batch_size": size,
            "lr": rate,
            "seed": seed,
            "trial": "reached",
            "steps": 30,
            "config.schedule.name": schedule,
            "config.train.accumulate": size // 2,
            "config.train.steps": 1000 // size,
            "config.train.evaluate_every.steps": 7,
        }
        for schedule in ("constant", "cosine")
        for size in (2, 6)
        for rate in (0.1, 0.3, 0.9)
        for seed in (0, 1)
    ]
    found = trials(runs(*rows))
    assert found["group"].unique().tolist() == ["constant", "cosine"]  # not by budget or parts
    assert found["point"].unique().tolist() == ["lr 0.1", "lr 0.3", "lr 0.9"]
    assert found["rate"].unique().tolist() == [0.1, 0.3, 0.9]
    assert found["resolution"].unique().tolist() == [7]
    assert (found["steps"] * found["batch_size"] == found["examples"]).all()
    assert len(points(found)) == 12
    assert len(best(found)) == 4
    assert best(found)["group"].tolist() == ["constant", "constant", "cosine", "cosine"]


@pytest.mark.parametrize(
    ("every", "resolution"),
    [
        ({"config.train.evaluate_every.steps": 3.0}, 3),
        ({"config.train.evaluate_every.epochs": 0.5}, 5),  # 10 steps an epoch
        ({"config.train.evaluate_every": 0.1, "config.train.steps": 110.0}, 11),
        ({"config.train.evaluate_every": 0.1, "config.train.epochs": 7.0}, 7),
        ({}, 1),
        ({"config.train.evaluate_every.steps": 97.0}, 31),  # no more than were taken
    ],
)
def test_steps_between_evaluations(every: dict[str, float], resolution: int) -> None:
    found = trials(runs({"batch_size": 7, "trial": "reached", "steps": 31, **every}))
    assert found["resolution"].tolist() == [resolution]


def test_runs_without_batch_sizes_are_no_trials() -> None:
    frame = runs({"batch_size": 7, "trial": "reached", "steps": 31})
    found = trials(frame.drop(columns="config.train.batch_size"))
    assert found.empty
    assert best(found).empty


def test_other_hyperparameters_are_tuned_too_and_others_are_not() -> None:
    rows = [
        {
            "batch_size": 7,
            "lr": 0.1,
            "trial": "reached",
            "steps": round(40 * (1 - momentum) + warmup),
            "config.optimizer.momentum": momentum,
            "config.schedule.warmup": float(warmup),
        }
        for momentum in (0.0, 0.9)
        for warmup in (0, 5)
    ]
    found = best(trials(runs(*rows)))
    assert found["point"].tolist() == ["momentum 0.9", "momentum 0.9"]
    assert found["group"].tolist() == ["warmup 0", "warmup 5"]
    assert found["steps"].tolist() == [4, 9]
    assert math.isclose(found["rate"][0], 0.1)
