"""Axes and labels are made of what varies, and of nothing else."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from orchestrator.report.labels import configuration_labels, find_axes
from orchestrator.report.text import (
    decimals_for,
    distinct_numbers,
    duration,
    listed,
    number,
    plus_minus,
    signed,
)
from orchestrator.report.value_texts import _schedule
from orchestrator.store.frames import flatten
from trainables.configs import schedules as s
from trainables.configs import to_plain
from trainables.configs.base import Config, Epochs, Steps


def labels(configs: pd.DataFrame, declared: dict[str, object] | None = None) -> list[str]:
    axes, values = find_axes(configs, declared or {})
    return configuration_labels(axes, values).tolist()


def test_schedules_and_rates() -> None:
    configs = pd.DataFrame(
        {
            "optimizer.lr": [0.06543, 0.1, 0.1],
            "optimizer.name": "sgd",
            "schedule.name": ["cosine", "constant", "step"],
            "schedule.warmup": [0.05, 0.0, 0.0],
            "schedule.gamma": [math.nan, math.nan, 0.1],
        }
    )
    written = {"optimizer.lr": [0.06543, 0.1], "schedule": [{"name": "cosine", "warmup": 0.05}]}
    assert labels(configs, written) == [
        "cosine (warmup 0.05), lr 0.0654",
        "constant, lr 0.1",
        "step, lr 0.1",
    ]
    assert labels(configs)[1:] == ["constant, lr 0.1", "step, lr 0.1"]


def test_only_fields_that_tell_values_of_one_name_apart() -> None:
    configs = pd.DataFrame(
        {
            "schedule.name": ["step", "step", "sgdr"],
            "schedule.gamma": [0.1, 0.5, math.nan],
            "schedule.every.epochs": [3.0, 3.0, math.nan],
            "schedule.warmup.steps": [100.0, 100.0, 100.0],
        }
    )
    assert labels(configs) == ["step (gamma 0.1)", "step (gamma 0.5)", "sgdr"]


def test_durations_have_units() -> None:
    configs = pd.DataFrame(
        {"schedule.name": ["step", "step"], "schedule.warmup.steps": [100.0, 200.0]}
    )
    assert labels(configs) == ["warmup 100 steps", "warmup 200 steps"]
    configs["schedule.every.epochs"] = [1.0, 2.0]
    written = {"schedule": []}
    assert labels(configs, written)[0] == "step (warmup 100 steps, every 1 epochs)"


def test_schedules_made_of_schedules() -> None:
    """Each part by its name and what is not at its default."""
    fall = s.Cosine(final=0.1, warmup=Epochs(epochs=2.0))
    pair = (s.Linear(start=0.5), s.Chain(schedules=(s.Rex(), fall)))
    steps = s.MultiStep(milestones=(0.5, Steps(steps=7)))
    mine = s.UserSchedule(name="a.b:c", args={"x": 3})
    schedules: list[Config] = [
        s.Sequence(schedules=pair, durations=(0.25,)),
        s.Sequence(schedules=pair, durations=(Steps(steps=9),)),
        s.Chain(schedules=(steps, mine)),
        s.OneCycle(cycle_momentum=True),
        s.OneCycle(),
    ]
    configs = pd.DataFrame([flatten({"schedule": to_plain(config)}) for config in schedules])
    written = {"schedule": [{"name": "sequence", "schedules": []}]}
    found = labels(configs, written)
    inner = "linear (start 0.5) → chain (rex × cosine"
    assert found[0].startswith(f"sequence ({inner}")
    assert found[0] != found[1]
    assert found[2:] == ["chain", "one_cycle (cycle_momentum True)", "one_cycle"]
    texts = [_schedule(to_plain(config)) for config in schedules[:3]]
    fall_text = "cosine (warmup 2 epochs, final 0.1)"
    assert texts == [
        f"sequence (linear (start 0.5) → chain (rex × {fall_text}), durations [0.25])",
        f"sequence (linear (start 0.5) → chain (rex × {fall_text}), durations [9 steps])",
        "chain (multistep (milestones [0.5, 7 steps]) × a.b:c (args x 3))",
    ]


def test_values_without_a_name_get_that_of_their_axis() -> None:
    configs = pd.DataFrame(
        {"model.hidden": ["[64, 32]", "[5]"], "optimizer.nesterov": [True, False]}
    )
    assert labels(configs) == ["hidden [64, 32], nesterov True", "hidden [5], nesterov False"]


def test_short_names_are_unique() -> None:
    configs = pd.DataFrame({"a.size": [1.0, 2.0], "b.size": [3.0, 4.0]})
    assert labels(configs) == ["a.size 1, b.size 3", "a.size 2, b.size 4"]


def test_nothing_varies() -> None:
    assert labels(pd.DataFrame({"optimizer.lr": [0.1, 0.1]})) == ["the configuration"] * 2


def test_long_texts_are_cut_and_stay_distinct() -> None:
    configs = pd.DataFrame({"data.name": ["x" * 10_000 + "a", "x" * 10_000 + "b"]})
    found = labels(configs)
    assert len(set(found)) == 2
    assert max(map(len, found)) < 80


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.065432, "0.0654"), (1e-5, "1e-5"), (1234.0, "1,234"), (2.5e7, "2.5e7"), (64.0, "64")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_numbers_of_an_axis_stay_distinct() -> None:
    assert list(distinct_numbers([0.1001, 0.1002]).values()) == ["0.1001", "0.1002"]


def test_texts() -> None:
    assert number(0.24, pad=True) == "0.240"
    assert number(math.nan) == "–"
    assert (duration(252), duration(3600 * 3 + 300), duration(4.2)) == (
        "4 min 12 s",
        "3 h 5 min",
        "4.2 s",
    )
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a, b", "c", "d"], 2, separator="; ") == "a, b; c; 1 more"
    assert listed(list("abcdefgh"), 3) == "a, b, c and 5 more"
    assert plus_minus(0.07123, 0.0031, decimals_for([0.0031])) == "0.0712 ± 0.0031"
    assert signed(-0.5, 2) == "−0.50"
