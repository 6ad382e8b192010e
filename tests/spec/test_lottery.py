"""A study of lottery tickets: which networks it has, each once, in which order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec import load_study
from orchestrator.spec.lotteries import network_count
from orchestrator.spec.stored import stored_run
from orchestrator.spec.study import Study
from tests.spec.malformed import study
from trainables.configs import RunConfig, run_id, to_plain
from trainables.configs.base import Steps
from trainables.configs.lottery import Lottery, Training, dense, networks, pruned_from, sibling


def load(folder: Path, more: str, *overrides: str) -> Study:
    path = folder / "s.yaml"
    path.write_text(study(more))
    return load_study(path, overrides)


def networks_of(one: Study) -> list[RunConfig]:
    return [run for run in one.runs() if isinstance(run, RunConfig)]


LOTTERY = (
    "procedure: {name: lottery, levels: 5, controls: [reinitialized, signs], children: 2,"
    " children_at: [0, 3]}\nseeds: [3, 7]\n"
)
AXES = "sweep: {procedure.rewind_to: [0, {steps: 11}], procedure.criterion: [magnitude, random]}\n"


def test_a_configuration_is_all_its_networks(tmp_path: Path) -> None:
    one = load(tmp_path, LOTTERY)
    found = networks_of(one)
    assert one.lottery
    assert one.size == 1 + 5 * 3 + 2 * 2
    assert len(found) == 2 * one.size == len({run_id(run) for run in found})
    where = Counter(
        (n and (n.level, n.control, n.child > 0)) for n in (run.lottery for run in found)
    )
    assert where.pop(None) == 2
    assert where.pop((0, None, True)) == where.pop((3, None, True)) == 4
    kinds = (None, "reinitialized", "signs")
    assert where == {(level, kind, False): 2 for level in range(1, 6) for kind in kinds}
    assert [run.seed for run in found[:4]] == [3, 7, 3, 7]


def test_what_a_network_comes_from_is_before_it(tmp_path: Path) -> None:
    seen: set[str] = set()
    for run in networks_of(load(tmp_path, LOTTERY + AXES)):
        parents = [pruned_from(run), sibling(run), dense(run) if run.lottery else None]
        assert {run_id(parent) for parent in parents if parent is not None} <= seen
        seen.add(run_id(run))


def test_procedures_share_their_dense_networks(tmp_path: Path) -> None:
    one = load(tmp_path, LOTTERY + AXES)
    found = networks_of(one)
    # Children of the dense network differ in where they leave it, not in how tickets are made.
    assert one.size == 1 + 2 * 2 + 4 * (5 * 3 + 2)
    assert len(found) == 2 * one.size
    assert sum(run.lottery is None for run in found) == 2
    assert one.design == "grid, 4 configurations"
    rewinds = {p.rewind_to for p in one.procedures if isinstance(p, Lottery)}
    assert rewinds == {0.0, Steps(steps=11)}
    assert len(one.procedures) == 4


def test_a_study_that_gains_levels_keeps_its_networks(tmp_path: Path) -> None:
    few = {run_id(run) for run in networks_of(load(tmp_path, LOTTERY))}
    changes = ("procedure.levels=7", "procedure.controls=[reinitialized, signs, shuffled]")
    many = {run_id(run) for run in networks_of(load(tmp_path, LOTTERY, *changes, "seeds=8"))}
    assert len(many) == 8 * (1 + 7 * 4 + 4)
    assert len(few & many) == len(few) == 2 * 20


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 1},
        {"levels": 5, "controls": ()},
        {"levels": 5, "children": 3},
        {"levels": 5, "children": 3, "children_at": (0,)},
        {"levels": 7, "children": 2, "children_at": (3, 5, 3), "controls": ("signs", "shuffled")},
    ],
)
def test_networks_are_counted_before_they_are_made(options: dict[str, Any], tmp_path: Path) -> None:
    (run,) = networks_of(load(tmp_path, ""))
    procedure = Lottery(**options)
    assert network_count(procedure) == len(networks(run, procedure))
    assert network_count(Training()) == 1


def test_training_alone_is_the_default(tmp_path: Path) -> None:
    plain, written = load(tmp_path, ""), load(tmp_path, "procedure: {name: train}\n")
    assert plain.runs() == written.runs()
    assert plain.procedures == written.procedures == (Training(),)
    assert not plain.lottery
    both = load(tmp_path, "sweep: {procedure: [{name: train}, {name: lottery, levels: 1}]}\n")
    assert both.lottery
    assert networks_of(both)[0] == networks_of(plain)[0]
    assert both.size == 3


@pytest.mark.parametrize("search", ["{name: random, runs: 4}", "{name: sobol, runs: 4}"])
def test_drawn_points_are_expanded_too(tmp_path: Path, search: str) -> None:
    axes = "sweep: {optimizer.lr: {log_uniform: [0.01, 1]}, procedure.rate: [0.2, 0.5]}\n"
    one = load(tmp_path, f"procedure: {{name: lottery, levels: 3}}\nsearch: {search}\n{axes}")
    assert one.size == 4 * 7
    assert len({run.optimizer.lr for run in networks_of(one)}) == 4


def test_an_override_reaches_a_procedure_that_is_not_written(tmp_path: Path) -> None:
    one = load(tmp_path, "", "procedure.name=lottery", "procedure.levels=2")
    assert one.size == 5


def test_networks_are_read_back_from_the_store(tmp_path: Path) -> None:
    rates = 'procedure: {name: lottery, levels: 2, layer_rates: {"0.*": 0.1}, exclude: ["2.*"]}\n'
    for run in networks_of(load(tmp_path, rates)):
        assert stored_run(json.loads(json.dumps(to_plain(run)))) == run


def test_a_target_may_end_a_network_early(tmp_path: Path) -> None:
    target = "train.target={metric: valid/accuracy, value: 0.9}"
    assert load(tmp_path, LOTTERY, target).size == 20
