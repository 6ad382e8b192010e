"""The page of a lottery study: escaped, quick, its figures exported."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from orchestrator.report import write_report
from orchestrator.report.page import render
from orchestrator.report.sections import sections_of
from tests.report.test_page import NASTY, Page
from tests.report.tickets import Network, plant_tickets


def value(network: Network) -> float:
    return 0.9 - 0.01 * network.level * (network.control is not None) + 0.003 * network.seed


def barrier(network: Network) -> dict[str, float]:
    return {"probe/barrier/test/error": 0.1} if network.child else {}


def probes(network: Network) -> list[tuple[str, str, float]]:
    layers = [("density", f"{k}.weight", network.density) for k in (0, 2)]
    line = [("line/test/error", f"{a / 30:.4g}", 0.1) for a in range(31)]
    return layers * (network.level > 0) + line * (network.child > 0)


def test_figures_of_a_written_report(tmp_path: Path) -> None:
    plant_tickets(
        tmp_path, value, children=1, rewinds=(0, 10), prunings=({}, {"criterion": "random"})
    )
    path = write_report(tmp_path)
    names = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert {"tickets_test_accuracy", "early_stop", "pruning", "rewinding_level_3", "cost"} <= names
    csv = (tmp_path / "figures/tickets_test_accuracy.csv").read_text(encoding="utf-8")
    assert csv.startswith("level,test/accuracy,low,high,n,networks,weights_left\n0,0.903,")
    text = Page(path.read_text(encoding="utf-8")).text
    assert "Tickets and their controls" in text


def test_other_peoples_text_is_only_text(tmp_path: Path) -> None:
    bases = ({"name": NASTY}, {"name": f"{NASTY}2"})

    def planted(network: Network) -> float | str:
        return "failed" if network.level == 2 else value(network)

    results = plant_tickets(
        tmp_path,
        planted,
        bases=bases,
        more=lambda network: {"probe/collapsed": 1.0},
        probes=lambda network: [("density", NASTY, 0.0), ("density", "0.weight", 0.5)],
    )
    sections = sections_of(results)
    text = render(results, sections, exported=False)
    page = Page(text)
    assert NASTY in page.text
    assert "alert" in json.dumps(page.specs)
    scripts = len([1 for tag, _ in page.elements if tag == "script"])
    assert scripts == 2 + len(page.specs)


@pytest.mark.timed
def test_ten_thousand_networks(tmp_path: Path) -> None:
    results = plant_tickets(
        tmp_path,
        value,
        levels=20,
        seeds=5,
        children=1,
        controls=("reinitialized", "shuffled", "signs"),
        rewinds=(0, 5, 10, 20),
        prunings=({}, {"criterion": "random"}, {"scope": "global"}),
        bases=({"lr": 0.1}, {"lr": 0.5}),
        more=barrier,
        probes=probes,
    )
    assert len(results.runs) > 10_000
    begun = time.perf_counter()
    page = render(results, sections_of(results), exported=False)
    assert time.perf_counter() - begun < 20  # 3 s on an idle core
    assert len(page) < 3_000_000
