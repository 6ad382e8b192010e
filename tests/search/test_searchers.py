"""Searchers by name: those that are here work, others say what to install."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from pathlib import Path

import pytest

from orchestrator.search.searchers import (
    PACKAGES,
    SearchError,
    Warm,
    make_advisor,
    missing_package,
)
from orchestrator.spec.searches import RAY_SEARCHERS
from tests.search.loop import STUDY, Drawn, study

CONDITIONAL = """\
study: searched
data: {name: digits}
model: {name: mlp, hidden: [5]}
train: {epochs: 3}
optimizer: {name: sgd, lr: 0.1}
search: {name: optuna, runs: 40}
sweep:
  optimizer.name: [sgd, adam]
  optimizer.lr: {log_uniform: [1.0e-4, 1.0]}
  optimizer.momentum: {uniform: [0.5, 0.9], when: {optimizer.name: sgd}}
  optimizer.weight_decay: {tied: 0.1 * optimizer.lr}
"""


def test_the_packages_of_all_searchers_are_known() -> None:
    assert {*RAY_SEARCHERS, "optuna"} == set(PACKAGES)


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_searcher_works_or_says_what_to_install(tmp_path: Path, name: str) -> None:
    one = study(tmp_path, STUDY.replace("tests.search.loop:Drawn", name))
    wanted = [(m, p) for m, p in PACKAGES[name].items() if importlib.util.find_spec(m) is None]
    if not wanted:
        assert missing_package(one) is None
        point = make_advisor(one, Warm()).ask("s-000000")
        assert isinstance(point, dict)
        one.configuration(point)
        return
    packages = [package for _, package in wanted]
    line = f"search.name: {name} needs {' and '.join(packages)}: pip install {' '.join(packages)}"
    with pytest.raises(SearchError) as caught:
        make_advisor(one, Warm())
    assert str(caught.value) == missing_package(one) == line


def made(one: object, warm: Warm) -> tuple[object, Drawn]:
    advisor = make_advisor(one, warm)  # type: ignore[arg-type]
    return advisor, advisor._searcher


class Listener(Drawn):
    """Takes evaluated points as they are."""

    def __init__(self, metric: object = None, mode: object = None, size: int = 0) -> None:
        super().__init__(metric, mode)
        self.size = size
        self.known: list[tuple[dict[str, float], float]] = []

    def add_evaluated_point(self, parameters: dict, value: float, **state: object) -> None:
        self.known.append((parameters, value))


class Replayer(Drawn):
    """Takes points to suggest first only."""

    def __init__(
        self, metric: object = None, mode: object = None, points_to_evaluate: object = ()
    ) -> None:
        super().__init__(metric, mode)
        self.first = list(points_to_evaluate)  # type: ignore[call-overload]

    def next(self) -> dict[str, float]:
        return self.first.pop(0) if self.first else super().next()


WARM = Warm(
    evaluated=[
        ({"optimizer.lr": 0.1, "optimizer.momentum": 0.5}, [3.0]),
        ({"optimizer.lr": 0.2, "optimizer.momentum": 0.6}, [2.0]),
    ],
    pending={"s-000002": {"optimizer.lr": 0.3, "optimizer.momentum": 0.7}},
    first=[{"optimizer.lr": 0.4}],
    asked=3,
)


def test_a_searcher_that_takes_evaluated_points_gets_them(tmp_path: Path) -> None:
    text = STUDY.replace("loop:Drawn", "test_searchers:Listener")
    one = study(tmp_path, text, "search.options={size: 7}")
    _, searcher = made(one, dataclasses.replace(WARM, first=[]))
    assert type(searcher).__name__ == "Listener"
    assert searcher.known == [(p, v[0]) for p, v in WARM.evaluated]  # type: ignore[attr-defined]
    assert searcher.size == 7  # type: ignore[attr-defined]
    assert searcher.metric == "valid/loss"
    assert searcher.mode == "min"


def test_other_searchers_replay_what_is_known(tmp_path: Path) -> None:
    one = study(tmp_path, STUDY.replace("loop:Drawn", "test_searchers:Replayer"))
    advisor, searcher = made(one, WARM)
    assert searcher.told == [("known-000000", 3.0), ("known-000001", 2.0)]
    asked = list(searcher.asked.values())
    assert asked[:2] == [point for point, _ in WARM.evaluated]
    assert searcher.asked["s-000002"] == WARM.pending["s-000002"]
    advisor.tell("s-000002", (1.0,))  # type: ignore[attr-defined]
    assert searcher.told[-1] == ("s-000002", 1.0)
    first = advisor.ask("s-000003")  # type: ignore[attr-defined]
    assert first["optimizer.lr"] == 0.4
    assert 0.0 <= first["optimizer.momentum"] <= 0.99


def test_a_searcher_that_takes_no_points_is_not_told_of_what_it_did_not_ask_for(
    tmp_path: Path,
) -> None:
    advisor, searcher = made(study(tmp_path), dataclasses.replace(WARM, first=[]))
    advisor.tell("s-000002", (1.0,))  # type: ignore[attr-defined]
    assert [value for _, value in searcher.told] == [None, None, None]


def test_first_points_that_a_searcher_cannot_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"^search\.first: .*Drawn takes no points_to_evaluate"):
        make_advisor(study(tmp_path), WARM)


def test_what_a_searcher_raises_is_one_line(tmp_path: Path) -> None:
    text = STUDY.replace("loop:Drawn", "test_searchers:Listener")
    with pytest.raises(SearchError, match=r"^search: .*: TypeError: .*unexpected keyword.*speed"):
        make_advisor(study(tmp_path, text, "search.options={speed: 7}"), Warm())
    text = STUDY.replace("tests.search.loop:Drawn", "tests.search.nothing:here")
    with pytest.raises(SearchError, match=r"^search\.name: .*nothing"):
        make_advisor(study(tmp_path, text), Warm())


def test_optuna_asks_for_an_axis_only_where_it_is(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    one = study(tmp_path, CONDITIONAL)
    advisor = make_advisor(one, Warm())
    seen = set()
    for number in range(40):
        point = advisor.ask(f"s-{number:06d}")
        assert isinstance(point, dict)
        seen.add(point["optimizer.name"])
        assert ("optimizer.momentum" in point) == (point["optimizer.name"] == "sgd")
        assert "optimizer.weight_decay" not in point
        one.configuration(point)
        advisor.tell(f"s-{number:06d}", (float(number),))
    assert seen == {"sgd", "adam"}


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "qmc", "nsgaii", "nsgaiii", "cmaes"])
def test_optuna_is_told_what_is_known(tmp_path: Path, sampler: str) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("cmaes") if sampler == "cmaes" else None
    one = study(
        tmp_path,
        STUDY.replace("tests.search.loop:Drawn", "optuna"),
        f"search.sampler={sampler}",
    )
    advisor = make_advisor(one, WARM)
    first = advisor.ask("s-000003")
    assert isinstance(first, dict)
    assert first["optimizer.lr"] == 0.4
    advisor.progress("s-000002", 1, 2.0)
    advisor.tell("s-000002", (1.0,))
    advisor.tell("s-000003", None)
    trials = advisor._searcher._ot_study.trials
    assert [trial.state.name for trial in trials] == ["WAITING"] * 0 + [
        "COMPLETE",
        "FAIL",
        "COMPLETE",
        "COMPLETE",
    ]
    assert sorted(t.value for t in trials if t.value is not None) == [1.0, 2.0, 3.0]
    for number in itertools.count(4):
        if number > 20:
            break
        assert isinstance(advisor.ask(f"s-{number:06d}"), dict)
        advisor.tell(f"s-{number:06d}", (float(number),))


def test_optuna_goes_on_with_other_points(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    one = study(tmp_path, STUDY.replace("tests.search.loop:Drawn", "optuna"))
    before = [make_advisor(one, Warm()).ask("s-000000") for _ in range(2)]
    assert before[0] == before[1], "a seed decides what is drawn"
    assert make_advisor(one, Warm(asked=1)).ask("s-000001") != before[0]


def test_optuna_takes_several_objectives(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    one = study(
        tmp_path,
        STUDY.replace("tests.search.loop:Drawn", "optuna")
        + "objective: [{metric: valid/loss}, {metric: valid/accuracy}]\n",
    )
    warm = Warm(evaluated=[({"optimizer.lr": 0.1, "optimizer.momentum": 0.5}, [3.0, 0.7])])
    advisor = make_advisor(one, warm)
    for number in range(20):
        point = advisor.ask(f"s-{number:06d}")
        assert isinstance(point, dict)
        advisor.tell(f"s-{number:06d}", (float(number), 1.0 - number))
    study_of = advisor._searcher._ot_study
    assert [direction.name for direction in study_of.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert len(study_of.trials) == 21
