"""What was planted in a large-batch study is what its report finds, and it finds nothing else."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.sections import OF_LARGE_BATCH
from orchestrator.report.sections.large_batch.gap import (
    common_level,
    falling,
    gap_section,
    held_at,
)
from orchestrator.report.sections.large_batch.noise import noise_section
from orchestrator.report.sections.large_batch.rates import best_rates, rates_section
from orchestrator.report.sections.large_batch.sensitivity import rate_sensitivity_section
from orchestrator.report.sections.large_batch.slope import fit_slope
from orchestrator.report.sections.large_batch.steps import regimes, scaling_data, steps_section
from orchestrator.report.sections.large_batch.study import LargeBatch, find_large_batch
from orchestrator.report.sections.large_batch.trade_off import trade_off_section
from tests.report.batches import (
    CRITICAL,
    ROWS,
    SLOWEST,
    Planted,
    Trial,
    plant_batches,
    scaling,
)
from tests.report.stores import made

MOMENTUM = {"name": "sgd", "momentum": 0.9}
LARS = {"name": "lars", "momentum": 0.9}
FEW = (8, 32, 128, 512, 2048)
"""Enough batch sizes where their curve is not what is looked at."""


def study_of(folder: Path, planted: Planted, **options: Any) -> LargeBatch:
    study = find_large_batch(plant_batches(folder, planted, **options))
    assert study is not None
    return study


def test_the_planted_curve_is_found(tmp_path: Path) -> None:
    study = study_of(tmp_path, scaling(noise=0.01))
    fit = study.fits["all runs"]
    assert fit is not None
    assert fit.b_crit.value == pytest.approx(CRITICAL, rel=0.1)
    assert fit.s_min.value == pytest.approx(SLOWEST, rel=0.1)
    section = made(steps_section(study))
    found = re.match(
        r"S_min (\d+) steps \(95 % interval .*\), E_min ([\d,]+) examples \(.*\), "
        r"B_crit (\d+) examples \(95 % interval (\d+) to (\d+)\): up to about ([\d.]+) doubling "
        r"the batch nearly halves the steps; at (\d+) it takes twice the fewest",
        section.finding,
    )
    assert found is not None, section.finding
    critical, low, high, leaves = (float(found[i]) for i in (3, 4, 5, 6))
    assert low <= critical <= high
    assert leaves == pytest.approx(critical / 10, rel=0.01)
    assert "unreached" not in section.finding
    assert "yet to end" not in section.finding
    assert [figure.name for figure in section.figures] == ["steps_to_target", "examples_to_target"]
    steps = section.figures[0].data.set_index("x")["value"]
    examples = section.figures[1].data.set_index("x")["value"]
    assert (examples / steps).tolist() == examples.index.tolist()
    shades = regimes(fit, 8, 4096)
    assert shades["name"].tolist() == ["perfect scaling", "diminishing returns", "no more to gain"]
    assert shades["x2"].tolist()[:2] == pytest.approx(
        [fit.b_crit.value / 10, fit.b_crit.value * 10]
    )


@pytest.mark.parametrize(
    ("critical", "says", "trade"),
    [
        (1e7, "Perfect scaling has no visible end", None),
        (0.01, "No scaling is seen", "No trade-off"),
    ],
)
def test_no_critical_batch_size_is_made_up(
    tmp_path: Path, critical: float, says: str, trade: str | None
) -> None:
    slowest = SLOWEST * CRITICAL / max(critical, CRITICAL)
    study = study_of(tmp_path, scaling(critical=critical, slowest=slowest), budget=10_000)
    section = made(steps_section(study))
    assert section.finding.startswith(says)
    assert "doubling the batch nearly halves" not in section.finding
    critical_rule = [
        layer for layer in section.figures[0].spec({})["layer"] if "B_crit" in str(layer)
    ]
    assert critical_rule == []
    trade_off = made(trade_off_section(study)).finding
    assert trade_off.startswith("No trade-off") == (trade is not None)
    assert "Near B_crit" not in trade_off


def test_unreached_and_infeasible_batch_sizes_are_told_and_drawn(tmp_path: Path) -> None:
    def planted(trial: Trial) -> float | str:
        return "diverged" if trial.batch == 4096 else scaling()(trial)

    study = study_of(tmp_path, planted, budget=1000)
    section = made(steps_section(study))
    assert (
        "The target was unreached at batch size 8 and 16; infeasible (diverged) at batch size "
        "4,096." in section.finding
    )
    data = scaling_data(study, "steps").set_index("x")
    assert data["status"].tolist() == ["unreached"] * 2 + ["reached"] * 7 + ["infeasible"]
    assert data.loc[8.0, "value"] == 1000
    assert data.loc[4096.0, "value"] > 1000
    spec = json.dumps(section.figures[0].spec({}))
    assert "triangle-up" in spec
    table = section.tables[-1]
    assert [row[1] for row in table.rows][::9] == ["unreached", "infeasible"]
    assert table.rows[0][2] == "–"


def test_noise_scale_beside_the_critical_batch_size(tmp_path: Path) -> None:
    def near(trial: Trial, share: float) -> float:
        return 100 + 300 * share

    finding = made(noise_section(study_of(tmp_path / "near", scaling(), noise_scale=near))).finding
    assert "within the factor 5" in finding
    mean = np.exp(np.log([100 + 300 * row / ROWS for row in range(1, ROWS + 1)]).mean())
    assert f"averages {mean:.0f} examples over training (10 batch sizes)" in finding
    assert "It grows from 143 in the first quarter of training to 378 in the last." in finding
    far = study_of(tmp_path / "far", scaling(), noise_scale=lambda trial, share: 9999.0)
    finding = made(noise_section(far)).finding
    assert "averages 10,000 examples" in finding
    assert re.search(r"4\d times above the fitted B_crit of 2\d\d: outside the factor 5", finding)
    assert "It stays much the same over training." in finding
    assert noise_section(study_of(tmp_path / "none", scaling())) is None
    broken = study_of(tmp_path / "broken", scaling(), noise_scale=lambda trial, share: -1.0)
    assert "above 0" in made(noise_section(broken)).finding
    endless = scaling(critical=1e7, slowest=SLOWEST * CRITICAL / 1e7)
    one_sided = study_of(tmp_path / "endless", endless, noise_scale=lambda t, s: 1e7, budget=10_000)
    finding = made(noise_section(one_sided)).finding
    assert "says only that B_crit is at least" in finding
    assert finding.split(" It ")[0].endswith(": in line with it.")


@pytest.mark.parametrize(
    ("exponent", "base", "says"),
    [
        (1.0, 0.0006, "in line with the linear rule, not with the square-root one"),
        (0.5, 0.02, "in line with the square-root rule, not with the linear one"),
        (0.0, 0.16, "it does not clearly depend on the batch size"),
        (0.75, 0.005, "neither the linear rule (1) nor the square-root rule (0.5)"),
    ],
)
def test_the_rule_of_the_best_rate(tmp_path: Path, exponent: float, base: float, says: str) -> None:
    planted = scaling(exponent=exponent, base=base, noise=0.0)
    study = study_of(tmp_path, planted, seeds=1, budget=100_000)
    section = made(rates_section(study))
    found = re.match(
        r"The best learning rate goes as the batch size to the power (\S+) ", section.finding
    )
    assert found is not None
    assert float(found[1]) == pytest.approx(exponent, abs=0.06)
    assert says in section.finding
    assert "edge" not in section.finding


def test_one_rate_for_all_batch_sizes_is_a_poor_curve_and_no_crash(tmp_path: Path) -> None:
    """Too low a rate for large batches: they never reach the target, and no curve goes through."""
    study = study_of(tmp_path, scaling(), rates=(0.1,), batches=FEW)
    for build in OF_LARGE_BATCH:
        if (section := build(study)) is not None:
            made(section)


def test_best_rates_on_an_edge_are_flagged(tmp_path: Path) -> None:
    study = study_of(tmp_path, scaling(base=0.004), batches=FEW, budget=100_000)
    section = made(rates_section(study))
    assert "on the upper one at batch size 2,048." in section.finding
    assert "on the lower one" not in section.finding
    data = best_rates(study)
    assert data["edge"].tolist() == [False] * 4 + [True]
    assert "(95 % interval" in section.finding
    assert "4 batch sizes" in section.finding
    one = study_of(tmp_path / "one", scaling(), rates=(0.1,), batches=(32, 128))
    assert rates_section(one) is None
    assert rate_sensitivity_section(one) is None


def test_sensitivity_to_the_rate(tmp_path: Path) -> None:
    def sharper(trial: Trial) -> float | str:
        return scaling(sharpness=1.0 if trial.batch < 2048 else 8.0, noise=0, limit=40)(trial)

    planted = {"batches": FEW, "budget": 100_000, "rates": tuple(1e-3 * 2**k for k in range(18))}
    section = made(rate_sensitivity_section(study_of(tmp_path, sharper, **planted)))
    assert section.finding.startswith("Batch size 2,048 is most sensitive to its learning rate (")
    alike = study_of(tmp_path / "alike", scaling(noise=0, limit=40), **planted)
    finding = made(rate_sensitivity_section(alike)).finding
    assert finding.startswith("All batch sizes bear much the same range of rates")
    assert "At batch size 8," in finding
    assert "of the rates diverged, the most." in finding
    calm = study_of(tmp_path / "calm", scaling(noise=0, limit=1e9), **planted)
    assert "diverged" not in made(rate_sensitivity_section(calm)).finding


@pytest.mark.parametrize(
    ("slope", "says"), [(0.01, "widens with"), (-0.008, "narrows with"), (0.0, "does not clearly")]
)
def test_generalization_at_equal_training_loss(tmp_path: Path, slope: float, says: str) -> None:
    def gap(trial: Trial) -> float:
        return 0.1 + slope * math.log2(trial.batch) + 0.001 * math.sin(9 * trial.seed + trial.batch)

    section = made(gap_section(study_of(tmp_path, scaling(), gap=gap)))
    assert f"the gap {says}" in section.finding
    if slope:
        per = re.search(r": ([+−][\d.]+) \(95 % interval", section.finding)
        assert per is not None
        planted = slope * math.log2(10)
        assert float(per[1].replace("−", "-")) == pytest.approx(planted, rel=0.05)


def test_noise_of_small_batches_is_no_gap(tmp_path: Path) -> None:
    """Taken where it first comes below the level, the training loss would be 0.05 too low here."""

    def jitter(trial: Trial, row: int) -> float:
        turn = np.random.default_rng([trial.seed, trial.batch, row])
        return float(0.15 * turn.standard_normal() / math.sqrt(trial.batch / 8))

    study = study_of(tmp_path, scaling(), jitter=jitter, gap=lambda trial: 0.05, seeds=5)
    assert "does not clearly change" in made(gap_section(study)).finding


def test_losses_are_made_to_fall() -> None:
    rows = pd.DataFrame({"train": [9.0, 3.0, 1.0, 2.0, 0.5], "held": [9.0, 5.0, 3.0, 1.0, 1.0]})
    found = falling(rows)
    assert found["train"].tolist() == [3.0, 1.5, 1.5, 0.5]
    assert found["held"].tolist() == [7.0, 4.0, 2.0, 1.0]


def test_losses_are_interpolated_where_the_training_loss_is_equal() -> None:
    first = pd.DataFrame({"train": [2.0, 0.5, 0.25], "held": [3.0, 1.0, 0.9]})
    second = pd.DataFrame({"train": [4.0, 1.0], "held": [5.0, 2.0]})
    assert common_level([first, second]) == 1.0
    assert held_at(first, 1.0) == pytest.approx(2.0)  # half of the way from log 2 to log 0.5
    assert held_at(second, 1.0) == 2.0
    assert math.isnan(held_at(second, 0.5))
    assert math.isnan(held_at(first, 3.0))


def test_slope_is_that_of_scipy() -> None:
    linregress = pytest.importorskip("scipy.stats").linregress
    x = np.array([1.0, 2.0, 3.0, 5.0, 7.0])
    y = np.array([0.3, 0.1, 0.9, 1.4, 1.1])
    ours, theirs = fit_slope(x, y), linregress(x, y)
    assert ours is not None
    assert ours.slope == pytest.approx(theirs.slope)
    assert ours.intercept == pytest.approx(theirs.intercept)
    half = 3.182446305284263 * theirs.stderr  # t of 3 degrees of freedom, 97.5 %
    assert (ours.low, ours.high) == (
        pytest.approx(theirs.slope - half),
        pytest.approx(theirs.slope + half),
    )
    assert fit_slope(x[:2], y[:2]) is None
    assert fit_slope(np.ones(5), y) is None
