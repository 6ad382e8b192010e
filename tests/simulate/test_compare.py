"""What simulations say of rules, over many seeds; figures and sentences."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from orchestrator import SpecError, simulate_study
from orchestrator.simulate import SimulateError, Simulation
from orchestrator.simulate.figures import NAMES, Case, Figures, finding
from tests.simulate.studies import RULES, study


def _case(found: Simulation, rule: str) -> Case:
    return next(case for case in found.cases if case.rule == rule)


def test_asha_finds_the_best_of_the_whole_search_with_a_third_of_its_steps(tmp_path: Path) -> None:
    """20 seeds: each its own landscape, design and noise."""
    one = study(tmp_path, "search.runs=101")
    found = simulate_study(one, rules=["none", RULES["asha"]], gpus=2, repeats=20)
    plain, asha = found.cases
    assert [f.regret for f in plain.figures] == [0.0] * 20
    assert [f.steps for f in plain.figures] == [1.0] * 20
    regret, steps = asha.interval("regret"), asha.interval("steps")
    print(f"regret {regret}, steps {steps}")  # noqa: T201 - the figure that the documentation quotes
    assert 0 <= regret.median <= 0.01
    assert steps.median <= 0.35
    assert steps.low < steps.median < steps.high
    assert found.finding.startswith(f"random with {RULES['asha']} comes within ")
    assert "of the steps" in found.finding
    assert "of the slots' time" in found.finding


def test_populations_are_refused(tmp_path: Path) -> None:
    one = study(tmp_path, "search={name: pbt, population: 7, interval: {epochs: 2}}")
    with pytest.raises(SimulateError, match="pbt cannot be simulated"):
        simulate_study(one)


def test_what_is_too_hasty_is_seen(tmp_path: Path) -> None:
    """Halving at once by noisy first values loses what a patient rule keeps."""
    one = study(tmp_path, "search.runs=101")
    hasty = "{name: asha, grace: {epochs: 1}, reduction: 25}"
    found = simulate_study(one, rules=["none", RULES["asha"], hasty], repeats=20, noise=0.3)
    none, patient, quick = (case.interval("regret") for case in found.cases)
    assert none.median == 0.0
    assert quick.median > patient.median
    assert quick.median > 0.05


def test_thousands_of_runs_take_seconds(tmp_path: Path) -> None:
    """5,000 runs × 30 evaluations with ASHA, in this process's own time."""
    one = study(tmp_path, "search.runs=5000", "train.epochs=30", f"early_stopping={RULES['asha']}")
    began = time.process_time()
    found = simulate_study(one, gpus=8, repeats=1)
    took = time.process_time() - began
    (figures,) = found.cases[0].figures
    assert figures.started == 5000
    print(f"{took:.1f} s")  # noqa: T201 - the figure that the documentation quotes
    assert took < 20


def test_figures_of_a_trivial_study(tmp_path: Path) -> None:
    one = study(
        tmp_path,
        "search={name: grid}",
        "sweep={optimizer.weight_decay: {linear: [0, 0.1], points: 6}}",
        "resources={cpus: 3, gpus: 0.5}",
    )
    found = simulate_study(one, gpus=1, repeats=1, step_seconds=(0.01, 0.001))
    (figures,) = found.cases[0].figures
    assert found.machine.slots == 2
    seconds = 29 * 37 * (0.01 + 3 * 0.001)
    assert figures.seconds == pytest.approx(found.machine.start_seconds + seconds)
    assert figures.gpu_hours == pytest.approx(2 * 0.5 * seconds / 3600)
    assert figures.cpu_hours == pytest.approx(2 * 3 * seconds / 3600)
    assert (figures.slots, figures.lanes, figures.steps) == (1.0, 1.0, 1.0)
    assert (figures.runs, figures.started, figures.completed) == (6, 6, 6)
    assert (figures.stopped, figures.diverged, figures.regret) == (0, 0, 0.0)


def test_the_best_is_near_what_is_known_to_be_the_best(tmp_path: Path) -> None:
    one = study(tmp_path, "search.runs=2000")
    found = simulate_study(one, repeats=1, noise=0.0)
    assert found.optimum is not None
    assert 0 <= found.cases[0].figures[0].best / found.optimum - 1 < 0.01


@pytest.mark.parametrize("search", ["random", "sobol", "grid"])
def test_searches_are_compared_on_the_same_curves(search: str, tmp_path: Path) -> None:
    one = study(
        tmp_path,
        "search={name: grid}",
        "sweep={optimizer.lr: {log: [1.0e-4, 1.0], points: 9}, optimizer.momentum: [0, 0.5, 0.9]}",
    )
    found = simulate_study(one, searches=["grid", search], repeats=2)
    assert [case.search for case in found.cases] == list(dict.fromkeys(["grid", search]))
    for number in range(2):
        best = min(case.figures[number].best for case in found.cases)
        for case in found.cases:
            assert case.figures[number].regret == pytest.approx(
                case.figures[number].best / best - 1
            )
    assert found.cases[-1].figures[0].started <= 27


