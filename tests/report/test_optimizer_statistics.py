"""Statistics of optimizers compared, against figures worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from orchestrator.report.second_order import Tuned, best_of, bootstrap, reach_of, score
from orchestrator.report.second_order.cost import relative_cost, share_interval
from orchestrator.report.second_order.profile import performance_profile, performance_ratios
from orchestrator.report.second_order.to_target import interval, tuned
from orchestrator.report.second_order.trials import methods, tasks, trials

INF = math.inf
TAKEN = np.array([[100.0, 150.0, INF], [300.0, 100.0, 250.0], [INF, 40.0, 400.0], [INF, INF, INF]])
"""Four problems × three methods; the last one is reached by none."""


def test_ratios_are_to_the_fastest_and_infinite_where_nothing_was_reached() -> None:
    found = performance_ratios(TAKEN)
    expected = [[1, 1.5, INF], [3, 1, 2.5], [INF, 1, 10], [INF, INF, INF]]
    assert found.tolist() == expected


def test_the_score_is_algoperfs() -> None:
    """By hand, r_max = 4: a problem adds (4 − r) / 3 of its share where r ≤ 4."""
    ratios = performance_ratios(TAKEN)
    by_hand = [(3 / 3 + 1 / 3) / 4, (2.5 / 3 + 3 / 3 + 3 / 3) / 4, (1.5 / 3) / 4]
    np.testing.assert_allclose(score(ratios, np.ones(4)), by_hand, rtol=1e-12)
    weighted = score(ratios, np.array([0.5, 0.5, 2.0, 1.0]))
    np.testing.assert_allclose(weighted[0], (0.5 * 1 + 0.5 / 3) / 4, rtol=1e-12)
    assert score(np.array([[1.0], [1.0]]), np.ones(2)).tolist() == [1.0]
    assert score(np.array([[4.0], [5.0], [INF]]), np.ones(3)).tolist() == [0.0]
    both = np.stack([ratios, ratios[:, ::-1]])
    np.testing.assert_allclose(score(both, np.ones(4))[1], by_hand[::-1], rtol=1e-12)


@pytest.mark.parametrize("r_max", [2.0, 4.0])
def test_the_score_is_the_integral_of_the_profile(r_max: float) -> None:
    ratios, weights = performance_ratios(TAKEN), np.array([1.0, 0.25, 0.5, 1.0])
    steps = performance_profile(ratios, "abc", weights, r_max)
    for place, name in enumerate("abc"):
        own = steps[steps["group"] == name]
        widths = np.diff(own["x"])
        area = float((widths * own["value"].to_numpy()[:-1]).sum()) / (r_max - 1)
        assert score(ratios, weights, r_max)[place] == pytest.approx(area, rel=1e-12)


def test_the_profile_by_hand() -> None:
    found = performance_profile(performance_ratios(TAKEN), "abc", np.ones(4))
    steps = {g: list(zip(own["x"], own["value"], strict=True)) for g, own in found.groupby("group")}
    assert steps == {
        "a": [(1, 0.25), (3, 0.5), (4, 0.5)],
        "b": [(1, 0.5), (1.5, 0.75), (4, 0.75)],
        "c": [(1, 0.0), (2.5, 0.25), (4, 0.25)],
    }


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_best_of_k_is_the_mean_over_all_ways_to_draw_them(k: int) -> None:
    costs, budget = np.array([7.0, INF, 3.0, 11.0, INF]), 31.0
    capped = np.minimum(costs, budget)
    ways = list(itertools.combinations(range(5), k))
    expected = np.mean([min(capped[list(way)]) for way in ways])
    assert best_of(costs, budget, k) == pytest.approx(expected, rel=1e-12)
    reached = np.mean([np.isfinite(costs[list(way)]).any() for way in ways])
    assert reach_of(costs, k) == pytest.approx(reached, rel=1e-12)


def one(values: list[list[float]], budget: float = 100.0) -> Tuned:
    return Tuned(
        points=tuple(f"p{i}" for i in range(len(values))),
        seeds=tuple(range(len(values[0]))),
        values=np.array(values),
        budget=budget,
    )


def test_a_point_needs_all_of_its_seeds() -> None:
    found = one([[5, 6, INF], [17, 13, 19], [11, math.nan, 11], [INF, math.nan, 3]])
    assert found.costs[[0, 3]].tolist() == [INF, INF]
    assert found.costs[1] == 17
    assert math.isnan(found.costs[2])
    assert (found.best, found.best_point) == (17, "p1")
    lost = one([[INF, 3, 5]])
    assert (lost.best, lost.best_point) == (INF, None)
    assert one([[math.nan, 3, 5]]).best == INF


def test_the_bootstrap_draws_seeds_and_chooses_anew() -> None:
    """Of all 27 draws of three seeds: the least of two points' medians."""
    found = one([[10, 20, 30], [24, 14, 25]])
    exact = [
        min(float(np.median(found.values[i, list(d)])) for i in range(2))
        for d in itertools.product(range(3), repeat=3)
    ]
    draws = bootstrap({"a": found, "b": one([[20, 40, 60]])}, resamples=20_000)
    for value in sorted(set(exact)):
        share = np.mean([one == value for one in exact])
        assert np.mean(draws["a"] == value) == pytest.approx(share, abs=0.015)
    again = bootstrap({"a": found}, resamples=20_000)["a"]
    assert again.tolist() == draws["a"].tolist()
    same = bootstrap({"a": one([[10, 20, 30]]), "b": one([[20, 40, 60]])})
    assert (same["b"] / same["a"]).tolist() == [2.0] * 1000  # paired


