"""Recorded curves: what is replayed is what training with the rule does, lane by lane."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from orchestrator.early_stopping import Clock
from orchestrator.simulate.compare import play
from orchestrator.simulate.curve import SimulateError
from orchestrator.simulate.machine import Machine
from orchestrator.simulate.pace import Pace, Paces
from orchestrator.simulate.player import Played
from orchestrator.simulate.recorded import Recorded
from orchestrator.spec import Study
from orchestrator.spec.study import OwnObjective
from orchestrator.store import StoreError
from tests.early_stopping.driver import Driver
from tests.report.stores import plant
from tests.simulate.studies import study
from trainables.configs import RunConfig
from trainables.configs.run import run_id

DIGITS = """\
study: digits
optimizer: {name: sgd, lr: 0.1}
model: {name: mlp, hidden: [11]}
train: {epochs: 13, batch_size: 53}
sweep:
  optimizer.lr: {log: [0.001, 3.0], points: 7}
  optimizer.momentum: [0.0, 0.5, 0.9]
objective: {metric: valid/accuracy}
"""
PACE = Pace(step=0.001, lane=0.0001)
RULES = {
    "asha": "{name: asha, grace: {epochs: 1}, reduction: 3}",
    "median": "{name: median, grace: {epochs: 1}}",
    "patience": "{name: patience, evaluations: 2, min_delta: 0.002, metric: valid/loss}",
    "several": "[{name: asha, grace: {epochs: 2}, brackets: 2},"
    " {name: median, metric: valid/loss}]",
}


def trained(one: Study, folder: Path) -> dict[str, tuple[Any, ...]]:
    driver = Driver(one, folder, slots=1)
    assert driver.train()
    outcomes = {o.run_id: (o.status, o.reason, o.steps, o.lane) for o in driver.store.outcomes()}
    driver.store.close()
    return outcomes


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole grid of a small study on digits, trained."""
    folder = tmp_path_factory.mktemp("recorded")
    trained(study(folder, text=DIGITS), folder / "digits")
    return folder / "digits"


def _replayed(one: Study, folder: Path, slots: int = 1) -> Played:
    metrics = [OwnObjective(metric="valid/accuracy", mode="max")]
    curves = Recorded(one, folder, metrics)
    return play(one, Machine(slots=slots), curves, Paces(curves.measured, PACE))[0]


@pytest.mark.parametrize("rule", RULES)
def test_a_replay_decides_as_training_does(rule: str, recorded: Path, tmp_path: Path) -> None:
    """One slot: with several, which pack reports first decides what is compared with what."""
    one = study(tmp_path, f"early_stopping={RULES[rule]}", text=DIGITS)
    lanes = _replayed(one, recorded).lanes
    found = {
        name: (lane.status, lane.reason, lane.curve.steps[lane.reported - 1], lane.number)
        for name, lane in lanes.items()
    }
    assert found == trained(one, tmp_path / "trained")
    assert 3 < sum(status == "stopped" for status, *_ in found.values()) < 21


def test_a_replay_without_a_rule_is_the_recorded_study(recorded: Path, tmp_path: Path) -> None:
    one = study(tmp_path, text=DIGITS)
    curves = Recorded(one, recorded, [one.objective])
    lanes = _replayed(one, recorded).lanes
    assert lanes.keys() == {run_id(run) for run in one.runs()}
    assert {lane.status for lane in lanes.values()} <= {"completed", "diverged"}
    assert all(lane.curve is not None and lane.at_end for lane in lanes.values())
    assert curves.notes() == [f"recorded curves of {recorded}: 21 runs"]
    run = one.runs()[0]
    assert isinstance(run, RunConfig)
    assert curves.clock(run) == Clock(batch_size=53, per_epoch=22, total=13 * 22)


def test_the_order_of_rules_is_that_of_training(recorded: Path, tmp_path: Path) -> None:
    """By steps, in training, on recorded curves and on synthetic ones."""
    from orchestrator.simulate.synthetic import Synthetic

    rules = {"asha": RULES["asha"], "median": RULES["median"], "none": None}
    studies = {
        name: study(tmp_path, *([f"early_stopping={rule}"] if rule else []), text=DIGITS)
        for name, rule in rules.items()
    }

    def simulated(one: Study, curves: Any) -> int:
        lanes = play(one, Machine(slots=2), curves, Paces({}, PACE))[0].lanes.values()
        return sum(lane.batches for lane in lanes)

    found: dict[str, dict[str, int]] = {"trained": {}, "recorded": {}, "synthetic": {}}
    for name, one in studies.items():
        ends = trained(one, tmp_path / name).values()
        found["trained"][name] = sum(steps for _, _, steps, _ in ends)
        found["recorded"][name] = simulated(one, Recorded(one, recorded, [one.objective]))
        found["synthetic"][name] = simulated(one, Synthetic(one, [one.objective], 0, 0.01))
    for steps in found.values():
        assert sorted(steps, key=lambda name: steps[name]) == ["asha", "median", "none"]


