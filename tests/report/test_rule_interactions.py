"""Schedules beside other settings and lengths: what was planted is shown, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.report.sections.rules.horizon import horizon_section
from orchestrator.report.sections.rules.interaction import interaction_section
from orchestrator.report.sections.rules.range_test import range_test_section
from orchestrator.report.sections.rules.ranking import ranking_section
from orchestrator.report.sections.rules.sensitivity import sensitivity_section
from tests.report.rules import Chosen, axes, bowl, name_of, noise, shared, winner
from tests.report.stores import RATES, plant

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


def test_a_change_that_one_length_shows_is_not_shown(tmp_path: Path) -> None:
    """Constant wins the short training for certain, but the long one is a tie."""

    def planted(chosen: Chosen, seed: int) -> float:
        short = chosen["train.epochs"] == 5
        behind = {"constant": 0.0, "cosine": 0.2 if short else -0.001}.get(name_of(chosen), 0.4)
        sign = 1 if seed % 2 else -1
        wobble = 0.01 * sign * (name_of(chosen) == "cosine")
        return bowl(chosen) + behind + short + shared(seed) + wobble * (seed < 4)

    results = plant(tmp_path, planted, axes(train__epochs=[5, 13]), seeds=5)
    section = horizon_section(results)
    assert section is not None
    assert section.finding.startswith("The winner with 13 epochs is cosine. With 5 epochs it is c")
    assert "it leads constant by 0.001" in section.finding
    assert "That the winner depends on the length of training is not shown." in section.finding


def test_lengths_that_were_drawn_are_no_groups(tmp_path: Path) -> None:
    results = plant(tmp_path, lengths(True), axes(train__epochs=list(range(5, 18))), seeds=2)
    assert horizon_section(results) is None
    ranking = ranking_section(results)
    assert ranking is not None
    assert "epochs" in ranking.tables[1].rows[0][2]


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
