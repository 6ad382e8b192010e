"""Rankings and basins of schedules: what was planted is found, and its opposite is not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from orchestrator.report.sections import sections_of
from orchestrator.report.sections.rules.ranking import ranking_section
from orchestrator.report.sections.rules.sensitivity import sensitivity_section
from orchestrator.report.sections.rules.trials import trials_of
from orchestrator.report.sections.rules.words import by
from orchestrator.report.statistics import Difference
from tests.report.rules import SCHEDULES, Chosen, axes, bowl, name_of, noise, winner
from tests.report.stores import RATES, plant


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


def test_batches_of_several_sizes_are_counted_in_examples(tmp_path: Path) -> None:
    more = axes(train__batch_size=[32, 64])
    section = ranking_section(plant(tmp_path, winner(0.2, 0.0), more, seeds=5))
    assert section is not None
    assert "By examples to validation loss" in section.finding
    # Evaluations of planted studies are 77 examples and 7 steps apart.
    times = [float(row[3].split()[0].replace(",", "")) for row in section.tables[3].rows]
    assert times
    assert all(time >= 77 for time in times)


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


def test_an_interval_is_turned_with_its_amount() -> None:
    behind = Difference(mean=-1.0, low=-3.0, high=1.0, pairs=5)
    ahead = Difference(mean=1.0, low=-1.0, high=3.0, pairs=5)
    text = "1.0 (95 % interval −1.0 to +3.0, paired, 5 seeds)"
    assert by(behind) == by(ahead) == text
    one = Difference(mean=0.5, low=math.nan, high=math.nan, pairs=1)
    assert by(one).endswith("(one shared seed)")


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
