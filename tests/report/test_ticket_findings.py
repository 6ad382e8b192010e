"""What was planted in a lottery study is what its report finds, and it finds nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from orchestrator.report.results import Results
from orchestrator.report.sections import sections_of
from orchestrator.report.sections.lottery.connectivity import connectivity_section
from orchestrator.report.sections.lottery.layers import layers_section
from orchestrator.report.sections.lottery.masks import masks_section
from orchestrator.report.sections.lottery.rewinding import rewinding_section
from orchestrator.report.sections.lottery.stopping import stopping_section
from orchestrator.report.sections.lottery.tickets import tickets_section
from orchestrator.report.sections.lottery.variants import variants_section
from orchestrator.report.sections.model import Section
from tests.report.tickets import Network, plant_tickets, write_masks

WOBBLE = (0.0, 0.001, -0.001)


def made(section: Section | None) -> Section:
    assert section is not None
    return section


def noise(network: Network, size: float = 0.001) -> float:
    """What differs between networks of one seed, and is no effect: its mean over levels is 0."""
    turn = network.seed + 2 * network.level + (1 if network.control else 0)
    return size * math.cos(2.1 * turn)


def winning(network: Network) -> float:
    """Tickets hold 95 % down to level 3, controls lose 1 pp a level; seeds differ by 0.5 pp."""
    loss = 0.01 * network.level if network.control else 0.02 * max(0, network.level - 3)
    return 0.95 - loss + 0.005 * network.seed + noise(network)


def test_tickets_win_until_they_stop_matching(tmp_path: Path) -> None:
    section = tickets_section(plant_tickets(tmp_path, winning))
    assert section.finding.startswith("Tickets match the dense network down to 21.6 %: at 13 % ")
    assert "they are worse by 2.0 pp (95 % interval −" in section.finding
    assert "Tickets at 21.6 % beat re-initialization by 3.0 pp (95 % interval +" in section.finding
    assert "paired, 3 seeds); at 13 % by 2.0 pp (+" in section.finding
    assert "Without a value" not in section.finding
    assert "Shown:" not in section.finding
    levels = section.tables[0]
    assert [row[1] for row in levels.rows] == [
        *("100 %", "60 %", "36 %", "21.6 %", "13 %", "7.78 %"),
    ]
    assert [row[3] for row in levels.rows] == ["3"] * 6
    assert section.figures[0].name == "tickets_test_accuracy"
    assert section.figures[1].name == "tickets_valid_accuracy"


def test_lines_begin_at_the_dense_network_and_are_means_over_seeds(tmp_path: Path) -> None:
    data = tickets_section(plant_tickets(tmp_path, winning)).figures[0].data
    assert list(dict.fromkeys(data["group"])) == ["tickets", "re-initialized"]
    first = data.groupby("group").first()
    assert first["x"].tolist() == [1.0, 1.0]
    dense = [0.95 + 0.005 * seed + 0.001 * math.cos(2.1 * seed) for seed in range(3)]
    assert first["value"].tolist() == pytest.approx([np.mean(dense)] * 2)
    at = data[(data["group"] == "tickets") & (data["level"] == 4)].iloc[0]
    assert at["x"] == pytest.approx(0.6**4)
    assert at["n"] == 3
    assert at["low"] < at["value"] < at["high"]


def test_controls_that_are_as_good_or_better(tmp_path: Path) -> None:
    section = tickets_section(plant_tickets(tmp_path / "same", lambda n: 0.9 + noise(n)))
    assert "At no level are tickets shown to be worse than the dense network" in section.finding
    assert "no difference between tickets and re-initialization is shown" in section.finding
    assert "beat" not in section.finding

    def losing(network: Network) -> float:
        return 0.9 + (0.01 if network.control else 0.0) + noise(network)

    section = tickets_section(plant_tickets(tmp_path / "worse", losing))
    assert "fall behind re-initialization by 1.0 pp (95 % interval −" in section.finding
    assert "beat" not in section.finding


def test_tickets_worse_from_the_first_level(tmp_path: Path) -> None:
    def failing(network: Network) -> float:
        return 0.9 - 0.05 * (network.level > 0) + noise(network)

    finding = tickets_section(plant_tickets(tmp_path, failing)).finding
    assert finding.startswith("Tickets are worse than the dense network from 60 % on, by 5.0 pp")
    assert "match" not in finding


def test_one_seed_says_nothing_of_chance(tmp_path: Path) -> None:
    finding = tickets_section(plant_tickets(tmp_path, winning, seeds=1)).finding
    assert finding.startswith("Whether tickets match the dense network nobody can say")
    assert "with one shared seed: nobody can say whether by chance" in finding
    assert "interval" not in finding


@pytest.mark.parametrize(
    ("measured", "gap"), [("error", "by 2.0 pp ("), ("loss", "in test loss by 0.020 (")]
)
def test_lower_is_better(tmp_path: Path, measured: str, gap: str) -> None:
    def rising(network: Network) -> float:
        return 0.1 + (0.02 if network.control else 0.0) + noise(network)

    results = plant_tickets(tmp_path, rising, measured=measured)
    section = tickets_section(results)
    assert section.figures[0].columns["value"] == f"test/{measured}"
    assert f"beat re-initialization {gap}" in section.finding


def test_networks_without_a_value_are_told(tmp_path: Path) -> None:
    def planted(network: Network) -> float | str:
        if network.level == 4 and network.seed == 1 and network.control is None:
            return "diverged"
        return winning(network)

    results = plant_tickets(tmp_path, planted)
    section = tickets_section(results)
    assert "Without a value: 1 of 15 tickets (1 diverged)." in section.finding
    assert any("flatters what diverges" in note for note in section.notes)
    assert section.tables[0].rows[4][3] == "2"
    labels = next(made for made in sections_of(results) if "did not" in made.title)
    assert labels.tables[0].rows[0][3] == "the configuration · level 4 · 13 % · tickets"
    whole = tickets_section(plant_tickets(tmp_path / "whole", winning))
    assert not any("flatters" in note for note in whole.notes)


def test_early_stops(tmp_path: Path) -> None:
    def stop(network: Network) -> int:
        return 4 if not network.level or network.control else 2 + (network.seed == 0)

    section = made(stopping_section(plant_tickets(tmp_path, winning, stop=stop)))
    data = section.figures[0].data
    tickets = data[(data["group"] == "tickets") & (data["level"] == 2)].iloc[0]
    assert tickets["value"] == pytest.approx(7 * (3 + 2 + 2) / 3)
    assert "11.7 steps earlier than the dense network (95 % interval −22 to −2" in section.finding
    assert "earlier than with re-initialization" in section.finding
    even = made(stopping_section(plant_tickets(tmp_path / "even", winning)))
    assert "not shown to be faster or slower" in even.finding
    assert "earlier" not in even.finding


def test_ways_of_pruning(tmp_path: Path) -> None:
    ways = ({}, {"criterion": "random"}, {"criterion": "movement"})

    def planted(network: Network) -> float:
        gap = {"random": 0.05, "movement": 0.02}.get(network.pruning.get("criterion", ""), 0.0)
        return 0.9 - gap * (network.level > 0) + noise(network)

    results = plant_tickets(tmp_path, planted, prunings=ways)
    section = made(variants_section(results))
    assert "Tickets of magnitude at 21.6 % beat those of movement, next in line, by" in (
        section.finding
    )
    assert "The last of 3, random, is 5.0 pp behind." in section.finding
    assert set(section.figures[0].data["group"]) == {"magnitude", "random", "movement"}
    every = tickets_section(results).tables[1]
    assert [row[1] for row in every.rows] == ["magnitude", "random", "movement"]
    assert [row[4] for row in every.rows] == ["7.78 %", "not at all", "not at all"]
    assert variants_section(plant_tickets(tmp_path / "one", winning)) is None
    assert len(tickets_section(plant_tickets(tmp_path / "two", winning)).tables) == 1


def test_rewinding(tmp_path: Path) -> None:
    steps = (0, 10, 20)

    def planted(network: Network) -> float:
        late = 0.03 * (network.level >= 3) * (network.rewind < 20)
        return 0.9 - late + noise(network, 0.002)

    section = made(rewinding_section(plant_tickets(tmp_path, planted, rewinds=steps)))
    assert "Tickets rewound to step 20 at 21.6 % beat those rewound to step 0 by 3.0 pp" in (
        section.finding
    )
    assert (
        "At 21.6 %, tickets match the dense network from step 20 on, and are worse than it up to "
        "step 10." in section.finding
    )
    data = section.figures[0].data
    assert sorted(set(data["x"])) == [0.0, 10.0, 20.0]
    assert list(dict.fromkeys(data["group"])) == ["13 %", "21.6 %", "7.78 %"]
    assert rewinding_section(plant_tickets(tmp_path / "one", winning)) is None

    flat = plant_tickets(tmp_path / "flat", lambda n: 0.9 + 0.01 * WOBBLE[n.seed], rewinds=steps)
    finding = made(rewinding_section(flat)).finding
    assert "none of 3 steps is better than the first, 0" in finding
    assert "beat" not in finding
    assert "match" not in finding


def densities(network: Network) -> list[tuple[str, str, float]]:
    if not network.level:
        return []
    gone = network.level == 5 and network.seed == 2
    return [
        ("density", "0.weight", network.density / 2),
        ("density", "2.weight", 0.0 if gone else network.density * 1.25),
    ]


def test_layers(tmp_path: Path) -> None:
    def more(network: Network) -> dict[str, float]:
        gone = network.level == 5 and network.seed == 2
        return {
            "probe/effective_density": network.density * (0.9 if network.level == 5 else 1),
            "probe/collapsed": float(gone),
        }

    results = plant_tickets(tmp_path, winning, more=more, probes=densities)
    section = made(layers_section(results))
    assert "At 13 %, 2.weight keeps most, 16.2 % of its weights, and 0.weight least, 6.48 %." in (
        section.finding
    )
    assert "At 7.78 %, 10 % of the weights left lie on no path" in section.finding
    assert (
        "Tickets with a collapsed layer (2.weight): 1 of 3 at 7.78 %. They answer all alike."
        in section.finding
    )
    cells = section.figures[0].data.set_index(["level", "layer"])
    assert cells.loc[(1, "0.weight"), "value"] == pytest.approx(0.3)
    assert cells.loc[(1, "0.weight"), "x"] == "60 %"
    sound = plant_tickets(
        tmp_path / "sound",
        winning,
        more=lambda n: {"probe/collapsed": 0.0, "probe/effective_density": n.density},
        probes=lambda n: [("density", f"{k}.weight", n.density) for k in (0, 2)],
    )
    finding = made(layers_section(sound)).finding
    assert "No layer of 15 tickets has collapsed." in finding
    assert "all layers keep the same share" in finding
    assert "every weight left is on a path" in finding
    bare = plant_tickets(tmp_path / "bare", winning)
    assert layers_section(bare) is None


def barriers(high: float, low: float) -> object:
    def more(network: Network) -> dict[str, float]:
        if not network.child:
            return {}
        value = high if network.rewind < 20 else low
        return {"probe/barrier/test/error": value * (1 + 0.1 * WOBBLE[network.seed] / 0.001)}

    return more


def lines(network: Network) -> list[tuple[str, str, float]]:
    if not network.child:
        return []
    return [("line/test/error", f"{a:.3g}", a * (1 - a)) for a in (0, 0.25, 0.5, 0.75, 1)]


def test_instability(tmp_path: Path) -> None:
    planted = {"children": 2, "probes": lines, "more": barriers(0.3, 0.001)}
    results = plant_tickets(tmp_path, winning, rewinds=(0, 20), **planted)
    section = made(connectivity_section(results))
    assert "Children of the dense network are linearly connected from step 20 on, where" in (
        section.finding
    )
    assert "at step 0: 30.0 pp" in section.finding
    assert "below 2 pp, as in Frankle et al. 2020" in section.finding
    names = [figure.name for figure in section.figures]
    assert names[:3] == ["barrier", "barrier_rewind", "line_level_0"]
    line = section.figures[2].data
    assert line[line["x"] == 0.5]["value"].tolist() == [0.25, 0.25]
    assert line["n"].tolist() == [3] * 10

    planted = {"children": 1, "more": barriers(0.3, 0.3)}
    apart = plant_tickets(tmp_path / "apart", winning, **planted)
    finding = made(connectivity_section(apart)).finding
    assert finding.startswith(
        "Children that part at step 0 are not linearly connected (barrier of the dense network: "
        "30.0 pp, 22.5 to 37.5, 3 seeds; of tickets at 21.6 %: "
    )
    assert "are linearly connected" not in finding
    planted = {"children": 1, "more": barriers(0.02, 0.02)}
    near = plant_tickets(tmp_path / "near", winning, **planted)
    assert "may or may not be linearly connected" in made(connectivity_section(near)).finding
    assert connectivity_section(plant_tickets(tmp_path / "none", winning)) is None


def keep_masks(results: Results, *, alike: bool) -> None:
    assert results.networks is not None
    assert results.folder is not None
    table = results.networks
    for row in table[table["kind"] == "tickets"].itertuples():
        draw = np.random.default_rng(row.level if alike else 31 * row.seed + row.level)
        masks = {"0.weight": draw.random((83, 89)) < row.density}
        write_masks(results.folder, str(row.run_id), masks)


def test_masks(tmp_path: Path) -> None:
    def more(network: Network) -> dict[str, float]:
        good = 0.1 if network.control else 0.4
        return {"probe/supermask/test/accuracy": good + noise(network)}

    results = plant_tickets(tmp_path, winning, more=more)
    keep_masks(results, alike=True)
    section = made(masks_section(results))
    assert "Masked but not trained, tickets come to 40 % test accuracy" in section.finding
    assert "Untrained tickets at 13 % beat re-initialization by 30.0 pp" in section.finding
    assert "At 13 %, masks of two seeds share 100 % of the weights that either keeps" in (
        section.finding
    )
    random = plant_tickets(tmp_path / "random", winning)
    keep_masks(random, alike=False)
    section = made(masks_section(random))
    assert "not clearly more than by chance (3 pairs)" in section.finding
    assert "times as much" not in section.finding
    assert "Untrained" not in section.finding
    data = section.figures[0].data
    chance = data[data["group"] == "random masks"].set_index("level")["value"]
    assert chance[2] == pytest.approx(0.36 / (2 - 0.36), rel=0.05)
    assert masks_section(plant_tickets(tmp_path / "none", winning)) is None


def test_masks_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    results = plant_tickets(tmp_path, winning)
    keep_masks(results, alike=True)
    for path in (tmp_path / "runs").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    section = made(masks_section(results))
    assert section.finding == "No two masks can be compared yet."
    assert "damaged" in section.notes[-1]
