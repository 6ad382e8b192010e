"""Population-based training: copies, restarts, and a loop written out beside it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import random
from typing import Any

import pytest
import torch

from tests.engine.populations import (
    DATA,
    LR,
    MOMENTUM,
    Eager,
    data_of,
    finished,
    members,
    session_of,
    timeless,
)
from trainables import population
from trainables.configs.base import Epochs, Steps
from trainables.configs.data import LeastSquares
from trainables.configs.optimizers import Sgd
from trainables.configs.population import Mutable
from trainables.configs.run import RunConfig, run_id
from trainables.configs.schedules import Plateau, RangeTest
from trainables.data import load
from trainables.parts import checkpoint_of
from trainables.session import PackSession
from trainables.stack_width import Way


def share(*words: object) -> float:
    text = ":".join(map(str, words))
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1) / 2**63


def written_out(
    runs: list[RunConfig], intervals: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The algorithm in a loop over single members: its copies, and the last losses."""
    rules = runs[0].population
    assert rules is not None
    data = load(DATA)
    found = {run_id(run): Eager(run, data) for run in runs}
    events, losses = [], {}
    for interval in range(intervals):
        step = 14 * (interval + 1)
        losses = {name: member.train(step - 14, step) for name, member in found.items()}
        if interval == intervals - 1:
            break
        word = (rules.seed, "population", runs[0].seed, step)
        order = sorted(found, key=lambda name: losses[name])
        quarter = math.floor(rules.quantile * len(runs))
        replaced = {}
        for name in order[-quarter:]:
            source = order[:quarter][math.floor(share(*word, "source", name) * quarter)]
            values = {}
            for at in rules.space:
                if share(*word, "resample", name, at.name) < rules.resample:
                    u = share(*word, "value", name, at.name)
                    value = at.low + u * (at.high - at.low)
                    if at.log:
                        value = at.low * (at.high / at.low) ** u
                else:
                    u = share(*word, "factor", name, at.name)
                    value = (
                        found[source].values[at.name] * rules.factors[int(u * len(rules.factors))]
                    )
                values[at.name] = min(max(float(f"{value:.6g}"), at.low), at.high)
            replaced[name] = copy.deepcopy(found[source])
            replaced[name].values = values
            replaced[name].state.param_groups[0] |= values
            events.append({"run_id": name, "step": step, "source": source, "values": values})
        found |= replaced
    return events, losses


def ordered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(events, key=lambda event: (event["step"], event["run_id"]))


@pytest.mark.parametrize("width", [7, 3, 1])
def test_a_population_does_what_a_written_out_loop_does(width: int) -> None:
    runs = members()
    found = finished(session_of(runs, strategy="auto", ways=(Way(width),)))
    events, losses = written_out(runs, 4)
    assert ordered(found["events"]) == ordered(events)
    assert len(events) == 6
    for name, loss in losses.items():
        assert found["progress"][name].final["valid/loss"] == pytest.approx(loss, rel=1e-10)
        assert found["progress"][name].status == "completed"


@pytest.mark.parametrize("width", [7, 3])
def test_a_copied_lane_is_bitwise_its_source(width: int) -> None:
    runs = members(train={"ema": 0.9}, schedule=Plateau(patience=0, factor=0.5))
    session = session_of(runs, strategy="auto", ways=(Way(width),))
    session.advance()
    report = session.advance()
    assert report.events
    lanes = {
        name: stack.lane_states([lane])
        for names, stack in session._stacks
        for lane, name in enumerate(names)
    }
    for event in report.events:
        mine, source = lanes[event["run_id"]], lanes[event["source"]]
        for part in ("params", "average"):
            for name, tensor in source[part].items():
                assert torch.equal(mine[part][name], tensor)
        for name, tree in source["state"].items():
            for key, tensor in tree.items():
                assert torch.equal(mine["state"][name][key], tensor)
        assert mine["plateaus"] == source["plateaus"]


def test_the_order_of_lanes_and_other_populations_do_not_matter() -> None:
    runs = members()
    alone = finished(session_of(runs))
    shuffled = random.Random(2).sample(runs, len(runs))
    others = members(seed=4)
    mixed = finished(session_of([*shuffled[:4], *others, *shuffled[4:]]))
    names = {run_id(run) for run in runs}
    assert ordered([e for e in mixed["events"] if e["run_id"] in names]) == ordered(alone["events"])
    for key, row in timeless(alone["rows"]).items():
        assert timeless(mixed["rows"])[key] == pytest.approx(row, rel=1e-10)
    copies = [(e["step"], e["source"] != e["run_id"]) for e in mixed["events"]]
    assert len(copies) == 2 * len(alone["events"])


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_resumed_is_bitwise_undisturbed(stop: int) -> None:
    runs = members(train={"precision": "float32"}, schedule=Plateau(patience=0, factor=0.5))
    whole = finished(session_of(runs))
    first = session_of(runs)
    rows, events = [], []
    for _ in range(stop):
        report = first.advance()
        rows += report.rows
        events += report.events
    saved = copy.deepcopy(first.state_dict())
    second = PackSession.restore(
        saved, [(run_id(run), run) for run in runs], data_of(runs), first.settings
    )
    rest = finished(second)
    assert events + rest["events"] == whole["events"]
    assert timeless(rows + rest["rows"]) == timeless(whole["rows"])


def test_every_member_is_an_ordinary_run_with_changes() -> None:
    """Whoever is replayed, copied or not, comes to the same numbers."""
    runs = members()
    session = session_of(runs)
    found = finished(session)
    changed = {event["run_id"] for event in found["events"]}
    assert 0 < len(changed) < len(runs)
    for run in runs:
        lived = dataclasses.replace(session._plan.runs[run_id(run)], population=None)
        assert bool(lived.train.changes) == (run_id(run) in changed)
        alone = finished(session_of([lived]))["progress"][run_id(lived)]
        final = found["progress"][run_id(run)].final
        assert alone.final == pytest.approx(final, rel=1e-10)


