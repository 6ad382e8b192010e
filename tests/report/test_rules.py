"""Studies of schedules: what was planted is found with its interval, and its opposite is not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report.labels import Axis
from orchestrator.report.results import Results, candidates
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.rules.horizon import horizon_section
from orchestrator.report.sections.rules.interaction import interaction_section
from orchestrator.report.sections.rules.range_test import range_test_section
from orchestrator.report.sections.rules.ranking import ranking_section
from orchestrator.report.sections.rules.sensitivity import sensitivity_section
from orchestrator.report.sections.rules.trials import trials_of
from tests.report.stores import RATES, plant

NAMES = ("constant", "cosine", "linear")
SCHEDULES = [{"name": name} for name in NAMES]
Chosen = dict[str, Any]


def noise(*key: object, scale: float = 0.01) -> float:
    """A number of its own for each key, the same in each process."""
    seed = [ord(letter) for letter in repr(key)]
    return float(scale * np.random.default_rng(seed).normal())


def shared(seed: int) -> float:
    """What all runs of a seed have in common: an unpaired comparison would drown in it."""
    return 0.3 * seed


def bowl(chosen: Chosen, best: float = 0.1, width: float = 1.0) -> float:
    return 1 + (math.log10(chosen["optimizer.lr"] / best) / width) ** 2


def name_of(chosen: Chosen) -> str:
    return str(chosen["schedule"]["name"])


def axes(**more: list[Any]) -> dict[str, list[Any]]:
    return {
        "optimizer.lr": RATES,
        "schedule": SCHEDULES,
        **{k.replace("__", "."): v for k, v in more.items()},
    }


# Rankings


def winner(gap: float, shift: float = 1.0) -> Any:
    """Cosine is ahead by ``gap`` at its best rate, which differs from rule to rule."""

    def planted(chosen: Chosen, seed: int) -> float:
        best = {"constant": 0.03, "cosine": 0.3, "linear": 0.1}[name_of(chosen)]
        behind = 0.0 if name_of(chosen) == "cosine" else gap
        return bowl(chosen, best) + behind + shift * shared(seed) + noise(name_of(chosen), seed)

    return planted


def test_the_planted_winner_is_told_apart(tmp_path: Path) -> None:
    section = ranking_section(plant(tmp_path, winner(0.2), axes(), seeds=5))
    assert section is not None
    assert section.title == "Which schedule"
    assert section.finding.startswith("By final validation loss, cosine (lr 0.3) is first with 1.6")
    assert "2 of the 2 others can be told from it (paired by seed, corrected for 2" in (
        section.finding
    )
    assert "Not separable" not in section.finding
    # The planted gap is inside the interval that is told.
    row = next(row for row in section.tables[1].rows if row[0] == "2")
    low, high = (float(end) for end in row[4].split("[")[1].rstrip("]").split(", "))
    assert low < 0.2 < high
    assert row[5] == "yes"
    assert section.tables[0].rows[0][0] == "cosine"


def test_equal_rules_are_not_separated(tmp_path: Path) -> None:
    section = ranking_section(plant(tmp_path, winner(0.0), axes(), seeds=5))
    assert section is not None
    assert "None of the 2 others can be told from it" in section.finding
    assert "Not separable from it" in section.finding
    assert {row[1][0] for row in section.tables[0].rows[1:]} == {"="}


def fast_or_good(chosen: Chosen, seed: int, final: float) -> list[dict[str, float]]:
    """Constant falls at once to its end; all others only in the last of ten evaluations."""
    high = final if name_of(chosen) == "constant" else final + 2
    return [{"valid/loss": high} for _ in range(9)] + [{"valid/loss": final}]


def test_rankings_may_have_different_winners(tmp_path: Path) -> None:
    results = plant(tmp_path, winner(0.2, 0.0), axes(), seeds=5, curve=fast_or_good)
    section = ranking_section(results)
    assert section is not None
    assert "By mean validation loss along training, constant (lr 0.03) is first" in section.finding
    assert "The rankings have different winners" in section.finding
    head, *rows = section.tables[0].head, *section.tables[0].rows
    assert list(head) == ["schedule", "final value", "any-time", "time to target"]
    assert rows[0][:3] == ["cosine", "1", next(r for r in rows if r[0] == "cosine")[2]]
    # Area by hand: eight intervals at the upper value, one that falls by 2 over its length.
    cosine = next(r for r in section.tables[2].rows if r[1] == "cosine")
    finals = [
        winner(0.2, 0.0)({"optimizer.lr": 0.3, "schedule": SCHEDULES[1]}, s) for s in range(5)
    ]
    assert float(cosine[3].split()[0]) == pytest.approx(np.mean(finals) + 2 - 1 / 9, abs=0.02)


def test_one_winner_of_all_rankings_is_said(tmp_path: Path) -> None:
    section = ranking_section(plant(tmp_path, winner(0.2, 0.0), axes(), seeds=5))
    assert section is not None
    assert "cosine is first in all three rankings" in section.finding


def test_a_target_that_none_reaches_is_said(tmp_path: Path) -> None:
    section = ranking_section(plant(tmp_path, winner(0.2), axes(), seeds=5))
    assert section is not None
    assert "No schedule has steps to validation loss 2" in section.finding
    assert section.tables[0].head == ["schedule", "final value", "any-time"]


def test_time_to_target_counts_steps_and_censors(tmp_path: Path) -> None:
    """Cosine is below 1 from the third evaluation, constant from the fifth; linear never with
    the last seed."""

    def curve(chosen: Chosen, seed: int, final: float) -> list[dict[str, float]]:
        reached = {"constant": 5, "cosine": 3, "linear": 2}[name_of(chosen)]
        never = name_of(chosen) == "linear" and seed == 4
        return [{"valid/loss": 0.5 if i >= reached and not never else 2.0} for i in range(1, 8)]

    target = {"train.target.metric": ["valid/loss"], "train.target.value": [1.0]}
    results = plant(tmp_path, lambda c, s: 0.5, axes() | target, seeds=5, curve=curve)
    section = ranking_section(results)
    assert section is not None
    assert section.finding.startswith("By steps to validation loss 1, cosine (lr 0.01) is first")
    assert "Without a place: linear" in section.finding
    rows = {row[1]: row for row in section.tables[1].rows}
    assert rows["cosine"][3].startswith("21")
    assert rows["constant"][3].startswith("35")
    assert rows["linear"][3] == "reached with 4 of 5 seeds at best"
    # 14 steps apart on every seed, known up to 7: an interval of some width.
    assert rows["constant"][4].startswith("+14.0 [10.5, 17.5]")
    assert any("that of the study (train.target)" in note for note in section.notes)
    assert len(section.tables) == 2  # final values end at the target, and are not ranked
    assert sensitivity_section(results) is None


def test_survivors_have_no_place(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float | str:
        lost = name_of(chosen) == "linear" and seed == 1
        return "diverged" if lost else winner(0.2)(chosen, seed)

    section = ranking_section(plant(tmp_path, planted, axes(), seeds=5))
    assert section is not None
    assert "Without a place: linear" in section.finding


def test_accuracies_are_ranked_from_above(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        return 0.9 - 0.2 * (winner(0.2)(chosen, seed) - 1)

    results = plant(tmp_path, planted, axes(), seeds=5, metric="valid/accuracy")
    section = ranking_section(results)
    assert section is not None
    assert "By final validation accuracy, cosine (lr 0.3) is first" in section.finding
    assert "2 of the 2 others" in section.finding


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    section = ranking_section(plant(tmp_path, winner(0.2), axes(), seeds=1))
    assert section is not None
    assert "nobody can say" in section.finding


def test_methods_that_set_their_own_step_are_rules(tmp_path: Path) -> None:
    optimizers = [{"name": "sgd"}, {"name": "sps"}]
    results = plant(
        tmp_path,
        lambda c, s: bowl(c) + (c["optimizer"]["name"] == "sgd") + noise(repr(c), s),
        {"optimizer": optimizers, "optimizer.lr": RATES, "schedule": SCHEDULES[:1]},
    )
    trials = trials_of(results)
    assert trials is not None
    assert trials.rules == ("constant", "sps")
    assert set(trials.table["details"]) == {f"lr {rate:g}" for rate in RATES}
    section = ranking_section(results)
    assert section is not None
    assert section.finding.startswith("By final validation loss, sps (lr 0.1) is first")
    assert section.title == "Which rule"


def test_figures_of_schedules_have_a_row_for_such_methods(tmp_path: Path) -> None:
    """Under the constant schedule, the better of both would hide the other."""
    results = plant(
        tmp_path,
        lambda c, s: bowl(c) + (c["optimizer"]["name"] == "sgd"),
        {
            "optimizer": [{"name": "sgd"}, {"name": "sps"}],
            "optimizer.lr": RATES,
            "schedule": SCHEDULES[:2],
        },
    )
    sections = {section.title: section for section in sections_of(results)}
    rules = {"constant", "cosine", "sps", "sps, cosine"}
    assert set(sections["The whole grid"].figures[0].data["y"]) == rules
    assert set(sections["The learning-rate basin"].figures[0].data["group"]) == rules
    assert "optimizer" not in sections["The learning-rate basin"].lead


# Sensitivity


def wide(chosen: Chosen, seed: int) -> float:
    """The basin of cosine is one and a half decades wide at a tenth above; others half of that."""
    width = 0.75 / math.sqrt(0.1) if name_of(chosen) == "cosine" else 0.375 / math.sqrt(0.1)
    return bowl(chosen, 0.1, width) + noise(name_of(chosen), seed, scale=1e-3) + 0 * seed


def test_the_wide_basin_is_found(tmp_path: Path) -> None:
    rates = [float(rate) for rate in np.logspace(-2.5, 0.5, 13)]
    results = plant(tmp_path, wide, axes() | {"optimizer.lr": rates}, seeds=5)
    section = sensitivity_section(results)
    assert section is not None
    assert section.finding.startswith("cosine has the widest basin: 1.5")
    assert "2 of the 2 others can be told from the widest" in section.finding
    for row in section.tables[0].rows[1:]:
        difference = float(row[3].split()[0].replace("−", "-"))
        assert difference == pytest.approx(-0.75, abs=0.05)
        assert row[4] == "yes"


def test_equal_widths_are_not_told_apart(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        return bowl(chosen) + noise(name_of(chosen), chosen["optimizer.lr"], seed, scale=0.05)

    section = sensitivity_section(plant(tmp_path, planted, axes(), seeds=5))
    assert section is not None
    assert "None of the 2 others" in section.finding
    assert {row[4] for row in section.tables[0].rows[1:]} <= {"no", "alone"}


def test_a_basin_beside_divergence_is_a_lower_bound(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float | str:
        return "diverged" if chosen["optimizer.lr"] > 0.1 else bowl(chosen) + noise(seed)

    section = sensitivity_section(plant(tmp_path, planted, axes()))
    assert section is not None
    assert "at least" in section.finding
    assert all(row[2].startswith("≥") for row in section.tables[0].rows)


def test_a_high_floor_is_not_within_the_best_of_all(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        return bowl(chosen) + (name_of(chosen) == "linear") + noise(name_of(chosen), seed)

    section = sensitivity_section(plant(tmp_path, planted, axes()))
    assert section is not None
    last = {row[0]: row[-1] for row in section.tables[0].rows}
    assert last["linear"] == "–"
    assert float(last["cosine"]) > 0


# Interactions

DECAYS = [0.0, 1e-3, 1e-2]


def decays(interacts: bool) -> Any:
    """Weight decay 1e-3 is best by 0.2; for cosine it is 1e-2 where the two interact."""

    def planted(chosen: Chosen, seed: int) -> float:
        best = 1e-2 if interacts and name_of(chosen) == "cosine" else 1e-3
        worse = 0.2 * (chosen["optimizer.weight_decay"] != best)
        key = (name_of(chosen), chosen["optimizer.weight_decay"], seed)
        return bowl(chosen) + worse + shared(seed) + noise(*key)

    return planted


def test_a_planted_interaction_is_shown(tmp_path: Path) -> None:
    results = plant(tmp_path, decays(True), axes(optimizer__weight_decay=DECAYS), seeds=5)
    section = interaction_section(results)
    assert section is not None
    assert section.title == "The schedule and the weight decay"
    assert (
        "The weight decay that suits best in common is 0.001; it is the best for 2 of 3 values of "
        "the schedule (0.01 for cosine)." in section.finding
    )
    assert (
        "So the best weight decay depends on the schedule: for cosine, 0.01 beats 0.001 by 0."
        in (section.finding)
    )
    assert "95 % interval" in section.finding
    figure = section.figures[0]
    assert figure.name == "interaction_weight_decay"
    marked = figure.data[figure.data["text"].str.endswith("*")]
    assert dict(zip(marked["y"], marked["x"], strict=True)) == {
        "constant": "0.001",
        "cosine": "0.01",
        "linear": "0.001",
    }


def test_no_interaction_is_none(tmp_path: Path) -> None:
    results = plant(tmp_path, decays(False), axes(optimizer__weight_decay=DECAYS), seeds=5)
    section = interaction_section(results)
    assert section is not None
    assert "The best weight decay is the same for each schedule: 0.001." in section.finding
    assert "depends on the schedule:" not in section.finding


def test_noise_alone_shows_no_interaction(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        return bowl(chosen) + noise(repr(chosen), seed, scale=0.05)

    results = plant(
        tmp_path,
        planted,
        axes(optimizer__weight_decay=DECAYS, optimizer__momentum=[0.0, 0.5, 0.9]),
        seeds=5,
    )
    section = interaction_section(results)
    assert section is not None
    assert section.title == "Weight decay and momentum"
    assert "So the best" not in section.finding
    assert "is not shown" in section.finding
    assert len(section.figures) == 2


def test_momentum_for_a_maximum(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        best = 0.9 if name_of(chosen) == "linear" else 0.0
        lower = 0.1 * (chosen["optimizer.momentum"] != best)
        key = (name_of(chosen), chosen["optimizer.momentum"], seed)
        return 0.9 - lower - 0.01 * bowl(chosen) + noise(*key, scale=1e-3)

    results = plant(
        tmp_path,
        planted,
        axes(optimizer__momentum=[0.0, 0.9]),
        seeds=5,
        metric="valid/accuracy",
    )
    section = interaction_section(results)
    assert section is not None
    assert "for linear, 0.9 beats 0 by 0." in section.finding
    assert "So the best schedule depends on the momentum" in section.finding


def test_an_interaction_with_lost_cells(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float | str:
        lost = name_of(chosen) == "linear" and chosen["optimizer.weight_decay"] == 1e-2
        return "diverged" if lost else decays(False)(chosen, seed)

    results = plant(tmp_path, planted, axes(optimizer__weight_decay=DECAYS), seeds=3)
    section = interaction_section(results)
    assert section is not None
    assert "Left out: 1 schedule without all values." in section.finding
    assert section.figures[0].data["value"].isna().sum() == 1


# Lengths


def lengths(crosses: bool) -> Any:
    """Cosine wins the long training by 0.2; the short one is won by constant where they cross."""

    def planted(chosen: Chosen, seed: int) -> float:
        short = chosen["train.epochs"] == 5
        first = "constant" if crosses and short else "cosine"
        behind = 0.2 * (name_of(chosen) != first)
        key = (name_of(chosen), chosen["train.epochs"], seed)
        return bowl(chosen) + behind + short + shared(seed) + noise(*key)

    return planted


def test_a_change_of_winner_is_shown(tmp_path: Path) -> None:
    results = plant(tmp_path, lengths(True), axes(train__epochs=[5, 13]), seeds=5)
    section = horizon_section(results)
    assert section is not None
    assert section.finding.startswith(
        "The winner with 13 epochs is cosine. With 5 epochs it is constant"
    )
    assert "So the winner depends on the length of training: 5 epochs shows it." in section.finding
    assert section.finding.count("95 % interval") == 2
    assert [row[1] for row in section.tables[0].rows] == ["constant", "cosine"]
    assert section.figures[0].name == "horizons"
    # The longest alone is ranked: the mean over lengths would be of no training.
    ranking = ranking_section(results)
    assert ranking is not None
    assert ranking.finding.startswith("With 13 epochs, the longest of 2 lengths: by final")
    assert "cosine (lr 0.1) is first" in ranking.finding


def test_the_same_winner_is_said(tmp_path: Path) -> None:
    results = plant(tmp_path, lengths(False), axes(train__epochs=[5, 13]), seeds=5)
    section = horizon_section(results)
    assert section is not None
    assert section.finding.startswith(
        "The winner with 13 epochs is cosine, and so it is with 5 epochs."
    )
    assert "depends" not in section.finding


def test_a_winner_that_changes_by_chance_is_not_shown(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float:
        return bowl(chosen) + noise(repr(chosen), seed, scale=0.05)

    results = plant(tmp_path, planted, axes(train__epochs=[3, 5, 7, 11, 13]), seeds=5)
    section = horizon_section(results)
    assert section is not None
    assert "So the winner" not in section.finding
    assert "is not shown" in section.finding


# Range tests

TESTED = [float(rate) for rate in np.logspace(-4, 1, 51)]


def course(chosen: Chosen, seed: int, final: float) -> list[dict[str, float]]:
    """A range test's loss falls fastest at 0.03 and rises above all from 0.9."""
    if name_of(chosen) != "range_test":
        return [{"valid/loss": final}, {"valid/loss": final}]
    falls = [1 + 1 / (1 + (rate / 0.03) ** 2) for rate in TESTED]
    return [
        {"lr": rate, "train/loss": 1e3 if rate > 0.9 else fall, "valid/loss": fall}
        for rate, fall in zip(TESTED, falls, strict=True)
    ]


