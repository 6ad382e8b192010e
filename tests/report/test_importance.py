"""Importances of functions whose variance is known, and what is said of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.importance import importances
from orchestrator.report.labels import Axis
from orchestrator.report.sections.importance import importance_section
from orchestrator.report.statistics import Mode
from tests.report.stores import plant

GRID = [float(x) for x in np.linspace(0, 1, 7)]
NAMES = "abc"


def _axis(path: str, texts: list[Any]) -> Axis:
    numeric = not isinstance(texts[0], str)
    return Axis(path=path, name=path, numeric=numeric, texts={t: str(t) for t in texts})


def _table(weights: dict[str, float], mode: Mode) -> tuple[pd.DataFrame, list[Axis]]:
    """All of a grid of three numbers and a name, with a value that is linear in them."""
    axes = [*(_axis(f"x{i}", GRID) for i in range(3)), _axis("kind", list(NAMES))]
    rows = list(itertools.product(GRID, GRID, GRID, NAMES))
    table = pd.DataFrame(rows, columns=[axis.column for axis in axes])
    table["value"] = sum(
        weight * (table["axis/kind"] == "a" if name == "kind" else table[f"axis/{name}"])
        for name, weight in weights.items()
    )
    return table.sort_values("value", ascending=mode == "min", kind="stable"), axes


@pytest.mark.parametrize("mode", ["min", "max"])
def test_shares_are_those_of_the_variance(mode: Mode) -> None:
    """Of a sum over a grid, the variance is the sum of the axes' own."""
    weights = {"x0": 2.0, "x1": 1.0, "kind": 1.0}
    table, axes = _table(weights, mode)
    spread = {"x0": 4 * np.var(GRID), "x1": np.var(GRID), "x2": 0.0, "kind": 2 / 9}
    found = importances(table, axes, mode).set_index("axis")
    for name, variance in spread.items():
        share = variance / sum(spread.values())
        assert found.loc[name, "everywhere"] == pytest.approx(share, abs=0.09)
    assert found["everywhere"].sum() == pytest.approx(1)
    assert found["best"].sum() == pytest.approx(1)
    assert found.loc["x2", "best"] < 0.02
    assert found.index[0] == "x0"


def _planted(at: dict[str, Any], seed: int) -> float:
    """The rate decides whether it trains at all; of what trains, the width decides."""
    rate, width = at["optimizer.lr"], at["model.width"]
    return 100.0 if rate > 0.15 else 1 / width + 0.001 * rate


def test_what_decides_everywhere_may_not_decide_among_the_best(tmp_path: Path) -> None:
    axes = {
        "optimizer.lr": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        "model.width": [1, 2, 3, 5, 8, 13, 21],
        "model.kind": ["a", "b"],
    }
    section = importance_section(plant(tmp_path / "a", _planted, axes, seeds=1))
    assert section is not None
    assert section.finding.startswith("Over the whole space lr decides most: ")
    assert "among the best tenth is decided most by width" in section.finding

    def rate_alone(at: dict[str, Any], seed: int) -> float:
        return at["optimizer.lr"] + 1e-3 * at["model.width"]  # type: ignore[no-any-return]

    section = importance_section(plant(tmp_path / "b", rate_alone, axes, seeds=1))
    assert section is not None
    assert "It also decides most who is among the best tenth" in section.finding
    data = section.figures[0].data
    assert set(data["axis"]) == {"lr", "width", "kind"}
    assert data.groupby("group")["value"].sum().tolist() == pytest.approx([1, 1])


def test_too_little_says_nothing(tmp_path: Path) -> None:
    rates = {"optimizer.lr": [float(x) for x in range(1, 31)]}
    assert importance_section(plant(tmp_path / "a", lambda at, seed: 1.0, rates, seeds=1)) is None
    few = {"optimizer.lr": [1.0, 2.0, 3.0], "model.width": [1, 2]}
    result = plant(tmp_path / "b", lambda at, seed: at["optimizer.lr"], few, seeds=1)
    assert importance_section(result) is None
    same = {"optimizer.lr": [float(x) for x in range(1, 13)], "model.width": [1, 2]}
    assert importance_section(plant(tmp_path / "c", lambda at, seed: 1.0, same, seeds=1)) is None
