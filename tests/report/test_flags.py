"""Each doubt is raised by a study that deserves it, and not by its opposite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from orchestrator.report.flags import FLAGS, Flag
from orchestrator.report.flags.courses import noisy, overfitting, still_improving
from orchestrator.report.flags.ranges import at_an_edge, near_divergence
from orchestrator.report.flags.seeds import seeds_to_tell, too_few_seeds
from orchestrator.report.sections.flags import flags_section
from tests.report.stores import RATES, plant

Curve = Callable[[dict[str, Any], int, float], list[dict[str, float]]]
LR = {"optimizer.lr": RATES}


def basin(best: float) -> Callable[[dict[str, Any], int], float]:
    """A loss that is least at one learning rate, with little spread over seeds."""
    return lambda at, seed: 1 + math.log10(at["optimizer.lr"] / best) ** 2 + 0.001 * seed


def doubts(flags: list[Flag] | None) -> list[str]:
    assert flags is not None
    return [flag.doubt for flag in flags]


@pytest.mark.parametrize(("best", "side"), [(0.01, "lowest"), (1.0, "highest"), (0.1, "")])
def test_an_edge_of_a_grid(tmp_path: Path, best: float, side: str) -> None:
    flags = at_an_edge(plant(tmp_path, basin(best), LR))
    assert doubts(flags) == (["lr at the edge of its range"] if side else [])
    if flags:
        assert f"{best:g}, the {side} tried (0.01 to 1)" in flags[0].evidence


def test_an_edge_of_any_axis_but_those_that_are_budgets(tmp_path: Path) -> None:
    axes = {"optimizer.momentum": [0.1, 0.5, 0.9], "train.epochs": [1, 2, 3], "batch": [1, 2]}
    results = plant(tmp_path, lambda at, seed: 1 / at["train.epochs"] / at["batch"], axes)
    # Two values have no inside; more epochs are better, and that is no news.
    assert doubts(at_an_edge(results)) == ["momentum at the edge of its range"]


def test_drawn_values_near_the_end_count_as_on_it(tmp_path: Path) -> None:
    rates = [float(rate) for rate in np.geomspace(0.01, 1, 41)]
    for at, expected in ((37, False), (39, True), (40, True), (3, False), (1, True)):
        folder = tmp_path / str(at)
        drawn = {"name": "random", "runs": 41}
        results = plant(folder, basin(rates[at]), {"optimizer.lr": rates}, seeds=1, search=drawn)
        assert bool(at_an_edge(results)) == expected


@pytest.mark.parametrize(
    ("from_rate", "raised"),
    [(0.3, True), (1.0, False), (math.inf, False)],
)
def test_divergence_at_the_next_rate(tmp_path: Path, from_rate: float, raised: bool) -> None:
    def planted(at: dict[str, Any], seed: int) -> float | str:
        diverges = at["optimizer.lr"] >= from_rate and at["schedule"]["name"] == "cosine"
        return (
            "diverged"
            if diverges and seed < 2
            else basin(0.1)(at, seed) - (0.5 if at["schedule"]["name"] == "cosine" else 0)
        )

    flags = near_divergence(plant(tmp_path, planted))
    assert bool(flags) == raised
    if flags:
        assert "The best is 0.1; from 0.3, 3 times as large, 2 of 3 runs diverged." in (
            flags[0].evidence
        )


def test_divergence_of_one_seed_in_three_is_no_wall(tmp_path: Path) -> None:
    def planted(at: dict[str, Any], seed: int) -> float | str:
        return "diverged" if at["optimizer.lr"] > 0.1 and seed == 0 else basin(0.1)(at, seed)

    assert near_divergence(plant(tmp_path, planted, LR)) == []


def test_divergence_among_drawn_rates(tmp_path: Path) -> None:
    rates = [float(rate) for rate in np.geomspace(0.01, 1, 41)]
    for wall, raised in ((22, True), (33, False)):

        def planted(at: dict[str, Any], seed: int, wall: int = wall) -> float | str:
            return "diverged" if at["optimizer.lr"] >= rates[wall] else basin(0.1)(at, seed)

        results = plant(
            tmp_path / str(wall),
            planted,
            {"optimizer.lr": rates},
            seeds=1,
            search={"name": "random"},
        )
        assert bool(near_divergence(results)) == raised


def course(shape: Callable[[float, int], dict[str, float]]) -> Curve:
    """Twenty evaluations; ``shape`` is of the share of training, and the seed."""
    return lambda at, seed, final: [
        {name: final * factor for name, factor in shape(row / 20, seed).items()} | {"lr": 0.1}
        for row in range(1, 21)
    ]


def test_a_course_that_still_falls(tmp_path: Path) -> None:
    falling = course(lambda t, seed: {"valid/loss": 2 - t})
    flat = course(lambda t, seed: {"valid/loss": 1 + max(0.0, 0.7 - t)})
    flags = still_improving(plant(tmp_path / "falling", basin(0.1), LR, curve=falling))
    assert doubts(flags) == ["still improving when training ends"]
    assert flags
    assert "gained 0.2, to 1." in flags[0].evidence
    assert still_improving(plant(tmp_path / "flat", basin(0.1), LR, curve=flat)) == []


def test_a_fall_of_one_seed_in_three_is_no_evidence(tmp_path: Path) -> None:
    one = course(lambda t, seed: {"valid/loss": (2 - t) if seed == 0 else 1.0})
    assert still_improving(plant(tmp_path, basin(0.1), LR, curve=one)) == []


def test_a_decayed_rate_leaves_the_length_open(tmp_path: Path) -> None:
    def curve(at: dict[str, Any], seed: int, final: float) -> list[dict[str, float]]:
        shares = [row / 20 for row in range(20)]
        return [{"valid/loss": final * (2 - t), "lr": 0.1 * (1 - t)} for t in shares]

    assert still_improving(plant(tmp_path, basin(0.1), LR, curve=curve)) is None


def test_few_evaluations_leave_courses_open(tmp_path: Path) -> None:
    results = plant(tmp_path, basin(0.1), LR, rows=5)
    assert still_improving(results) is overfitting(results) is noisy(results) is None


def test_overfitting(tmp_path: Path) -> None:
    def turning(t: float, seed: int) -> dict[str, float]:
        return {"valid/loss": 1 + (t - 0.5) ** 2, "train/loss": 2 - t}

    def falling(t: float, seed: int) -> dict[str, float]:
        return {"valid/loss": 2 - t, "train/loss": 2 - t}

    def worse_all_over(t: float, seed: int) -> dict[str, float]:
        return turning(t, seed) | {"train/loss": 1 + t}

    flags = overfitting(plant(tmp_path / "a", basin(0.1), LR, curve=course(turning)))
    assert doubts(flags) == ["overfitting"]
    assert flags
    assert "least at 10 of 20 epochs" in flags[0].evidence
    assert "25 % above it" in flags[0].evidence
    for name, shape in (("b", falling), ("c", worse_all_over)):
        assert overfitting(plant(tmp_path / name, basin(0.1), LR, curve=course(shape))) == []


def test_evaluations_that_vary(tmp_path: Path) -> None:
    def jumpy(t: float, seed: int) -> dict[str, float]:
        return {"valid/loss": 1 + 0.3 * (round(20 * t) % 2)}

    def nearly(at: dict[str, Any], seed: int) -> float:
        return 1 + 0.01 * abs(math.log10(at["optimizer.lr"] / 0.1)) + 0.001 * seed

    flags = noisy(plant(tmp_path / "a", nearly, LR, curve=course(jumpy)))
    assert doubts(flags) == ["evaluations vary from one to the next"]
    steady = course(lambda t, seed: {"valid/loss": 1.0})
    assert noisy(plant(tmp_path / "b", nearly, LR, curve=steady)) == []
    # Far ahead of the next, or where seeds differ by far more, it decides nothing.
    ways: list[Callable[[dict[str, Any], int], float]] = [
        lambda at, seed: nearly(at, seed) ** 99,
        lambda at, seed: nearly(at, seed) + seed,
    ]
    for number, way in enumerate(ways):
        assert noisy(plant(tmp_path / str(number), way, LR, curve=course(jumpy))) == []


def test_seeds_that_do_not_tell(tmp_path: Path) -> None:
    def close(at: dict[str, Any], seed: int) -> float:
        return (
            1
            + 0.01 * abs(math.log10(at["optimizer.lr"] / 0.1))
            + 0.05 * ((seed * 7 + int(100 * at["optimizer.lr"])) % 3)
        )

    flags = too_few_seeds(plant(tmp_path / "a", close, LR))
    assert doubts(flags) == ["too few seeds to tell"]
    assert too_few_seeds(plant(tmp_path / "b", basin(0.1), LR)) == []
    assert doubts(too_few_seeds(plant(tmp_path / "c", basin(0.1), LR, seeds=1))) == ["one seed"]
    one = plant(tmp_path / "d", basin(0.1), {"optimizer.lr": [0.1]})
    assert too_few_seeds(one) is None


def test_the_seeds_needed_are_those_of_a_simulated_t_test() -> None:
    rng = np.random.default_rng(0)
    for ratio in (0.5, 1.0, 2.0):
        n = seeds_to_tell(ratio, 1.0)
        power = [
            np.mean(stats.ttest_1samp(rng.normal(ratio, 1, (40_000, k)), 0, axis=1).pvalue < 0.05)
            for k in (n - 1, n)
        ]
        assert power[0] < 0.81
        assert power[1] > 0.79
        assert power[0] < power[1]
    assert seeds_to_tell(1e-9, 1.0) == 1000
    assert seeds_to_tell(1.0, 0.0) == 2


def test_the_section_tells_all_three_apart(tmp_path: Path) -> None:
    section = flags_section(plant(tmp_path / "a", basin(1.0), LR))
    assert section is not None
    assert section.finding.startswith("1 doubt: lr at the edge of its range. Passed: ")
    assert "Not to be judged here: the best learning rate" in section.finding
    assert "; training was long enough;" in section.finding
    assert len(section.tables[0].rows) == 1
    flat = course(lambda t, seed: {"valid/loss": 1.0})
    clean = flags_section(plant(tmp_path / "b", basin(0.1), LR, curve=flat))
    assert clean is not None
    assert clean.finding.startswith("No doubt: ")
    assert not clean.tables
    assert all(name in clean.finding for name in FLAGS)
    nothing = plant(tmp_path / "c", lambda at, seed: "diverged", LR)
    assert flags_section(nothing) is None
