"""What was planted in a study is what its report finds, and it finds nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.results import Results, load_results
from orchestrator.report.sections import SECTIONS
from orchestrator.report.sections.basin import basin_section
from orchestrator.report.sections.curves import curves_section
from orchestrator.report.sections.failures import failures_section
from orchestrator.report.sections.headline import headline_section
from orchestrator.report.sections.heat_map import heat_map_section
from orchestrator.report.sections.model import Section
from orchestrator.report.sections.schedules import schedules_section
from orchestrator.report.sections.setup import setup_section
from orchestrator.store import Store
from tests.report.stores import plant


def made(results: Results) -> list[Section]:
    return [found for build in SECTIONS if (found := build(results)) is not None]


def distance(chosen: dict[str, Any], best: float = 0.1) -> float:
    rate: float = chosen["optimizer.lr"]
    return max(rate / best, best / rate)


def bowl(chosen: dict[str, Any], seed: int) -> float:
    """Best at lr 0.1 with cosine; seeds shift all alike."""
    penalty = 0.5 if chosen["schedule"]["name"] == "constant" else 0.0
    return distance(chosen) + penalty + 0.01 * seed


def test_known_best(tmp_path: Path) -> None:
    section = headline_section(plant(tmp_path, bowl))
    assert section.finding.startswith("Best: cosine (warmup 0.05), lr 0.1, validation loss 1.010 ±")
    assert "the two are distinguishable" in section.finding
    table = section.tables[0]
    assert len(table.rows) == 5
    first = dict(zip(table.head, table.rows[0], strict=True))
    assert first["test accuracy"].startswith("0.25")
    assert (first["min – max"], first["seeds"]) == ("1.000 – 1.020", "3")
    assert any("chosen by validation alone" in note for note in section.notes)


def test_runner_up_within_noise(tmp_path: Path) -> None:
    noise = {("constant", 0): 0.3, ("constant", 1): -0.2}

    def planted(chosen: dict[str, Any], seed: int) -> float:
        return distance(chosen) + noise.get((chosen["schedule"]["name"], seed), 0.0)

    section = headline_section(plant(tmp_path, planted))
    assert "not distinguishable from the best" in section.finding


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    section = headline_section(plant(tmp_path, bowl, seeds=1))
    assert "one seed, so its spread is not known" in section.finding
    assert "nobody can say" in section.finding
    assert "min – max" not in section.tables[0].head


def test_survivors_are_not_ranked(tmp_path: Path) -> None:
    def planted(chosen: dict[str, Any], seed: int) -> float | str:
        lucky = chosen["optimizer.lr"] == 1.0
        return ("diverged" if seed else 1e-6) if lucky else bowl(chosen, seed)

    section = headline_section(plant(tmp_path, planted))
    assert "lr 0.1," in section.finding
    assert any("2 with a diverged run" in note for note in section.notes)


@pytest.mark.parametrize(("best", "edge"), [(0.01, "lower"), (1.0, "upper"), (0.1, "inside")])
def test_best_on_an_edge(tmp_path: Path, best: float, edge: str) -> None:
    section = basin_section(plant(tmp_path, lambda chosen, seed: distance(chosen, best)))
    warned = "so the sweep should be extended there" in section.finding
    assert warned == (edge != "inside")
    assert (f"{edge} edge" in section.finding) == warned
    assert ("inside the swept range" in section.finding) == (not warned)


def test_divergence_at_high_rates(tmp_path: Path) -> None:
    def planted(chosen: dict[str, Any], seed: int) -> float | str:
        return "diverged" if chosen["optimizer.lr"] > 0.2 else bowl(chosen, seed)

    results = plant(tmp_path, planted)
    finding = failures_section(results).finding
    assert finding.startswith("12 runs diverged of 30.")
    assert "No run with lr below 0.3 diverged; every run with lr 0.3 or above did." in finding
    assert "In 4 cells of 10 a run diverged." in heat_map_section(results).finding
    cells = heat_map_section(results).figures[0].data
    assert set(cells.loc[cells["value"].isna(), "text"]) == {"×3"}
    crosses = basin_section(results).figures[0].chart.to_dict()["layer"][2]
    assert crosses["mark"]["type"] == "point"


def test_nothing_diverged(tmp_path: Path) -> None:
    results = plant(tmp_path, bowl)
    assert failures_section(results).finding == "No run failed, diverged or was stopped."
    assert "diverged" not in heat_map_section(results).finding
    assert len(basin_section(results).figures[0].chart.to_dict()["layer"]) == 2


def test_accuracy_is_maximized(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda c, s: 0.9 / distance(c), metric="valid/accuracy")
    assert "lr 0.1" in headline_section(results).finding.split(";")[0]
    assert "at lr 0.1" in basin_section(results).finding
    spec = basin_section(results).figures[0].chart.to_dict()
    assert spec["layer"][0]["encoding"]["y"]["scale"]["type"] == "linear"


@pytest.mark.parametrize(
    ("metric", "scale", "curves"),
    [
        ("valid/error", "linear", ["valid_error", "valid_loss"]),
        ("valid/perplexity", "log", ["valid_perplexity"]),
    ],
)
def test_errors_and_perplexities_are_minimized(
    tmp_path: Path, metric: str, scale: str, curves: list[str]
) -> None:
    results = plant(tmp_path, lambda c, s: 0.1 * distance(c), metric=metric)
    results.runs["final/test/error"] = 0.75
    section = headline_section(results)
    words = metric.replace("valid/", "validation ")
    assert f"lr 0.1, {words} 0.1" in section.finding.split(";")[0]
    shown = section.tables[0].head
    assert words in shown
    assert ("test error" in shown) == (metric == "valid/error")
    assert ("test accuracy" in shown) == (metric != "valid/error")
    spec = basin_section(results).figures[0].chart.to_dict()
    assert spec["layer"][0]["encoding"]["y"]["scale"]["type"] == scale
    names = [figure.name for figure in curves_section(results).figures]
    assert names == [f"curves_{name}" for name in curves]


def test_curves_and_schedules(tmp_path: Path) -> None:
    results = plant(tmp_path, bowl, rows=300)
    section = curves_section(results)
    assert [figure.name for figure in section.figures] == [
        "curves_valid_loss",
        "curves_valid_accuracy",
    ]
    data = section.figures[0].data
    assert data.groupby("group").size().tolist() == [200] * 5
    last = data[data["group"].str.startswith("cosine (warmup 0.05), lr 0.1")].iloc[-1]
    assert (last["low"], last["value"], last["high"]) == pytest.approx((1, 1.01, 1.02))
    assert "no sign of overfitting" in section.finding
    lr = schedules_section(results).figures[0].data
    assert set(lr["group"]) == {"constant", "cosine (warmup 0.05)"}


def test_other_axes_are_at_their_best(tmp_path: Path) -> None:
    axes = {"optimizer.lr": [0.01, 0.1, 1.0], "optimizer.momentum": [0.9, 0.0], "model.norm": ["a"]}
    results = plant(tmp_path, lambda c, s: distance(c) + c["optimizer.momentum"], axes)
    section = basin_section(results)
    assert set(section.figures[0].data["group"]) == {"0", "0.9"}
    axes["data.name"] = ["x", "y"]
    other = tmp_path / "other"
    results = plant(other, lambda c, s: distance(c) + c["optimizer.momentum"], axes)
    section = basin_section(results)
    assert "momentum at its best" in section.lead
    assert len(section.figures[0].data) == 3 * 2 * 3
    assert section.figures[0].data["value"].min() == 1


def test_no_numeric_axis(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda c, s: 1.0 + s, {"model.norm": ["batch", "layer"]})
    assert basin_section(results).finding.startswith("Not applicable")
    assert heat_map_section(results).finding.startswith("Not applicable")
    assert not basin_section(results).figures


def test_mid_sweep(tmp_path: Path) -> None:
    def planted(chosen: dict[str, Any], seed: int) -> float | str:
        return bowl(chosen, seed) if chosen["optimizer.lr"] < 0.05 else "pending"

    results = plant(tmp_path, planted)
    assert "not finished: 12 of 30 runs are done" in setup_section(results).finding
    assert "lr 0.03" in headline_section(results).finding
    assert "known when all runs are done" in basin_section(results).finding
    assert basin_section(results).tables[0].rows[0][3] == "not yet known"
    finished = plant(tmp_path / "finished", bowl)
    assert "not finished" not in setup_section(finished).finding
    assert basin_section(finished).tables[0].rows[0][3] == "inside"


def test_no_configuration_complete(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda c, s: 1.0 if s == 0 else "pending")
    section = headline_section(results)
    assert section.finding.startswith(
        "No configuration has been trained to its end with all 3 seeds yet"
    )
    assert not section.tables
    assert all(section.finding for section in made(results))


@pytest.mark.parametrize("status", ["diverged", "pending", "failed", "stopped"])
def test_every_section_bears_a_study_without_results(tmp_path: Path, status: str) -> None:
    results = plant(tmp_path, lambda chosen, seed: status)
    assert all(section.finding for section in made(results))


def test_every_section_bears_an_empty_store_and_one_run(tmp_path: Path) -> None:
    Store.create(tmp_path / "empty").close()
    empty = load_results(tmp_path / "empty")
    assert all(section.finding for section in made(empty))
    one = plant(tmp_path / "one", lambda chosen, seed: 1.0, {}, seeds=1)
    assert all(section.finding for section in made(one))
    assert "the configuration" in headline_section(one).finding


def test_strategies(tmp_path: Path) -> None:
    packs = [
        {"pack_id": f"p{k}", "lanes": 8, "strategy": "fused", "width": 8, "steps_per_second": k}
        for k in (2.0, 3.0)
    ]
    section = setup_section(plant(tmp_path, bowl, strategies=packs, command="regatta run x.yaml"))
    assert section.tables[0].rows == [["2", "8", "fused", "8", "2–3"]]
    assert [block.text for block in section.blocks] == ["regatta run x.yaml"]
