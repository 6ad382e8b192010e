"""What lottery reports say of costs, and what they bear."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.report.results import dense_only, load_results
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.failures import failures_section
from orchestrator.report.sections.lottery.connectivity import connectivity_section
from orchestrator.report.sections.lottery.cost import cost_section
from orchestrator.report.sections.lottery.tickets import tickets_section
from orchestrator.report.sections.lottery.variants import variants_section
from tests.report.stores import plant
from tests.report.test_ticket_findings import WOBBLE, barriers, densities, made, noise, winning
from tests.report.tickets import Network, plant_tickets


def test_cost(tmp_path: Path) -> None:
    section = cost_section(plant_tickets(tmp_path, winning, children=1))
    # 3 seeds × (dense, its child, 5 levels × (ticket, control, child)) networks of 35 steps.
    assert section.finding.startswith(
        "51 networks were trained (15 tickets, 15 re-initialized ones, 18 children and 3 dense "
        "ones): 1,785 steps and 1 min 16 s of run-time, 17 times what the dense networks alone "
        "took."
    )
    assert section.tables[0].rows[0] == ["0", "100 %", "0", "0", "3", "3", "210", "9 s"]
    none = cost_section(plant_tickets(tmp_path / "none", lambda network: "pending"))
    assert none.finding != ""


def test_other_sections_see_dense_networks_alone(tmp_path: Path) -> None:
    bases = ({"lr": 0.1}, {"lr": 0.5}, {"lr": 1.0})

    def planted(network: Network) -> float:
        # Tickets are far better: a ranking of all would name them.
        return 0.5 - 0.1 * network.base["lr"] + 0.3 * (network.level > 0) + noise(network)

    results = plant_tickets(tmp_path, planted, bases=bases)
    sections = {section.title: section for section in sections_of(results)}
    best = sections["The best configurations"]
    assert best.lead.endswith("Dense networks alone.")
    assert [row[1] for row in best.tables[0].rows] == ["lr 0.1", "lr 0.5", "lr 1"]
    assert len(sections["The learning-rate basin"].figures[0].data) == 9
    assert "Shown: lr 0.1, the best of 3" in sections["Tickets and their controls"].finding
    assert "3 configurations × 3 seeds, 5 levels of pruning, 99 networks: 99 completed" in (
        sections["What was run"].finding
    )
    assert dense_only(results).history["level"].max() == 0
    one = sections_of(plant_tickets(tmp_path / "one", winning))
    assert "The best configurations" not in [section.title for section in one]


def test_no_lottery_no_section(tmp_path: Path) -> None:
    results = plant(tmp_path, lambda chosen, seed: 1.0 + seed)
    assert results.networks is None
    titles = [section.title for section in sections_of(results)]
    assert not {"Tickets and their controls", "What it cost", "Masks"} & set(titles)


@pytest.mark.parametrize("status", ["pending", "failed", "diverged", "running"])
def test_every_section_bears_a_study_without_results(tmp_path: Path, status: str) -> None:
    results = plant_tickets(tmp_path, lambda network: status, children=1, rewinds=(0, 10))
    assert all(section.finding for section in sections_of(results))
    assert failures_section(results).finding


@pytest.mark.parametrize("last", [0, 1, 2, 4])
def test_mid_sweep(tmp_path: Path, last: int) -> None:
    """Levels that are not there yet are not drawn, and not said to be anything."""

    def planted(network: Network) -> float | str:
        ahead = network.seed == 0
        return winning(network) if network.level < last + ahead else "pending"

    results = plant_tickets(
        tmp_path,
        planted,
        children=1,
        rewinds=(0, 10),
        prunings=({}, {"scope": "global"}),
        more=barriers(0.3, 0.1),
        probes=lambda n: densities(n) if n.level < last else [],
    )
    sections = {section.title: section for section in sections_of(results)}
    assert all(section.finding for section in sections.values())
    for section in sections.values():
        for figure in section.figures:
            assert len(figure.data)
            figure.spec({})
    tickets = sections["Tickets and their controls"]
    if last + 1 > 1:
        assert set(tickets.figures[0].data["level"]) == set(range(last + 1))
    assert "nan" not in " ".join(section.finding for section in sections.values())


def test_dense_networks_alone_are_planned_for(tmp_path: Path) -> None:
    results = plant_tickets(tmp_path, winning, levels=0)
    assert results.networks is None
    assert load_results(tmp_path).runs["configuration"].nunique() == 1


def test_children_are_no_tickets_and_no_dense_networks(tmp_path: Path) -> None:
    def planted(network: Network) -> float:
        return 0.1 if network.child else winning(network)

    results = plant_tickets(tmp_path, planted, children=2, bases=({"lr": 0.1}, {"lr": 0.5}))
    alone = plant_tickets(tmp_path / "alone", winning, bases=({"lr": 0.1}, {"lr": 0.5}))
    assert tickets_section(results).finding == tickets_section(alone).finding
    assert dense_only(results).ranked().equals(dense_only(alone).ranked())
    assert len(dense_only(results).runs) == 6


def test_children_of_a_seed_count_once_and_unclear_barriers_are_not_connected(
    tmp_path: Path,
) -> None:
    def more(network: Network) -> dict[str, float]:
        if not network.child:
            return {}
        wobble = 1 + 100 * WOBBLE[network.seed] + 0.02 * (network.child - 1.5)
        height = {0: 0.3, 10: 0.02, 20: 0.001}[network.rewind]
        return {"probe/barrier/test/error": height * wobble}

    results = plant_tickets(tmp_path, winning, children=2, rewinds=(0, 10, 20), more=more)
    section = made(connectivity_section(results))
    assert "linearly connected from step 20 on" in section.finding
    assert "from step 10 on" not in section.finding
    assert set(section.figures[0].data["n"]) == {3}


def test_ways_with_a_missing_seed_are_not_compared(tmp_path: Path) -> None:
    def planted(network: Network) -> float | str:
        way = network.pruning.get("criterion", "")
        if way == "random":
            return "diverged" if network.seed == 1 else 0.99
        return 0.9 - 0.02 * (way == "movement") + noise(network)

    ways = ({}, {"criterion": "random"}, {"criterion": "movement"})
    finding = made(variants_section(plant_tickets(tmp_path, planted, prunings=ways))).finding
    assert "beat those of movement" in finding
    assert "random" not in finding