def test_a_name_alone_is_the_studys_own_rule(tmp_path: Path) -> None:
    one = study(tmp_path, "early_stopping={name: asha, reduction: 9}")
    own = simulate_study(one, rules=["asha"], repeats=1)
    assert own.cases[0].figures == simulate_study(one, repeats=1).cases[0].figures
    other = simulate_study(one, rules=["{name: asha}"], repeats=1)
    assert other.cases[0].figures != own.cases[0].figures


def test_seeds_go_on_where_repeats_left_off(tmp_path: Path) -> None:
    one = study(tmp_path, f"early_stopping={RULES['asha']}")
    four = simulate_study(one, repeats=4).cases[0].figures
    assert simulate_study(one, repeats=2, seed=2).cases[0].figures == four[2:]


def _figures(**more: float) -> Figures:
    return Figures(**(dict.fromkeys(NAMES, 1.0) | more))


def test_the_finding_names_the_cheapest_that_is_near() -> None:
    def case(rule: str, regret: float, gpu_hours: float, steps: float = 0.25) -> Case:
        some = tuple(
            _figures(regret=regret + more, gpu_hours=gpu_hours, steps=steps + more)
            for more in (0.0, 0.0, 0.0)
        )
        return Case(search="random", rule=rule, figures=some)

    cases = [case("none", 0.0, 8.0, 1.0), case("asha", 0.008, 2.0), case("median", 0.02, 1.0)]
    assert finding(cases, "valid/loss") == (
        "random with asha comes within 0.8 % of the best valid/loss (0.8 % to 0.8 %)"
        " with 25 % of the steps (25 % to 25 %) and saves 75 % of the slots' time."
    )
    dear = [case("none", 0.0, 8.0, 1.0), case("asha", 0.0, 9.0)]
    assert finding(dear, "valid/loss").endswith(
        "100 % of the steps (100 % to 100 %); no rule that comes as near takes less time."
    )
    far = [case("median", 0.02, 1.0), case("patience", 0.05, 0.5)]
    assert finding(far, "valid/loss").startswith("random with median comes 2.0 % from the best")
    assert (
        finding([case("asha", math.nan, 1.0)], "valid/loss") == "No run has a value of valid/loss."
    )


def test_intervals_are_percentiles() -> None:
    some = tuple(_figures(regret=k / 100) for k in range(101))
    found = Case(search="grid", rule="none", figures=some).interval("regret")
    assert (found.low, found.median, found.high) == pytest.approx((0.05, 0.5, 0.95))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"gpus": 0.5}, "--gpus: a pack takes 1, there are 0.5"),
        ({"gpus": 2, "slots": 2}, "give --gpus or --slots, not both"),
        ({"slots": 0}, "--slots: must be at least 1, got 0"),
        ({"step_seconds": (0.0, 0.0)}, "--step-seconds: must not both be 0"),
        ({"step_seconds": (1.0, math.nan)}, "--step-seconds: must be two numbers of 0 or more"),
        ({"step_seconds": (-1.0, 2.0)}, "--step-seconds: must be two numbers of 0 or more"),
        ({"repeats": 0}, "--repeats: must be at least 1, got 0"),
        ({"seed": -1}, "--seed: must be at least 0, got -1"),
        ({"noise": math.nan}, "--noise: must be at least 0, got nan"),
        ({"searches": ["hebo"]}, "search.name: hebo needs HEBO: pip install HEBO"),
        ({"gpus": math.nan}, "--gpus: must be a number above 0, got nan"),
    ],
)
def test_what_cannot_be_simulated_is_said(more: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(SimulateError) as error:
        simulate_study(study(tmp_path), **more)
    assert str(error.value) == message


def test_a_study_without_a_sweep_is_simulated(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("study: one\noptimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 3}\nseeds: 5\n")
    (case,) = simulate_study(path, repeats=2).cases
    assert [(f.runs, f.completed, f.steps) for f in case.figures] == [(5, 5, 1.0)] * 2


def test_packs_without_gpus_need_slots(tmp_path: Path) -> None:
    one = study(tmp_path, "resources.gpus=0")
    with pytest.raises(SimulateError, match="give --slots"):
        simulate_study(one)
    assert simulate_study(one, slots=2, repeats=1).cases[0].figures[0].gpu_hours == 0.0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rules": ["ash"]}, "--rule ash: early_stopping.name: must be one of asha, median"),
        ({"rules": ["patience"]}, "--rule patience: early_stopping.evaluations: is required"),
        (
            {"rules": ["{name: asha, reduction: 1}"]},
            "early_stopping.reduction: must be a number above 1",
        ),
        ({"rules": ["{name: "]}, "--rule {name: "),
        ({"searches": ["nix"]}, "--search nix: search.name: must be one of grid, random"),
        ({"searches": ["{name: random}"]}, "search.runs: is required"),
        ({"searches": ["grid"]}, "uniform has no points that a grid could take"),
    ],
)
def test_searches_and_rules_that_are_none_are_lines(
    more: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as error:
        simulate_study(study(tmp_path), **more)
    assert message in str(error.value)
