"""What large-batch reports say of optimizers and plans, and what they bear."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.report import write_report
from orchestrator.report.page import render
from orchestrator.report.sections import OF_LARGE_BATCH, sections_of
from orchestrator.report.sections.large_batch.compare import compare_section
from orchestrator.report.sections.large_batch.contrast import contrast
from orchestrator.report.sections.large_batch.plan import plan_section
from orchestrator.report.sections.large_batch.steps import steps_section
from orchestrator.report.sections.large_batch.study import find_large_batch
from tests.report.batches import (
    SGD,
    Planted,
    Trial,
    plant_batches,
    scaling,
)
from tests.report.stores import plant
from tests.report.test_large_batch import FEW, LARS, MOMENTUM, made, study_of
from tests.report.test_page import NASTY, Page


def by_optimizer(factor: Callable[[Trial], float]) -> Planted:
    def planted(trial: Trial) -> float | str:
        steps = scaling(noise=0.0)(trial)
        if isinstance(steps, str):
            return steps
        return steps * factor(trial) * (1 + 0.002 * trial.seed)

    return planted


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (
            0.7,
            "lars takes 0.70 times the steps of sgd (95 % interval 0.69 to 0.71, paired, 3 seeds): "
            "it is faster",
        ),
        (1.6, "lars takes 1.60 times the steps of sgd"),
        (1.0, "no clear difference"),
    ],
)
def test_whoever_wins_is_told(tmp_path: Path, factor: float, says: str) -> None:
    def times(trial: Trial) -> float:
        if trial.optimizer["name"] == "sgd":
            return 1.0
        return factor + (0.02 * (trial.seed - 1) if factor == 1.0 else 0)

    study = study_of(tmp_path, by_optimizer(times), optimizers=(MOMENTUM, LARS), batches=FEW)
    section = made(compare_section(study))
    assert says in section.finding
    assert "At batch size 2,048, the largest useful one" in section.finding
    counts = {0.7: (5, 0), 1.6: (0, 5), 1.0: (0, 0)}[factor]
    if factor == 1.6:  # the smallest batch does not come to its target within the budget
        assert "it is slower" in section.finding
    assert (
        f"lars is clearly faster at {counts[0]}, clearly slower at {counts[1]} of 5"
        in section.finding
    )
    assert "warmup" not in section.finding


def test_only_one_reaches_the_target(tmp_path: Path) -> None:
    def times(trial: Trial) -> float:
        return 99.0 if trial.batch > 1000 and trial.optimizer["name"] == "sgd" else 1.0

    study = study_of(tmp_path, by_optimizer(times), optimizers=(MOMENTUM, LARS), batches=FEW)
    finding = made(compare_section(study)).finding
    assert "the largest useful one, only lars reaches the target (sgd: unreached)." in finding


def test_momentum_is_what_others_stand_beside(tmp_path: Path) -> None:
    plain = {"name": "sgd", "momentum": 0.0, "nesterov": False}
    heavy = {"name": "sgd", "momentum": 0.9, "nesterov": False}
    nesterov = {"name": "sgd", "momentum": 0.9, "nesterov": True}
    every = (LARS, plain, nesterov, heavy)
    study = study_of(tmp_path, scaling(), optimizers=every, batches=(32, 128), seeds=2)
    names = {row[1] for row in made(compare_section(study)).tables[0].rows}
    assert len(names) == 1
    assert "0.9" in (name := names.pop())
    assert "True" not in name
    without = study_of(tmp_path / "no", scaling(), optimizers=(LARS, {"name": "lamb"}), batches=FEW)
    assert compare_section(without) is None


def test_gradual_warmup_beside_none(tmp_path: Path) -> None:
    def times(trial: Trial) -> float:
        return 1.4 if trial.warmup == 0 and trial.batch > 1000 else 1.0

    study = study_of(tmp_path, by_optimizer(times), warmups=(0.0, 0.1), batches=FEW)
    section = made(compare_section(study))
    assert (
        "At batch size 2,048, the largest useful one, gradual warmup takes 0.72 times the steps of "
        "no warmup" in section.finding
    )
    assert "gradual warmup is clearly faster at 1, clearly slower at 0 of 5" in section.finding
    assert [figure.name for figure in section.figures] == ["compared_warmup"]
    assert compare_section(study_of(tmp_path / "none", scaling(), batches=FEW)) is None


def test_ratios_are_paired_by_seed() -> None:
    rows = [
        (way, seed, steps)
        for way, all_steps in (("a", (110, 220, 440)), ("b", (100, 200, 400)))
        for seed, steps in enumerate(all_steps)
    ]
    frame = pd.DataFrame(rows, columns=["group", "seed", "steps"])
    frame = frame.assign(
        batch_size=7,
        point="",
        rate=0.1,
        status="reached",
        examples=7 * frame["steps"],
        resolution=1,
    )
    found = contrast(frame, frame["group"], "a", "b").iloc[0]
    assert found["value"] == pytest.approx(1.1)
    assert found["low"] == pytest.approx(1.1)  # unpaired, it would span a factor of 4
    assert found["n"] == 3


def test_the_planners_table(tmp_path: Path) -> None:
    # A step takes 2 ms and 20 µs an example, so that the best batch of one GPU is B with
    # S(B) · t(B) least: B = √(B_crit · 100) = 145.
    study = study_of(
        tmp_path,
        scaling(noise=0.0, base=0.001),
        seeds=1,
        budget=100_000,
        seconds=lambda trial: 0.002 + 2e-5 * trial.batch,
    )
    section = made(plan_section(study))
    # 101 (1 + 211 / 145) · (2 ms + 145 · 20 µs) = 1.22 s, and a little for the rates’ grid.
    assert re.search(r"One machine like the one that ran the study takes 1.[23] s", section.finding)
    table = section.tables[0]
    assert [row[0] for row in table.rows] == [f"{2**k:,}" for k in range(11)]
    best = int(table.rows[0][1].replace(",", ""))
    assert 110 < best < 190
    sizes = [int(row[1].replace(",", "")) for row in table.rows]
    assert sizes == sorted(sizes)
    assert table.rows[0][-2] == "100 %"
    assert "extrapolated" not in section.finding
    small = study_of(tmp_path / "small", scaling(base=0.001), batches=(8, 16, 32, 64), seeds=1)
    finding = made(plan_section(small)).finding
    assert "From 128 GPUs on, batches are larger than any that was measured" in finding
    never = study_of(tmp_path / "never", scaling(), batches=FEW, budget=10, seeds=1)
    assert made(plan_section(never)).finding.startswith("Nothing can be predicted yet: no two")


def test_other_sections_make_room(tmp_path: Path) -> None:
    results = plant_batches(tmp_path, scaling(), batches=FEW, seeds=1)
    titles = [section.title for section in sections_of(results)]
    assert titles[1] == "Scaling with the batch size"
    assert "The best configurations" not in titles
    for other in (
        plant_batches(tmp_path / "one", scaling(), batches=(64,)),
        plant_batches(tmp_path / "none", scaling(), batches=FEW, target=False, seeds=1),
        plant(tmp_path / "usual", lambda chosen, seed: 1.0 + seed),
    ):
        assert find_large_batch(other) is None
        assert "The best configurations" in [section.title for section in sections_of(other)]


@pytest.mark.parametrize("status", ["pending", "failed", "diverged", "running"])
def test_every_section_bears_a_study_without_results(tmp_path: Path, status: str) -> None:
    results = plant_batches(tmp_path, lambda trial: status, batches=FEW, warmups=(0.0, 0.1))
    assert all(made(section).finding for section in sections_of(results))


def test_every_section_bears_a_study_that_never_reaches_its_target(tmp_path: Path) -> None:
    study = study_of(
        tmp_path,
        scaling(),
        batches=FEW,
        budget=10,
        optimizers=(SGD, LARS),
        noise_scale=lambda trial, share: 100.0,
    )
    made(steps_section(study))
    assert steps_section(study).finding.startswith("No batch size has reached the target.")
    assert all(made(section).finding for build in OF_LARGE_BATCH if (section := build(study)))


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("done", [1, 2, 3])
def test_mid_sweep(tmp_path: Path, done: int, seeds: int) -> None:
    """Batch sizes that are not there yet are not drawn, and not said to be anything."""

    def planted(trial: Trial) -> float | str:
        ahead = trial.seed == 0
        return scaling()(trial) if FEW.index(trial.batch) < done + ahead else "pending"

    study = study_of(
        tmp_path,
        planted,
        batches=FEW,
        seeds=seeds,
        optimizers=(MOMENTUM, LARS),
        warmups=(0.0, 0.1),
        noise_scale=lambda trial, share: 100.0 * share,
    )
    sections = [made(section) for build in OF_LARGE_BATCH if (section := build(study))]
    assert "have yet to end: figures may change." in sections[0].finding
    # A batch size of which seeds are missing is not known.
    whole = done if seeds > 1 else done + 1
    assert set(sections[0].figures[0].data["x"]) == set(FEW[:whole])


def test_figures_of_a_written_report(tmp_path: Path) -> None:
    plant_batches(
        tmp_path,
        scaling(),
        batches=FEW,
        seeds=2,
        optimizers=(MOMENTUM, LARS),
        warmups=(0.0, 0.1),
        noise_scale=lambda trial, share: 100.0 * share,
    )
    path = write_report(tmp_path)
    names = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert {
        "steps_to_target",
        "trade_off",
        "noise_scale",
        "best_rates",
        "rate_sensitivity",
    } <= names
    assert {"compared_optimizers", "compared_warmup", "generalization_gap"} <= names
    csv = (tmp_path / "figures/noise_scale.csv").read_text(encoding="utf-8")
    assert csv.startswith("epoch,probe/noise_scale,n,batch_size\n")
    assert "B_crit" in Page(path.read_text(encoding="utf-8")).text


def test_other_peoples_text_is_only_text(tmp_path: Path) -> None:
    optimizers = ({"name": "sgd"}, {"name": NASTY})
    results = plant_batches(tmp_path, scaling(), batches=FEW, seeds=1, optimizers=optimizers)
    text = render(results, sections_of(results), exported=False)
    page = Page(text)
    assert NASTY[:40] in page.text
    scripts = len([1 for tag, _ in page.elements if tag == "script"])
    assert scripts == 2 + len(page.specs)