def with_tests(folder: Path, best: float) -> Results:
    """Peaks with a best one, and range tests that end at the largest of them."""

    def planted(chosen: Chosen, seed: int) -> float | str:
        if name_of(chosen) == "range_test":
            return "diverged" if chosen["optimizer.lr"] == 10 else "pending"
        return bowl(chosen, best) + noise(name_of(chosen), chosen["optimizer.lr"], seed)

    schedules = [*SCHEDULES, {"name": "range_test"}]
    rates = {"optimizer.lr": [0.003, *RATES, 3.0, 10.0], "schedule": schedules}
    results = plant(folder, planted, rates, seeds=3, curve=course)
    return replace(results, runs=results.runs[results.runs["status"] != "pending"])


@pytest.mark.parametrize(("best", "inside"), [(0.03, True), (3.0, False)])
def test_predictions_beside_what_was_measured(tmp_path: Path, best: float, inside: bool) -> None:
    section = range_test_section(with_tests(tmp_path, best))
    assert section is not None
    # The loss of an interval belongs to its middle, a twentieth of a decade before.
    assert section.finding.startswith(
        "Steepest descent predicts 0.028 (95 % interval 0.028 to 0.028); a tenth of the edge "
        "predicts 0.071"
    )
    assert "The edge is at 0.71" in section.finding
    assert f"Measured best is {best:g}, with" in section.finding
    how_many = 3 if inside else 0
    assert f"in the 10 % basin of {how_many} of 3 rules" in section.finding
    near = "the nearest peak swept is the best one" in section.finding
    assert near == inside
    assert ("at the nearest peak swept, 0.03" in section.finding) == (not inside)
    marks = section.figures[0].chart.to_dict()
    assert "measured best" in str(marks["datasets"])


