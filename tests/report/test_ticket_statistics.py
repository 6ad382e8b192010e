"""Statistics of the lottery sections against SciPy, written-out loops and hand-worked numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.report.networks import find_networks, network_labels
from orchestrator.report.sections.lottery.barriers import verdict
from orchestrator.report.sections.lottery.cell import as_differences, cell_of
from orchestrator.report.sections.lottery.matching import find_matching
from orchestrator.report.sections.lottery.measure import Measure, nearest, worded
from orchestrator.report.sections.lottery.overlap import expected_overlap, overlaps
from orchestrator.report.sections.lottery.stopping import stop_steps
from orchestrator.report.statistics import Difference, mean_intervals, paired_difference
from orchestrator.store.masks import Packed, overlap
from tests.report.tickets import Network, plant_tickets

ACCURACY = Measure(metric="test/accuracy", higher_is_better=True)


def difference(mean: float, half: float, pairs: int = 5) -> Difference:
    return Difference(mean=mean, low=mean - half, high=mean + half, pairs=pairs)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_of_means_are_scipys(confidence: float) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"a": [1] * 2 + [2] * 7, "value": rng.normal(size=9)})
    found = mean_intervals(frame, ["a"], "value", confidence).set_index("a")
    for key, own in frame.groupby("a")["value"]:
        low, high = stats.t.interval(confidence, len(own) - 1, own.mean(), stats.sem(own))
        row = found.loc[int(str(key))]
        assert row.tolist() == pytest.approx([own.mean(), low, high, len(own)], rel=1e-9)


def test_intervals_of_one_value_and_of_none() -> None:
    frame = pd.DataFrame({"a": [1, 2, 2, 3], "value": [5.0, 1.0, math.nan, math.nan]})
    found = mean_intervals(frame, ["a"], "value")
    assert found["a"].tolist() == [1, 2]
    assert found["mean"].tolist() == [5.0, 1.0]
    assert found[["low", "high"]].isna().all().all()
    assert found["n"].tolist() == [1, 1]


def test_differences_are_paired_by_seed_and_level(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    drawn: dict[tuple[int, str | None, int], float] = {}

    def planted(network: Network) -> float | str:
        key = (network.level, network.control, network.seed)
        drawn[key] = float(rng.uniform(0.5, 0.9)) + 0.3 * network.seed
        return "failed" if key == (2, "reinitialized", 3) else drawn[key]

    results = plant_tickets(tmp_path, planted, seeds=5, levels=3)
    cell = cell_of(results, ACCURACY, "the configuration", "")
    for kind, control in (("re-initialized", "reinitialized"), ("dense", "dense")):
        found = cell.differences(kind)
        assert sorted(found) == [1, 2, 3]
        for level in found:
            seeds = [s for s in range(5) if (level, control, s) != (2, "reinitialized", 3)]
            other = [
                drawn[(0, None, s)] if kind == "dense" else drawn[(level, control, s)]
                for s in seeds
            ]
            ours = paired_difference([drawn[(level, None, s)] for s in seeds], other)
            theirs = found[level]
            assert (theirs.mean, theirs.low, theirs.high) == pytest.approx(
                (ours.mean, ours.low, ours.high)
            )
            assert theirs.pairs == len(seeds)


def test_as_differences() -> None:
    frame = pd.DataFrame({"key": [4, 4], "d": [1.0, 3.0]})
    one = as_differences(mean_intervals(frame, ["key"], "d"))[4]
    assert (one.mean, one.pairs) == (2.0, 2)
    assert one == paired_difference([1.0, 3.0], [0.0, 0.0])


def test_matching_stops_at_the_first_level_that_is_worse() -> None:
    good, bad, alone = difference(-1, 2), difference(-3, 2), difference(-9, math.nan, 1)
    found = find_matching({1: good, 2: good, 3: bad, 4: good, 5: bad})
    assert found is not None
    assert (found.until, found.worse, found.again) == (2, 3, (4,))
    found = find_matching({2: good, 1: good})
    assert found is not None
    assert (found.until, found.worse, found.again) == (2, None, ())
    found = find_matching({1: bad, 2: bad})
    assert found is not None
    assert (found.until, found.worse, found.again) == (None, 1, ())
    found = find_matching({1: good, 2: alone, 3: good})
    assert found is not None
    assert found.until == 3
    assert find_matching({1: alone}) is None
    assert find_matching({}) is None


def test_levels_nearest_in_ratio() -> None:
    levels = {0: 1.0, 1: 0.5, 2: 0.21, 3: 0.1, 4: 0.04}
    assert nearest(levels, (0.2107, 0.1352, 0.0358)) == [2, 3, 4]
    # 0.15 is 0.05 from 0.1 and 0.06 from 0.21, but 0.21 is nearer in the ratio.
    assert nearest(levels, (0.15,)) == [2]
    assert nearest({0: 1.0, 1: 0.8}, (0.2107, 0.1352, 0.0358)) == [1]
    assert nearest({0: 1.0}, (0.2,)) == []


def test_sentences() -> None:
    said = worded(
        ACCURACY,
        {
            "at 21 %": difference(0.012, 0.004),
            "at 13 %": difference(0.02, 0.004),
            "at 5 %": difference(-0.001, 0.003),
            "at 2 %": difference(-0.02, 0.004, 4),
        },
        other="re-initialization",
    )
    assert said == (
        "Tickets at 21 % beat re-initialization by 1.2 pp (95 % interval +0.8 to +1.6, paired, 5 "
        "seeds); at 13 % by 2.0 pp (+1.6 to +2.4); at 5 % no difference is shown (−0.4 to +0.2); "
        "at 2 % they fall behind re-initialization by 2.0 pp (−2.4 to −1.6, 4 seeds)."
    )
    assert worded(ACCURACY, {}, other="x") == ""
    assert worded(ACCURACY, {"at 2 %": paired_difference([], [])}, other="x") == ""


def test_lower_is_better_turns_differences() -> None:
    loss = Measure(metric="test/loss", higher_is_better=False)
    assert loss.better(difference(0.5, 0.1)) == Difference(mean=-0.5, low=-0.6, high=-0.4, pairs=5)
    assert ACCURACY.better(difference(0.5, 0.1)) == difference(0.5, 0.1)
    assert (loss.percent, loss.log, ACCURACY.percent, ACCURACY.log) == (False, True, True, False)
    assert ACCURACY.signed(difference(-0.0001, 0.02)) == "+0.0 [−2.0, 2.0]"
    assert ACCURACY.signed(difference(-0.012, 0.004)) == "−1.20 [−1.60, −0.80]"


@pytest.mark.parametrize(
    ("low", "mean", "high", "expected"),
    [
        (0.0, 0.01, 0.019, "connected"),
        (0.021, 0.03, 0.04, "apart"),
        (0.01, 0.015, 0.02, "unclear"),
        (math.nan, 0.019, math.nan, "connected"),
        (math.nan, 0.02, math.nan, "apart"),
    ],
)
def test_verdicts(low: float, mean: float, high: float, expected: str) -> None:
    assert verdict(mean, low, high) == expected


def test_first_of_the_lowest_losses() -> None:
    rows = [("a", 3, 2.0), ("a", 1, 1.0), ("a", 2, 1.0), ("b", 5, math.nan), ("c", 7, 4.0)]
    history = pd.DataFrame(rows, columns=["run_id", "step", "loss"])
    ids = pd.Series(["a", "b"])
    assert stop_steps(history, ids, "loss", highest=False) == {"a": 1.0}
    assert stop_steps(history, ids, "loss", highest=True) == {"a": 3.0}


def packed(mask: Any) -> Packed:
    return Packed(np.packbits(np.asarray(mask, dtype=bool).ravel()), np.shape(mask))


def test_expected_overlap_is_that_of_random_masks() -> None:
    shares, sizes = (0.3, 0.05), (101, 499)
    masks = {str(n): np.arange(n) < round(s * n) for s, n in zip(shares, sizes, strict=True)}
    fixed = {name: packed(mask) for name, mask in masks.items()}
    rng = np.random.default_rng(13)
    drawn = [
        overlap(fixed, {name: packed(rng.permutation(mask)) for name, mask in masks.items()})
        for _ in range(2000)
    ]
    assert expected_overlap(fixed, fixed) == pytest.approx(np.mean(drawn), rel=0.02)
    one = {"x": packed(np.arange(100) < 36)}
    assert expected_overlap(one, one) == pytest.approx(0.36 / (2 - 0.36))
    none = {"x": packed(np.zeros((2, 3))), "y": packed(np.zeros((0, 3)))}
    assert expected_overlap(none, none) == 1


def test_overlaps_of_pairs_of_seeds() -> None:
    masks = {f"s{seed}": {"x": packed(np.arange(12) % 4 == seed // 2)} for seed in range(3)}
    table = pd.DataFrame(
        {"run_id": ["s0", "s1", "s2", "gone"], "seed": range(4), "level": 2, "density": 0.25}
    )

    def load(names: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        return {name: masks[name] for name in names if name in masks}, ["one is damaged"]

    shared, damage = overlaps(table, load)
    found = shared.iloc[0]
    # s0 = s1, and neither shares a weight with s2: 1, 0, 0.
    assert found["value"] == pytest.approx(1 / 3)
    assert (found["low"], found["high"], found["n"]) == (0, 1, 3)
    assert found["expected"] == pytest.approx(0.25 / 1.75)
    assert damage == ["one is damaged"]
    masks["s1"] = {"y": packed(np.ones(5))}
    masks.pop("s2")
    assert overlaps(table.assign(run_id="s0"), lambda names: (masks, []))[0].empty


def nodes(**columns: object) -> pd.DataFrame:
    base = {
        "run_id": ["a", "b", "c"],
        "seed": 0,
        "steps": [20, 0, 0],
        "epochs": [2.0, 0.0, 0.0],
        "examples": [220, 0, 0],
        "config.train.batch_size": 11,
        "config.train.epochs": 4.0,
        "config.lottery.level": [None, 1, 2],
        "config.lottery.rate": [None, 0.2, 0.2],
    }
    return pd.DataFrame(base | columns)


@pytest.mark.parametrize(
    ("columns", "steps"),
    [
        ({"config.lottery.rewind_to": [None, 0.0, 0.0]}, 0.0),
        ({"config.lottery.rewind_to": [None, 0.25, 0.25]}, 10.0),  # of 4 epochs of 10 steps
        ({"config.lottery.rewind_to.steps": [None, 7, 7]}, 7.0),
        ({"config.lottery.rewind_to.epochs": [None, 0.5, 0.5]}, 5.0),
    ],
)
def test_rewind_steps_in_every_unit(columns: dict[str, object], steps: float) -> None:
    runs = nodes(**columns)
    table, _ = find_networks(runs, pd.Series("base", index=runs.index), {})
    assert table is not None
    assert table["rewind"].tolist()[1:] == [steps, steps]
    assert table["density"].tolist() == pytest.approx([1, 0.8, 0.64])
    assert table["kind"].tolist() == ["dense", "tickets", "tickets"]


def test_a_rewind_step_that_is_not_known_yet_is_told_as_written() -> None:
    runs = nodes(**{"config.lottery.rewind_to": [None, 0.25, 0.5]})
    runs[["steps", "epochs", "examples"]] = 0
    table, _ = find_networks(runs, pd.Series("base", index=runs.index), {})
    assert table is not None
    assert table["rewind"].isna().all()
    assert table["setting"].tolist() == [
        None,
        "rewound to 0.25 of training",
        "rewound to 0.5 of training",
    ]


def test_labels_of_networks(tmp_path: Path) -> None:
    results = plant_tickets(tmp_path, lambda n: 0.9, levels=1, seeds=1, children=1, rewinds=(0, 10))
    assert results.networks is not None
    found = network_labels(results.networks).tolist()
    assert len(set(found)) == len(found)
    assert found[:3] == [
        "the configuration · dense",
        "the configuration · rewound to step 0 · dense · child 1",
        "the configuration · rewound to step 10 · dense · child 1",
    ]
    assert "the configuration · rewound to step 10 · level 1 · 60 % · re-initialized" in found