def test_a_seed_that_misses_makes_an_open_interval() -> None:
    draws = bootstrap({"a": one([[10, 20, INF], [50, 60, INF]])})["a"]
    low, high = interval(draws)
    assert low == 10
    assert high == INF
    assert interval(np.arange(1000.0)) == (25, 974)


def _runs() -> pd.DataFrame:
    """Two tasks on digits and one of least squares; sgd plain and Nesterov's, kfac."""
    rows = []
    for number, (targets, batch, name, nesterov, seed) in enumerate(
        itertools.product(("classes", "inputs"), (8, 32), ("sgd", "kfac"), (False, True), (0, 1))
    ):
        if name == "kfac" and nesterov:
            continue
        rows.append(
            {
                "run_id": f"r{number}",
                "config.data.name": "digits",
                "config.data.targets": targets,
                "config.model.name": "mlp",
                "config.optimizer.name": name,
                "config.optimizer.nesterov": nesterov if name == "sgd" else None,
                "config.optimizer.lr": 0.1 * (seed + 1),
                "config.optimizer.damping": 0.01 * batch if name == "kfac" else None,
                "config.optimizer.momentum": 0.9 if name == "sgd" else None,
                "config.train.batch_size": batch,
                "config.train.target.value": 0.3,
                "seed": seed,
                "status": ("completed", "diverged")[seed],
                "reason": ("target reached", "")[seed],
                "steps": 10 * batch,
                "examples": 10 * batch * batch,
                "wall_seconds": 0.5,
            }
        )
    return pd.DataFrame(rows)


def test_tasks_methods_and_points_are_told_apart() -> None:
    runs = _runs()
    assert set(tasks(runs)) == {"digits", "digits autoencoder"}
    assert set(methods(runs)) == {"sgd", "sgd, nesterov", "kfac"}
    table = trials(runs)
    assert set(table["problem"]) == {
        f"{task}, batch {size}" for task in ("digits", "digits autoencoder") for size in (8, 32)
    }
    assert set(table["weight"]) == {0.5}
    kfac = table[table["method"] == "kfac"]
    assert set(kfac["other"]) == {"damping"}
    assert set(kfac["second"]) == {0.08, 0.32}
    assert set(table.loc[table["method"] != "kfac", "other"]) == {""}
    assert kfac["point"].iloc[0] == "lr 0.1, damping 0.08"
    assert table["status"].tolist() == ["reached", "infeasible"] * (len(table) // 2)
    assert table["run_id"].tolist() == runs["run_id"].tolist()
    same = runs.assign(**{"config.data.targets": "classes"})
    assert set(tasks(same)) == {"digits"}
    models = same.assign(**{"config.model.name": ["mlp", "linear"] * (len(runs) // 2)})
    assert set(tasks(models)) == {"digits, mlp", "digits, linear"}
    widths = same.assign(**{"config.model.hidden": ["[3]", "[5]"] * (len(runs) // 2)})
    assert set(tasks(widths)) == {"digits", "digits (2)"}


def test_what_was_not_reached_took_infinitely_long() -> None:
    table = trials(_runs())
    found = tuned(table, "examples")["digits, batch 8", "kfac"]
    assert found.points == ("lr 0.1, damping 0.08", "lr 0.2, damping 0.08")
    assert found.values[0, 0] == 640
    assert found.values[1, 1] == INF
    assert np.isnan(found.values[0, 1])  # that run is not there


def test_step_costs_are_geometric_means_over_problems() -> None:
    rows = []
    for problem, scale in (("a", 1.0), ("b", 5.0)):
        for method, more in (("sgd", 1.0), ("kfac", 2.0 if problem == "a" else 8.0)):
            rows += [
                {
                    "run_id": f"{problem}{method}{i}",
                    "problem": problem,
                    "method": method,
                    "steps": 10.0 * (i + 1),
                    "seconds": 0.01 * scale * more * (i + 1),
                }
                for i in range(3)
            ]
    found = relative_cost(pd.DataFrame(rows), "sgd").set_index("method")
    assert found.loc["kfac", "value"] == pytest.approx(4.0)
    half = 12.706204736 * math.log(2.0) * math.sqrt(2) / math.sqrt(2)  # t of one degree of freedom
    assert found.loc["kfac", "high"] == pytest.approx(4 * math.exp(half), rel=1e-6)
    assert found.loc["sgd", ["low", "value", "high"]].tolist() == [1.0, 1.0, 1.0]
    assert found.loc["kfac", "slowest"] == pytest.approx(0.04)
    measured = [
        {"run_ids": ["asgd0"], "settings": {"choices": [{"seconds_per_step": 1.0}]}},
        {"run_ids": ["akfac1"], "settings": {"choices": [{"seconds_per_step": 3.0}]}},
        {"run_ids": ["bkfac1"], "settings": {"choices": [{"seconds_per_step": 99.0}]}},
        {"run_ids": ["bsgd1"], "settings": {"choices": [{"seconds_per_step": None}]}},
    ]
    found = relative_cost(pd.DataFrame(rows), "sgd", packs=measured).set_index("method")
    assert found.loc["kfac", "value"] == pytest.approx(math.sqrt(3 * 8))


def test_wilsons_interval() -> None:
    """Brown, Cai & DasGupta's formula, for 3 of 17."""
    p, n, z = 3 / 17, 17, 1.959963984540054
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert share_interval(3, 17) == pytest.approx((middle - half, middle + half), rel=1e-12)
    assert share_interval(0, 17)[0] == 0
    assert share_interval(17, 17)[1] == 1