def test_range_tests_do_not_compete(tmp_path: Path) -> None:
    results = with_tests(tmp_path, 0.1)
    left = candidates(results)
    assert len(left.runs) == len(results.runs) - 3
    lr: Axis = next(axis for axis in left.axes if axis.path == "optimizer.lr")
    assert 10.0 in lr.texts  # others were tried there, too
    sections = {section.title: section for section in sections_of(results)}
    told = [
        "The best configurations", "Which schedule", "The learning-rate basin", "The whole grid"
    ]  # fmt: skip
    assert all("range_test" not in sections[title].finding for title in told)
    assert "What the range test predicts" in sections
    assert "range_test" in str(sections["The schedules"].figures[0].data["group"].unique())
    assert "3 runs diverged" in sections["What did not complete"].finding


def test_range_tests_alone(tmp_path: Path) -> None:
    schedules = [{"name": "range_test"}]
    results = plant(
        tmp_path, lambda c, s: 1.0, {"schedule": schedules, "optimizer.lr": [10.0]}, curve=course
    )
    assert candidates(results) is results
    section = range_test_section(results)
    assert section is not None
    assert "No grid of peaks was measured to compare it with." in section.finding


# Studies that are none of these


def test_other_studies_have_none_of_these(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda c, s: bowl(c), {"optimizer.lr": RATES})
    builders = (
        ranking_section, sensitivity_section, interaction_section, horizon_section,
        range_test_section,
    )  # fmt: skip
    assert [build(results) for build in builders] == [None] * 5
    grid = plant(tmp_path / "grid", winner(0.2), axes())
    assert interaction_section(grid) is None
    assert horizon_section(grid) is None
    assert range_test_section(grid) is None


def test_unfinished_studies(tmp_path: Path) -> None:
    def planted(chosen: Chosen, seed: int) -> float | str:
        if name_of(chosen) == "constant":
            return winner(0.2)(chosen, seed)
        return "pending" if name_of(chosen) == "linear" or seed else 1.0

    more = axes(train__epochs=[5, 13], optimizer__weight_decay=[0.0, 1e-3])
    results = plant(tmp_path, planted, more)
    for section in (
        ranking_section(results),
        sensitivity_section(results),
        interaction_section(results),
        horizon_section(results),
    ):
        assert section is not None
        assert section.finding
