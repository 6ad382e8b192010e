"""Early stopping on lanes: it finds what the whole grid finds, and a killed study goes on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.spec import Study, load_study
from tests.early_stopping.driver import Driver

STUDY = """\
study: digits
optimizer: {name: sgd}
model: {name: mlp, hidden: [16]}
train: {epochs: 27, batch_size: 32}
sweep:
  optimizer.lr: {log: [0.001, 3.0], points: 12}
  optimizer.momentum: [0.0, 0.5, 0.9]
objective: {metric: valid/accuracy}
"""
ASHA = "early_stopping: {name: asha, grace: {epochs: 1}, reduction: 3}\n"


def _study(folder: Path, more: str = "") -> Study:
    (folder / "study.yaml").write_text(STUDY + more)
    return load_study(folder / "study.yaml")


def _trained(study: Study, folder: Path) -> pd.DataFrame:
    driver = Driver(study, folder, slots=2)
    assert driver.train()
    runs = driver.store.runs()
    driver.store.close()
    return runs


def test_asha_finds_the_best_of_the_grid_with_a_third_of_the_steps(tmp_path: Path) -> None:
    grid = _trained(_study(tmp_path), tmp_path / "grid")
    asha = _trained(_study(tmp_path, ASHA), tmp_path / "asha")
    assert set(asha["run_id"]) == set(grid["run_id"])
    assert set(asha["status"]) == {"completed", "stopped"}
    best = grid["final/valid/accuracy"].max()
    found = asha.loc[asha["status"] == "completed", "final/valid/accuracy"].max()
    assert found >= 0.99 * best
    assert asha["steps"].sum() <= 0.35 * grid["steps"].sum()
    # Lanes that became free were filled: more runs began than the packs had lanes.
    assert (asha.groupby("pack_id")["lane"].max() >= 9).all()


@pytest.mark.parametrize(
    "rules",
    [
        ASHA,
        "early_stopping: [{name: asha, grace: {epochs: 2}, brackets: 2, max: 0.5},"
        " {name: median, grace: {epochs: 2}}, {name: patience, evaluations: 3}]\n",
    ],
)
@pytest.mark.parametrize("killed_after", [[1], [5, 3, 2], [4, 4, 2]])
def test_a_killed_study_ends_as_an_undisturbed_one(
    rules: str, killed_after: list[int], tmp_path: Path
) -> None:
    """Rows, statuses, reasons and lanes are the same bit for bit, whatever was killed when.

    One slot: with several, which pack reports first decides what is compared with what.
    """
    _study(tmp_path, rules)
    study = load_study(tmp_path / "study.yaml", ["train.epochs=9"])
    whole = Driver(study, tmp_path / "whole", slots=1)
    assert whole.train()
    for reports in killed_after:
        broken = Driver(study, tmp_path / "broken", slots=1)
        assert not broken.train(most_reports=reports)
        broken.store.close()
    broken = Driver(study, tmp_path / "broken", slots=1)
    assert broken.train()
    pd.testing.assert_frame_equal(
        broken.store.runs().drop(columns="wall_seconds"),
        whole.store.runs().drop(columns="wall_seconds"),
        check_exact=True,
    )
    pd.testing.assert_frame_equal(
        broken.store.history().drop(columns="seconds"),
        whole.store.history().drop(columns="seconds"),
        check_exact=True,
    )
    assert broken.store.decisions() == whole.store.decisions()
    assert "stopped" in set(whole.store.statuses().values())
    assert any(decision.join for decision in whole.store.decisions())
