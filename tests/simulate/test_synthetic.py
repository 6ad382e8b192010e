"""Synthetic curves against their formula, and the optimum against a search of the whole cube."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from orchestrator.simulate.coordinates import Coordinates
from orchestrator.simulate.curve import SimulateError
from orchestrator.simulate.synthetic import Landscape, Synthetic, evaluations
from orchestrator.spec.study import OwnObjective
from tests.simulate.studies import study
from trainables.configs import RunConfig
from trainables.configs.run import run_id

PATHS = ("optimizer.momentum", "optimizer.lr", "train.clip_norm")


def test_a_curve_is_its_formula(tmp_path: Path) -> None:
    one = study(tmp_path)
    made = Synthetic(one, [one.objective], 5, noise=0.0)
    land = made.landscape
    seen = set()
    for run in one.runs():
        assert isinstance(run, RunConfig)
        rate = math.log(run.optimizer.lr / 1e-4) / math.log(1e4)
        place = (rate, run.optimizer.momentum / 0.99)
        floor = 0.05 * (
            1
            + sum(
                w * (u - c) ** 2 for w, u, c in zip(land.weights, place, land.centre, strict=True)
            )
        )
        ahead = (rate - land.centre[0] - 0.2) / 0.35
        alpha = 1.6 * math.exp(-0.5 * ahead * ahead)
        curve = made.of(run_id(run), run)
        expected = [
            floor + (math.log(10) - floor) * (1 + 30 * k / 29) ** -alpha for k in range(1, 30)
        ]
        beyond = rate - land.centre[0] - 0.3
        seen.add(beyond > 0)
        found = list(curve.values["valid/loss"])
        if beyond > 0:
            share = 0.3 * math.exp(-10 * beyond)
            count = next(k for k in range(1, 30) if k / 29 >= share)
            assert (curve.status, len(found)) == ("diverged", count)
            assert math.isnan(found.pop())
            expected = expected[: count - 1]
        assert found == pytest.approx(expected, rel=1e-9)
        assert list(curve.batches) == [37 * k for k in range(1, len(curve.batches) + 1)]
        assert curve.examples[-1] == curve.batches[-1] * 31
    assert seen == {True, False}


@pytest.mark.parametrize("seed", range(5))
def test_nothing_in_the_cube_is_better_than_the_best(seed: int) -> None:
    land = Landscape(PATHS, seed)
    best = land.best()

    def end(u: np.ndarray) -> float:
        return 9.0 if land.diverges_at(u) else float(land.loss(u, np.ones(1))[0])

    drawn = np.random.default_rng(seed).uniform(size=(2000, 3))
    assert min(map(end, drawn)) >= best
    start = min(drawn, key=end)
    found = minimize(end, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    assert found.fun == pytest.approx(best, rel=1e-4)
    assert found.fun >= best * (1 - 1e-6)


def test_noise_is_the_runs_own_and_of_the_size_asked_for(tmp_path: Path) -> None:
    one = study(
        tmp_path, "seeds=5", "search.runs=101", "sweep={optimizer.momentum: {uniform: [0, 0.9]}}"
    )
    plain = Synthetic(one, [one.objective], 0, noise=0.0)
    noisy, again = (Synthetic(one, [one.objective], 0, noise=0.05) for _ in range(2))
    logs = []
    for run in reversed(one.runs()):
        name = run_id(run)
        there, here = np.array(plain.of(name, run).values["valid/loss"]), noisy.of(name, run)
        assert list(here.values["valid/loss"]) == list(again.of(name, run).values["valid/loss"])
        logs.append(np.log(np.array(here.values["valid/loss"]) / there))
    logs = [one for one in logs if len(one) == 29 and np.isfinite(one).all()]
    levels = np.array([one.mean() for one in logs])
    within = np.array([one.std(ddof=1) for one in logs])
    assert np.sqrt((within**2).mean()) == pytest.approx(0.05, rel=0.05)
    assert levels.std() == pytest.approx(0.05 * math.sqrt(1 + 1 / 29), rel=0.12)
    assert abs(levels.mean()) < 0.01


def test_other_metrics_follow_from_the_loss(tmp_path: Path) -> None:
    one = study(tmp_path)
    names = {"valid/loss": "min", "valid/accuracy": "max", "valid/error": "min"}
    metrics = [OwnObjective(metric=n, mode=m) for n, m in names.items()]  # type: ignore[arg-type]
    made = Synthetic(one, [*metrics, OwnObjective(metric="valid/perplexity", mode="min")], 0, 0.01)
    run = one.runs()[0]
    values = {name: np.array(v) for name, v in made.of(run_id(run), run).values.items()}
    loss = values["valid/loss"]
    assert values["valid/accuracy"] == pytest.approx(np.exp(-loss), nan_ok=True)
    assert values["valid/error"] == pytest.approx(1 - np.exp(-loss), nan_ok=True)
    assert values["valid/perplexity"] == pytest.approx(np.exp(loss), nan_ok=True)
    assert made.best(metrics[1]) == pytest.approx(math.exp(-made.best(metrics[0])))


@pytest.mark.parametrize(
    ("target", "bound"),
    [("{metric: valid/loss, value: 0.3}", 0.3), ("{metric: valid/accuracy, value: 0.7}", -1)],
)
def test_a_run_ends_at_its_target(target: str, bound: float, tmp_path: Path) -> None:
    one = study(tmp_path, f"train.target={target}")
    plain = study(tmp_path)
    bound = bound if bound > 0 else -math.log(0.7)
    made, whole = (Synthetic(s, [s.objective], 7, 0.01) for s in (one, plain))
    # The noise is drawn by the id of the run.
    ends = set()
    for run, other in zip(one.runs(), plain.runs(), strict=True):
        curve = made.of("same", run)
        full = list(whole.of("same", other).values["valid/loss"])
        made._known.clear(), whole._known.clear()
        first = next((k for k, loss in enumerate(full) if loss < bound), None)
        ends.add(first is None)
        if first is None:
            assert curve.reason != "target reached"
            assert len(curve.batches) == len(full)
        else:
            assert (curve.status, curve.reason) == ("completed", "target reached")
            assert list(curve.values["valid/loss"]) == full[: first + 1]
            assert len(curve.batches) == len(curve.examples) == first + 1
    assert ends == {True, False}


def test_evaluations_stand_where_the_engine_has_them(tmp_path: Path) -> None:
    growing = study(
        tmp_path,
        "train={epochs: 7, batch_size: 31, evaluate_every: {epochs: 2},"
        " batch_growth: {factor: 2, milestones: [{epochs: 3}]}}",
    )
    run = growing.runs()[0]
    assert isinstance(run, RunConfig)
    batches, steps, per_epoch = evaluations(run)
    assert per_epoch == 37
    assert batches[0] == steps[0] == 74
    assert batches[-1] == 7 * 37
    # Three epochs of single batches, then pairs: ⌈37 / 2⌉ steps an epoch.
    assert steps[-1] == 3 * 37 + 4 * 19
    odd = study(tmp_path, "train={steps: 100, batch_size: 31, evaluate_every: {steps: 41}}").runs()[
        0
    ]
    assert isinstance(odd, RunConfig)
    assert evaluations(odd)[0] == [41, 82, 100]


def test_places_in_the_cube(tmp_path: Path) -> None:
    one = study(
        tmp_path,
        "search={name: grid}",
        "sweep={optimizer.lr: [0.01, 0.1, 1.0], train.epochs: [10, 20, 15],"
        " schedule: [{name: constant}, {name: cosine, warmup: 0.1}, {name: linear}]}",
    )
    places = Coordinates(one.space)
    found = {places.of(run) for run in one.runs()}
    assert len(found) == 27
    first = next(iter(places.of(run) for run in one.runs()))
    assert first == pytest.approx((0.0, 0.0, 0.0))
    assert sorted({round(u[0], 12) for u in found}) == [0.0, 0.5, 1.0]
    assert {u[1] for u in found} == {0.0, 0.5, 1.0}
    assert {u[2] for u in found} == {0.0, 0.5, 1.0}
    apart = places.distances((0.25, 0.0, 0.0), np.array([[0.0, 0.5, 0.0], [0.25, 0.0, 0.5]]))
    assert apart == pytest.approx([math.hypot(0.25, 0.5), 1.0])
    missing = places.distances((math.nan, 0.0, 0.0), np.array([[math.nan, 0.0, 0.0], [0.5, 0, 0]]))
    assert missing == pytest.approx([0.0, 1.0])


def test_a_length_that_is_not_known_is_said(tmp_path: Path) -> None:
    own = study(
        tmp_path,
        text="study: own\ntrainable: theirs:train\nsweep: {config.x: [1, 2]}\n"
        "objective: {metric: loss}\n",
    )
    with pytest.raises(SimulateError, match="your own training takes is not known"):
        Synthetic(own, [own.objective], 0, 0.0)
    unknown = study(tmp_path, "data={name: arrays, path: theirs.npz}")
    made = Synthetic(unknown, [unknown.objective], 0, 0.0)
    with pytest.raises(SimulateError, match="how many steps an epoch has"):
        made.of("a", unknown.runs()[0])
