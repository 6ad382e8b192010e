"""What was planted in a comparison of optimizers is what its report finds, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.sections import OF_SECOND_ORDER, sections_of
from orchestrator.report.sections.second_order.batches import batches_section, gains
from orchestrator.report.sections.second_order.cost import cost_section
from orchestrator.report.sections.second_order.curves import way_section
from orchestrator.report.sections.second_order.diverged import diverged_section
from orchestrator.report.sections.second_order.profile import profile_section, scores
from orchestrator.report.sections.second_order.sensitivity import (
    cells,
    near,
    sensitivity_section,
)
from orchestrator.report.sections.second_order.study import SecondOrder, find_second_order
from orchestrator.report.sections.second_order.targets import targets_section
from orchestrator.report.sections.second_order.tuning import tuning_section
from tests.report.batches import plant_batches, scaling
from tests.report.optimizers import Planted, Trial, bowl, plant_optimizers
from tests.report.stores import made

FAST = {"sgd": 100.0, "adam": 60.0, "kfac": 20.0}
EQUAL = dict.fromkeys(FAST, 100.0)


def study_of(folder: Path, planted: Planted, **options: Any) -> SecondOrder:
    study = find_second_order(plant_optimizers(folder, planted, **options))
    assert study is not None
    return study


def test_the_fastest_is_told_with_its_ratio(tmp_path: Path) -> None:
    section = made(targets_section(study_of(tmp_path, bowl(FAST))))
    assert "15 trials" in section.lead
    for problem in ("digits", "least squares"):
        told = section.finding.split(f"{problem}: kfac in ")[1]
        ratio = float(told.split("steps, ")[1].split(" of sgd")[0])
        assert ratio == pytest.approx(0.2, abs=0.015)
        low, high = map(float, told.split("interval ")[1].split(")")[0].split(" to "))
        assert 0.15 < low <= ratio <= high < 0.25
    assert "Never reached" not in section.finding
    data = section.figures[0].data
    assert set(data["y"]) == {"adam", "kfac"}
    assert data.loc[data["y"] == "adam", "value"].tolist() == pytest.approx([0.6] * 2, abs=0.04)
    (row,) = [r for r in section.tables[0].rows if r[:2] == ["digits", "kfac"]]
    assert row[5] == "lr 0.1, damping 0.01"


def test_a_best_rate_at_an_end_of_what_was_tried_is_told(tmp_path: Path) -> None:
    rates = (0.1, 0.3, 1.0)
    section = made(targets_section(study_of(tmp_path / "a", bowl(FAST), rates=rates)))
    where = "sgd on digits and least squares; adam on digits and least squares; kfac on"
    assert f"The best rate is at an end of what was tried for {where}" in section.finding
    inside = made(targets_section(study_of(tmp_path / "b", bowl(FAST))))
    assert "at an end" not in inside.finding


def test_methods_that_never_reach_a_target_and_runs_to_come_are_told(tmp_path: Path) -> None:
    def planted(trial: Trial) -> float | str:
        if trial.task == "digits" and trial.method == "kfac":
            return 1e9
        return "pending" if trial.rate == 1.0 else bowl(FAST)(trial)

    section = made(targets_section(study_of(tmp_path, planted)))
    assert "digits: adam in " in section.finding
    assert "Never reached: kfac on digits." in section.finding
    assert "90 runs yet to end" not in section.finding
    assert "runs yet to end" in section.finding
    (row,) = [r for r in section.tables[0].rows if r[:2] == ["digits", "kfac"]]
    assert row[2] == "not reached"


def test_only_a_second_order_method_reaches_it(tmp_path: Path) -> None:
    section = made(targets_section(study_of(tmp_path, bowl(FAST | {"sgd": 1e7, "adam": 1e7}))))
    assert "kfac in " in section.finding
    assert "; sgd does not reach it." in section.finding


def test_where_the_others_are_when_the_fastest_arrives(tmp_path: Path) -> None:
    """sgd has 0.3 · √(100 / 50) after 50 steps: its first evaluation is at half of its way."""
    study = study_of(tmp_path / "a", bowl({"sgd": 100.0, "adam": 1e9, "kfac": 60.0}, noise=0.0))
    section = made(way_section(study))
    assert (
        "digits: when kfac has a validation loss of 0.3, after 60 steps, sgd has 0.424."
        in section.finding
    )
    assert [figure.name for figure in section.figures] == ["way_1", "way_2"]
    data = section.figures[0].data
    ends = data.groupby("group")["x"].max()
    assert ends.to_dict() == {"sgd": 100, "adam": 3000, "kfac": 60}
    slow = made(way_section(study_of(tmp_path / "b", bowl(FAST | {"sgd": 10.0}))))
    assert slow.finding == "digits: sgd arrives first. least squares: sgd arrives first."


def test_the_profile_ranks_and_says_what_it_cannot_tell_apart(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a", bowl(FAST))
    section = made(profile_section(study))
    assert (
        "In steps kfac has the highest score (kfac 1.00 [1.00, 1.00], adam 0.3" in section.finding
    )
    found = scores(study, "steps").value
    assert found.tolist() == pytest.approx([0.0, (4 - 3) / 3, 1.0], abs=0.06)
    alike = made(profile_section(study_of(tmp_path / "b", bowl(EQUAL, noise=0.1))))
    assert "In steps the highest scores are not told apart: " in alike.finding
    assert profile_section(study_of(tmp_path / "c", bowl(FAST), tasks=["digits"])) is None


def test_batch_sizes_of_a_task_share_its_weight(tmp_path: Path) -> None:
    """kfac is first on both batches of digits, sgd on least squares: a half each."""

    def planted(trial: Trial) -> float | str:
        first = trial.method == ("kfac" if trial.task == "digits" else "sgd")
        return bowl(50.0 if first else 5e3)(trial)

    sizes = {"digits": (64, 256), "least_squares": (64,)}
    study = study_of(tmp_path, planted, batches=sizes, methods=["sgd", "kfac"])
    assert study.weights.tolist() == [0.5, 0.5, 1.0]
    assert scores(study, "steps").value.tolist() == [0.5, 0.5]


def test_tuning_that_pays_and_tuning_that_does_not(tmp_path: Path) -> None:
    """adam is good wherever it is tried, kfac best of all at one place only."""

    def planted(trial: Trial) -> float | str:
        fewest = {"sgd": 100.0, "adam": 60.0, "kfac": 20.0}[trial.method]
        width = {"sgd": 1.0, "adam": 50.0, "kfac": 0.4}[trial.method]
        return bowl(fewest, width=width)(trial)

    section = made(tuning_section(study_of(tmp_path / "a", planted)))
    assert section.finding.startswith("With 3 trials adam is ahead, with 15 kfac.")
    assert "surely beaten (95 %) by adam with 1 and kfac with " in section.finding
    data = section.figures[0].data
    last = data[data["x"] == 15].set_index("group")["value"]
    assert last.to_dict() == pytest.approx({"sgd": 5.0, "adam": 3.0, "kfac": 1.0}, rel=0.06)
    equal = made(tuning_section(study_of(tmp_path / "b", bowl(EQUAL, noise=0.1))))
    assert "No other method surely beats sgd at its best of 15." in equal.finding
    one = study_of(tmp_path / "c", bowl(FAST), rates=(0.1,), seconds=(0.01,))
    assert tuning_section(one) is None


def test_who_minds_its_hyperparameters(tmp_path: Path) -> None:
    def planted(trial: Trial) -> float | str:
        return bowl(60.0, width={"sgd": 1.0, "adam": 1.0, "kfac": 50.0}[trial.method])(trial)

    study = study_of(tmp_path / "a", planted)
    assert near(study, "kfac") == (1.0, 1.0, 1.0)
    # 10^(a² + b²) ≤ 2 at the middle damping alone: rates 0.03, 0.1, 0.3.
    assert near(study, "sgd")[0] == pytest.approx(3 / 15)
    grid = cells(study, "sgd").set_index(["x", "y"])["value"]
    assert (grid[0.1, 0.01], grid[0.3, 0.01], grid[1.0, 0.01], grid[0.1, 0.1]) == (1, 1, 0, 0)
    section = made(sensitivity_section(study))
    assert "kfac minds its hyperparameters least: 100 % [100, 100]" in section.finding
    assert "most: 20 % [20, 20]" in section.finding
    names = [figure.name for figure in section.figures]
    assert names == ["sensitivity_sgd", "sensitivity_adam", "sensitivity_kfac"]
    alike = made(sensitivity_section(study_of(tmp_path / "b", bowl(EQUAL))))
    assert "not told apart" in alike.finding
    single = study_of(tmp_path / "c", bowl(FAST), seconds=(0.01,))
    assert sensitivity_section(single) is None
    lost = study_of(tmp_path / "d", lambda trial: "diverged")
    assert made(sensitivity_section(lost)).finding == "No method has reached a target yet."


def _with_batch(exponents: dict[str, float]) -> Planted:
    """Steps go as batch^−exponent."""

    def planted(trial: Trial) -> float | str:
        least = bowl(400.0)(trial)
        assert isinstance(least, float)
        return least * (trial.batch / 64) ** -exponents[trial.method]

    return planted


def test_second_order_profits_from_large_batches_where_it_does(tmp_path: Path) -> None:
    planted = _with_batch({"sgd": 0.25, "adam": 0.25, "kfac": 0.75})
    study = study_of(tmp_path, planted, tasks=["digits"], batches=(64, 256, 1024))
    found = gains(study, "digits")
    assert found["kfac"].value == pytest.approx(16**-0.5, rel=0.05)
    assert found["kfac"].high < 1 < found["adam"].high
    assert found["adam"].value == pytest.approx(1, rel=0.05)
    section = made(batches_section(study))
    assert "More than sgd profit from large batches: kfac by a factor of 4" in section.finding
    assert "from batch 64 to 1,024." in section.finding
    assert "Not told apart from sgd, by the change of steps beside its: adam × " in section.finding
    assert [f.name for f in section.figures] == ["steps_by_batch", "multiple_by_batch"]


def test_second_order_does_not_profit_where_it_does_not(tmp_path: Path) -> None:
    planted = _with_batch({"sgd": 0.75, "adam": 0.75, "kfac": 0.25})
    study = study_of(tmp_path / "a", planted, tasks=["digits"], batches=(64, 256))
    finding = made(batches_section(study)).finding
    assert "More than sgd" not in finding
    assert "Less: kfac (steps beside sgd’s × 2" in finding
    assert batches_section(study_of(tmp_path / "b", bowl(FAST))) is None

    def lost(trial: Trial) -> float | str:
        return "diverged" if trial.method != "sgd" and trial.batch > 64 else bowl(FAST)(trial)

    study = study_of(tmp_path / "c", lost, tasks=["digits"], batches=(64, 256))
    none = made(batches_section(study)).finding
    assert none == "No method reaches the target at two batch sizes of sgd’s."


@pytest.mark.parametrize("by_auto", [False, True])
def test_steps_that_cost_more(tmp_path: Path, by_auto: bool) -> None:
    """What ``auto`` measured is taken where it is known of all methods."""
    more = {"sgd": 1.0, "adam": 1.25, "kfac": 3.0}
    study = study_of(
        tmp_path,
        bowl(FAST),
        step_seconds=lambda t: 0.001 * (7.0 if by_auto else more[t.method]),
        measured=lambda task, method: 2e-4 * more[method] if by_auto else None,
    )
    section = made(cost_section(study))
    assert section.finding.startswith(
        "A step takes, beside sgd’s: adam 1.25 × (95 % interval 1.25 to 1.25); kfac 3 × ("
    )
    assert section.figures[0].data["value"].tolist() == pytest.approx([1.25, 3.0])
    ratio = 0.2 * 3
    assert study.ratio("digits", "kfac", "seconds")[0] == pytest.approx(ratio, rel=0.06)
    taken = study.taken["seconds"]["digits", "kfac"].best
    assert taken == pytest.approx(20 * 3 * (2e-4 if by_auto else 1e-3), rel=0.06)


def test_equal_steps_cost_the_same(tmp_path: Path) -> None:
    section = made(cost_section(study_of(tmp_path, bowl(FAST), tasks=["digits"])))
    assert "A step takes, beside sgd’s: adam 1 ×; kfac 1 ×." in section.finding


def test_where_a_method_diverged(tmp_path: Path) -> None:
    def planted(trial: Trial) -> float | str:
        return "diverged" if trial.method == "sgd" and trial.rate >= 0.3 else bowl(FAST)(trial)

    section = made(diverged_section(study_of(tmp_path / "a", planted)))
    assert "Diverged: sgd 40 % of its runs [30.5, 50.3] (from a rate of 0.3)." in section.finding
    assert "Never: adam and kfac." in section.finding
    assert [r[3:5] for r in section.tables[0].rows] == [["0.3", "0.1"]] * 2
    none = diverged_section(study_of(tmp_path / "b", bowl(FAST)))
    assert (none.finding, none.figures) == ("No run diverged.", ())


def test_which_studies_have_these_sections(tmp_path: Path) -> None:
    one = plant_optimizers(tmp_path / "a", bowl(FAST), methods=["kfac"])
    assert find_second_order(one) is None
    aimless = plant_optimizers(tmp_path / "b", bowl(FAST), target=False)
    assert find_second_order(aimless) is None
    both = plant_optimizers(tmp_path / "c", bowl(FAST), tasks=["digits"], batches=(64, 256))
    titles = [section.title for section in sections_of(both)]
    assert titles[1] == "To the target"
    assert "Scaling with the batch size" not in titles
    lars = [{"name": "sgd", "momentum": 0.9}, {"name": "lars", "momentum": 0.9}]
    large = plant_batches(tmp_path / "d", scaling(), batches=(32, 128, 512), optimizers=lars)
    assert find_second_order(large) is None


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("planted", ["nothing", "all lost", "one reached"])
def test_no_section_fails_for_want_of_results(tmp_path: Path, planted: str, seeds: int) -> None:
    def result(trial: Trial) -> float | str:
        if planted == "one reached" and trial.method == "kfac" and trial.rate == 0.1:
            return 50.0
        return "pending" if planted == "nothing" else "diverged"

    study = study_of(tmp_path, result, seeds=seeds, batches=(64, 256))
    for build in OF_SECOND_ORDER:
        section = build(study)
        if section is None:
            continue
        assert "nan" not in section.finding
        assert "inf" not in section.finding.replace("infinite", "")
        for figure in section.figures:
            figure.spec({})
    assert math.isinf(study.best("steps").min()) == (planted != "one reached")