def test_history_shows_hyperparameters_as_they_were_used() -> None:
    runs = members()
    found = finished(session_of(runs))
    rows = timeless(found["rows"])
    for event in found["events"]:
        name, step = event["run_id"], event["step"]
        assert rows[name, step]["optimizer.lr"] != event["values"]["lr"]
        assert rows[name, step + 7]["optimizer.lr"] == event["values"]["lr"]
        assert rows[name, step + 7]["lr"] == pytest.approx(event["values"]["lr"], rel=1e-12)
        assert rows[name, step + 7]["optimizer.momentum"] == event["values"]["momentum"]


def test_members_that_diverge_are_replaced_and_go_on() -> None:
    starts = [(0.01, 0.0), (3.0, 0.9), (4.0, 0.9), (5.0, 0.9), (0.02, 0.0)]
    wide = (dataclasses.replace(LR, high=6.0), MOMENTUM)
    runs = members(starts, rules={"space": wide, "resample": 0.0}, train={"diverged_above": 50.0})
    session = session_of(runs)
    session.advance()
    wild = {run_id(run) for run in runs[1:4]}
    assert {n for n, p in session.progress.items() if p.reason} == wild
    assert all(p.status == "running" for p in session.progress.values())
    report = session.advance()
    assert {event["run_id"] for event in report.events} == wild
    assert all(event["source"] not in wild for event in report.events)
    found = finished(session)
    assert all(p.status == "completed" for p in found["progress"].values())


def test_a_population_that_diverges_as_a_whole_ends() -> None:
    wide = (dataclasses.replace(LR, high=60.0), MOMENTUM)
    runs = members([(30.0, 0.9), (40.0, 0.9), (50.0, 0.9)], rules={"space": wide, "quantile": 0.5})
    session = session_of(runs)
    session.advance()
    report = session.advance()
    assert [p["status"] for p in report.progress] == ["diverged"] * 3
    assert session.finished
    assert "batch loss" in session.progress[run_id(runs[0])].reason


def test_a_member_that_diverges_at_the_end_has_diverged() -> None:
    wide = (dataclasses.replace(LR, high=60.0), MOMENTUM)
    runs = members([(0.01, 0.0), (50.0, 0.9)], rules={"space": wide, "interval": Epochs(epochs=9)})
    found = finished(session_of(runs))["progress"]
    assert [found[run_id(run)].status for run in runs] == ["completed", "diverged"]


def test_a_part_of_a_population_does_not_train() -> None:
    runs = members()
    session = session_of(runs[:-2])
    report = session.advance()
    assert {p["status"] for p in report.progress} == {"failed"}
    assert "5 of a population's 7 members" in report.progress[0]["reason"]


def test_a_population_that_memory_does_not_hold_at_once_does_not_train() -> None:
    session = session_of(members(), memory=3_000_000, strategy="auto")
    assert {p.status for p in session.progress.values()} == {"running"}
    session = session_of(members(), memory=1, strategy="fused")
    report = session.advance()
    assert {p["status"] for p in report.progress} == {"failed"}
    assert "of the 7 members that must train together" in report.progress[0]["reason"]


def test_half_of_a_populations_checkpoint_is_refused() -> None:
    runs = members()
    session = session_of(runs)
    session.advance()
    names = [run_id(run) for run in runs[:4]]
    half = checkpoint_of(session.state_dict(), names)
    with pytest.raises(ValueError, match="4 of a population's 7 members"):
        PackSession.restore(
            half, [(run_id(run), run) for run in runs], data_of(runs), session.settings
        )


def test_an_exchange_waits_for_whole_intervals() -> None:
    runs = members(rules={"interval": Steps(steps=21)})
    assert sorted({e["step"] for e in finished(session_of(runs))["events"]}) == [21, 42]
    assert population.in_force(dataclasses.replace(runs[0], population=None), 3) == {}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_population_follows_an_optimum_that_moves(seed: int) -> None:
    """The schedule grows the rate a thousandfold, so the best factor on it falls as much.

    Any fixed factor is right for a moment of training; a population, as in Figure 2 of the paper,
    makes progress throughout. It is compared with its own first members and a grid of 60.
    """
    data = LeastSquares(features=5, examples=31, condition=100.0)
    space = Mutable(name="lr", low=1e-3, high=30.0, log=True)
    draw = random.Random(f"toy {seed}")
    runs = members(
        [(space.at(draw.random()), 0.0) for _ in range(16)],
        seed=seed,
        data=data,
        schedule=RangeTest(start=1e-3),
        train={"epochs": 24.0},
        rules={
            "space": (space,),
            "interval": Epochs(epochs=1.0),
            "quantile": 0.25,
            "factors": (0.5, 0.8, 1.2),
            "seed": seed,
        },
    )
    session = session_of(runs)
    found = finished(session)["progress"]
    grid = [Sgd(lr=space.at((k + 0.5) / 60)) for k in range(60)]
    optimizers = [*grid, *(run.optimizer for run in runs)]
    fixed = [dataclasses.replace(runs[0], population=None, optimizer=o) for o in optimizers]
    alone = finished(session_of(fixed))["progress"]

    def best(progress: dict[str, Any]) -> tuple[float, str]:
        ended = [p for p in progress.values() if p.status == "completed"]
        return min((p.final["valid/loss"], p.run_id) for p in ended)

    loss, name = best(found)
    assert loss < best(alone)[0] / 3
    lived = session._plan.runs[name]
    assert lived.train.changes[-1].optimizer["lr"] < lived.optimizer.lr / 5