def test_another_point_has_the_curve_of_the_nearest(recorded: Path, tmp_path: Path) -> None:
    one = study(
        tmp_path,
        "search={name: random, runs: 5, seed: 1}",
        "seeds=2",
        text=DIGITS.replace("{log: [0.001, 3.0], points: 7}", "{log_uniform: [0.001, 3.0]}"),
    )
    curves = Recorded(one, recorded, [one.objective])
    whole = study(tmp_path, text=DIGITS)
    known = {run_id(run): run for run in whole.runs()}
    import math

    def scaled(rate: float) -> float:
        return math.log(rate / 0.001) / math.log(3000)

    for run in one.runs():
        curve = curves.of(run_id(run), run)
        assert isinstance(run, RunConfig)

        def apart(other: Any, run: RunConfig = run) -> float:
            across = (other.optimizer.momentum - run.optimizer.momentum) / 0.9
            return math.hypot(scaled(other.optimizer.lr) - scaled(run.optimizer.lr), across)

        nearest = min(known, key=lambda name: apart(known[name]))
        assert curve is curves.of(nearest, known[nearest])
    _, note = curves.notes()
    assert note.startswith("10 runs that are not recorded to the end have the curve of the nearest")


def test_a_run_that_was_stopped_is_not_replayed(recorded: Path, tmp_path: Path) -> None:
    one = study(tmp_path, f"early_stopping={RULES['asha']}", text=DIGITS)
    trained(one, tmp_path / "stopped")
    curves = Recorded(one, tmp_path / "stopped", [one.objective])
    for run in one.runs():
        assert curves.of(run_id(run), run).status in ("completed", "diverged")
    assert "not recorded to the end" in curves.notes()[1]


def test_the_pace_is_as_measured(recorded: Path, tmp_path: Path) -> None:
    one = study(tmp_path, text=DIGITS)
    measured = Recorded(one, recorded, [one.objective]).measured
    ((first, second),) = measured.values()
    assert (first[0], second[0]) == (11, 10), "half of the 21 runs, then the others"
    assert 0 < min(first[1], second[1]) < 1
    pace = Paces({"": [first]}).of(one.runs()[0], "")
    assert pace.step + 11 * pace.lane == pytest.approx(11 * first[1])
    two = Paces({"": [(1, 0.0102), (4, 0.0027), (16, 0.000825)]}).of(one.runs()[0], "")
    assert (two.step, two.lane) == pytest.approx((0.01, 0.0002))
    narrow = Paces({"": [(2, 1e-5)]}).of(one.runs()[0], "")
    assert narrow.step + 2 * narrow.lane == pytest.approx(2e-5)
    assert narrow.lane > 0


def test_what_is_missing_is_said_in_a_line(recorded: Path, tmp_path: Path) -> None:
    one = study(tmp_path, text=DIGITS)
    with pytest.raises(StoreError, match="no study here"):
        Recorded(one, tmp_path / "nowhere", [one.objective])
    with pytest.raises(SimulateError, match=r"train/r2 is not recorded; recorded are .*valid/loss"):
        Recorded(one, recorded, [OwnObjective(metric="train/r2", mode="max")])
    plant(tmp_path / "pending", lambda chosen, seed: "pending")
    with pytest.raises(SimulateError, match="no run has been trained to its end"):
        Recorded(one, tmp_path / "pending", [one.objective])


OWN = """\
study: own
trainable: theirs:train
config: {x: 1}
sweep: {config.x: [0.1, 0.3, 1.0, 3.0]}
seeds: 2
objective: {metric: score, mode: max}
early_stopping: {name: asha, grace: {steps: 2}, max: {steps: 8}, reduction: 2}
"""


def test_own_training_is_replayed_run_by_run(tmp_path: Path) -> None:
    from orchestrator.store import Outcome, Store
    from trainables.configs.function_run import as_columns

    one = study(tmp_path, text=OWN)
    with Store.create(tmp_path / "own") as store:
        runs = {run_id(run): run for run in one.runs()}
        store.plan_runs((name, run.seed, as_columns(run)) for name, run in runs.items())
        for number, name in enumerate(runs):
            rows = [
                {"run_id": name, "level": 0, "step": k, "epoch": 0.0, "examples": 0}
                | {"seconds": 2.0 * k, "score": number + k / 10}
                for k in range(1, 9)
            ]
            final = {"score": number + 0.8}
            store.start_pack(name, [name], {})
            outcome = Outcome(
                run_id=name,
                lane=0,
                status="completed",
                reason="",
                steps=8,
                epochs=0.0,
                examples=0,
                wall_seconds=16.0,
                final=final,
                best=final,
            )
            store.record(name, rows, [outcome])
    curves = Recorded(one, tmp_path / "own", [one.objective])
    plain = dataclasses.replace(one, early_stopping=())
    whole = play(plain, Machine(slots=1, start_seconds=0.0), curves, Paces(curves.measured))[0]
    assert whole.ended == pytest.approx(8 * 16.0)
    result = play(one, Machine(slots=1, start_seconds=0.0), curves, Paces(curves.measured))[0]
    # In the order of the study each beats all before it.
    assert {lane.status for lane in result.lanes.values()} <= {"completed", "stopped"}
    assert result.ended == pytest.approx(2.0 * sum(lane.batches for lane in result.lanes.values()))
    other = study(tmp_path, "seeds=3", text=OWN.replace("[0.1, 0.3, 1.0, 3.0]", "[0.12, 3.0]"))
    near = Recorded(other, tmp_path / "own", [one.objective])
    found = [near.of(run_id(run), run).values["score"][-1] for run in other.runs()[:3]]
    assert found == [0.8, 1.8, 0.8], "the same seed, or one in turn"
