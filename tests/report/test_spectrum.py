"""What the section on spectra says of planted measurements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.results import Results
from orchestrator.report.sections import SECTIONS, sections_of
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.second_order.spectra import measured, scalars, stable_below
from orchestrator.report.sections.second_order.spectrum import TITLE, spectrum_section
from tests.report.stores import plant

Values = Callable[[pd.Series], dict[tuple[str, str], float]]
"""A run (its columns) → (name, at) → value."""


def planted(
    folder: Path, values: Values, axes: dict[str, list[Any]] | None = None, **more: Any
) -> Results:
    """Rates as written over all of training: evaluations at steps 7, 14, 21 and 28."""

    def curve(chosen: dict[str, Any], seed: int, final: float) -> list[dict[str, float]]:
        optimizer = chosen.get("optimizer") or {"lr": chosen.get("optimizer.lr", 0.1)}
        return [{"lr": optimizer["lr"]} for _ in range(4)]

    axes = axes or {"optimizer.lr": [0.1, 0.3, 1.0]}

    def final(chosen: dict[str, Any], seed: int) -> float:
        worse = (chosen.get("optimizer") or {}).get("name") == "adam"
        return 0.5 + 0.01 * seed + worse

    results = plant(folder, final, axes, curve=curve, **more)

    def rows() -> Iterator[tuple[str, str, str, float]]:
        for _, run in results.runs.iterrows():
            for (name, at), value in values(run).items():
                yield run["run_id"], name, at, value

    probes = pd.DataFrame(rows(), columns=["run_id", "name", "at", "value"])
    return replace(results, probes=probes)


def made(section: Section | None) -> Section:
    assert section is not None
    return section


ENDS = {0.1: 19.0, 0.3: 10.0, 1.0: 0.5}
"""By rate; bounds are 20, 6.67 and 2."""


def edge(run: pd.Series) -> dict[tuple[str, str], float]:
    end = ENDS[run["config.optimizer.lr"]] * (1 + 0.01 * (run["seed"] - 1))
    tops = {0: 4.0, 14: 5.0, 28: end}
    found = {("hessian/top", str(step)): value for step, value in tops.items()}
    return found | {("hessian/spread", "28"): 3.0, ("hessian/eigenvalue", "28/1"): end}


def test_the_edge_of_stability(tmp_path: Path) -> None:
    results = planted(tmp_path, edge)
    assert TITLE in [section.title for section in sections_of(results)]
    section = made(spectrum_section(results))
    assert section.finding == (
        "The largest eigenvalue of the Hessian grows from 4 at its first measurement to 10 at its"
        " last (medians over 9 runs; it has grown in 6 of them). Of 9 runs of plain SGD, 3 end"
        " within 20 % of the bound of stability, 3 above and 3 below it (λ₁ over the bound: median"
        " 0.95)."
    )
    (figure,) = section.figures
    data = figure.data.set_index(["group", "x"])
    assert data.loc[("lr 0.3", 28), "value"] == pytest.approx(10)
    assert data.loc[("lr 0.3", 28), "low"] == pytest.approx(9.9)
    assert data.loc[("lr 0.3", 0), "stable"] == pytest.approx(2 / 0.3)
    assert (data["n"] == 3).all()
    assert "Dashed" in figure.caption
    assert figure.spec({})["layer"]
    rows = {row[0]: row[1:] for row in section.tables[0].rows}
    assert rows["lr 0.1"] == ["19", "3", "–", "–", "–"]


def test_bounds_are_for_gradient_descent(tmp_path: Path) -> None:
    """With momentum they are higher; with others, or where rates are not known, as known."""
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False}
    optimizers = [
        sgd,
        sgd | {"momentum": 0.5},
        sgd | {"momentum": 0.5, "nesterov": True},
        {"name": "adam", "lr": 0.1},
    ]
    values = {("hessian/top", "0"): 4.0, ("hessian/top", "28"): 5.0}
    results = planted(tmp_path, lambda run: values, {"optimizer": optimizers})
    tops = scalars(measured(results), "hessian", "top")
    found = tops.assign(stable=stable_below(tops, results.history))
    by_run = found.groupby("run_id", sort=False)["stable"].agg(lambda s: s.iloc[0]).tolist()
    expected = [20.0] * 3 + [30.0] * 3 + [np.nan] * 6
    np.testing.assert_allclose(by_run, expected)
    halved = results.history.assign(
        lr=results.history["lr"] / results.history["step"].gt(14).add(1)
    )
    late = stable_below(tops[tops["step"] == 28], halved)
    np.testing.assert_allclose(late, [40.0] * 3 + [60.0] * 3 + [np.nan] * 6)
    without = stable_below(tops, results.history.drop(columns="lr"))
    np.testing.assert_allclose(without.iloc[0], 20.0)


def spectra(run: pd.Series) -> dict[tuple[str, str], float]:
    """All but a tenth of the eigenvalues at 0 before; half of them after, for Adam."""
    found: dict[tuple[str, str], float] = {}
    sides = {"gauss_newton": (4.0, 100.0, 0.9)}
    if run["config.optimizer.name"] == "adam":
        sides["preconditioned"] = (50.0, 5.0, 0.5)
    for matrix, (top, spread, share) in sides.items():
        found |= {(f"{matrix}/top", "28"): top, (f"{matrix}/spread", "28"): spread}
        grid = np.linspace(-0.1 * top, 1.1 * top, 101)
        bump = (
            np.exp(-((grid / (0.02 * top)) ** 2) / 2),
            np.exp(-(((grid - top) / top / 0.02) ** 2) / 2),
        )
        values = (share * bump[0] + (1 - share) * bump[1]) / (0.02 * top * (2 * np.pi) ** 0.5)
        found |= {
            (f"{matrix}/density", f"28/{x:.6g}"): float(v)
            for x, v in zip(grid, values, strict=True)
            if v > 0
        }
    return found


def test_before_and_after_preconditioning(tmp_path: Path) -> None:
    optimizers = [{"name": "sgd", "lr": 0.1}, {"name": "adam", "lr": 0.1}]
    section = made(spectrum_section(planted(tmp_path, spectra, {"optimizer": optimizers})))
    assert section.finding.startswith("The largest eigenvalue of the Gauss-Newton matrix is 4 (")
    assert section.finding.endswith(
        "What a preconditioner makes of λ₁/λₖ at the last measurement: that of adam lowers it"
        " 20-fold, from 100 to 5."
    )
    _, before, after = section.figures
    assert before.name == "density_before"
    assert "90 % of them are below a tenth" in before.caption
    assert "50 % of them are below a tenth" in after.caption
    assert before.data["group"].nunique() == 2
    assert after.data["group"].nunique() == 1
    for figure in (before, after):
        one = figure.data[figure.data["group"] == figure.data["group"].iloc[-1]].sort_values("x")
        assert np.trapezoid(one["value"], one["x"]) == pytest.approx(1, abs=0.01)
        assert figure.spec({})["layer"]
    assert section.tables[0].rows[1][-1] == "5"


def test_a_preconditioner_that_does_nothing(tmp_path: Path) -> None:
    def same(run: pd.Series) -> dict[tuple[str, str], float]:
        spreads = {
            "hessian": 10.0,
            "preconditioned": 9.7 if run["config.optimizer.lr"] == 1 else 30,
        }
        tops = {(f"{matrix}/top", "28"): 4.0 for matrix in spreads}
        return tops | {(f"{matrix}/spread", "28"): value for matrix, value in spreads.items()}

    optimizers = [{"name": "adam", "lr": 1}, {"name": "rmsprop", "lr": 0.1}]
    section = made(spectrum_section(planted(tmp_path, same, {"optimizer": optimizers})))
    assert "that of adam hardly changes it, from 10 to 9.7" in section.finding
    assert "that of rmsprop raises it 3-fold, from 10 to 30" in section.finding


def test_it_is_quiet_without_spectra(tmp_path: Path) -> None:
    assert spectrum_section in SECTIONS
    results = plant(tmp_path, lambda chosen, seed: 0.5)
    assert spectrum_section(results) is None
    other = pd.DataFrame([("run00000", "density", "0.weight", 0.5)], columns=results.probes.columns)
    assert spectrum_section(replace(results, probes=other)) is None
    assert TITLE not in [section.title for section in sections_of(results)]


def test_few_of_many_configurations_are_drawn(tmp_path: Path) -> None:
    """The best of each optimizer among them, also where all of one are worse."""
    rates = [0.01 * k for k in range(1, 12)]
    optimizers = [{"name": name, "lr": lr} for name in ("sgd", "adam") for lr in rates]
    values = {("hessian/top", "0"): 4.0, ("hessian/top", "28"): 5.0}
    results = planted(tmp_path, lambda run: values, {"optimizer": optimizers}, seeds=2)
    section = made(spectrum_section(results))
    assert len(section.tables[0].rows) == 8
    assert {row[0].partition(" ")[0] for row in section.tables[0].rows} == {"sgd", "adam"}
