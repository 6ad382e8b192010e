"""A population is one pack; its interval is whole evaluations, whatever the units."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.launch import LaunchError
from orchestrator.launch.check import check, load_data
from orchestrator.plan import make_packs, unique_runs
from orchestrator.spec import load_study
from trainables.configs import RunConfig

STUDY = """
study: s
data: {{name: least_squares, features: 5, examples: 31}}
optimizer: {{name: sgd, lr: 0.1}}
train: {{{train}, batch_size: 4, loss: quadratic}}
seeds: 3
search: {{name: pbt, population: 11, interval: {interval}}}
sweep: {{optimizer.lr: {{log_uniform: [0.01, 1]}}}}
"""


def runs_of(
    folder: Path, train: str = "epochs: 6", interval: str = "{epochs: 2}"
) -> dict[str, RunConfig]:
    path = folder / "s.yaml"
    path.write_text(STUDY.format(train=train, interval=interval))
    found = unique_runs(load_study(path).runs())
    return {name: run for name, run in found.items() if isinstance(run, RunConfig)}


@pytest.mark.parametrize("slots", [1, 2, 7])
def test_a_population_is_one_pack(tmp_path: Path, slots: int) -> None:
    runs = runs_of(tmp_path)
    packs = make_packs(runs, slots=slots, most_lanes=11)
    assert [len(pack.run_ids) for pack in packs] == [11, 11, 11]
    for pack in packs:
        assert len({runs[name].seed for name in pack.run_ids}) == 1


@pytest.mark.parametrize(
    ("train", "interval", "steps"),
    [
        ("epochs: 6", "{steps: 10}", "10 steps are no multiple of train.evaluate_every, 7 steps"),
        ("epochs: 6", "{steps: 3}", "3 steps are no multiple of train.evaluate_every, 7 steps"),
        ("epochs: 6", "{steps: 42}", "42 steps must be fewer than those of training, 42"),
        ("steps: 30, evaluate_every: {steps: 5}", "{epochs: 1}", "7 steps are no multiple"),
    ],
)
def test_an_interval_in_another_unit_is_checked_with_the_data(
    tmp_path: Path, train: str, interval: str, steps: str
) -> None:
    runs = runs_of(tmp_path, train, interval)
    with pytest.raises(LaunchError) as caught:
        check(runs.values(), load_data(runs.values()))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("search.interval: ")
    assert steps in line


@pytest.mark.parametrize(
    ("train", "interval"),
    [
        ("epochs: 6", "{steps: 14}"),
        ("epochs: 6, evaluate_every: {epochs: 0.5}", "{epochs: 1}"),  # 4 of 7 steps
        ("steps: 30, evaluate_every: {steps: 7}", "{epochs: 2}"),
        ("epochs: 6, evaluate_every: 0.1", "0.5"),
    ],
)
def test_rounding_to_whole_steps_is_no_fault(tmp_path: Path, train: str, interval: str) -> None:
    runs = runs_of(tmp_path, train, interval)
    check(runs.values(), load_data(runs.values()))


def test_a_change_beyond_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "study: s\ndata: {name: least_squares, features: 5, examples: 31}\n"
        "optimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 3, batch_size: 4, loss: quadratic, "
        "changes: [{step: 21, optimizer: {lr: 0.3}}]}\n"
    )
    runs = [run for run in load_study(path).runs() if isinstance(run, RunConfig)]
    with pytest.raises(LaunchError, match=r"train\.changes: step 21 is beyond a training of 21"):
        check(runs, load_data(runs))
