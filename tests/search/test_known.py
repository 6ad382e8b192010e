"""What the store knows is what a fresh searcher is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.plan import unique_runs
from orchestrator.search.known import asked_before, kept_suggestions, runs_of, warm_start
from orchestrator.spec import Study
from orchestrator.store import Store, Suggestion
from tests.search.loop import STUDY, Drawn, outcome, source_of, study
from trainables.configs.function_run import Run, as_columns

POINTS = [{"optimizer.lr": rate, "optimizer.momentum": 0.5} for rate in (0.1, 0.2, 0.3, 0.4)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store") as one:
        yield one


def suggest(store: Store, one: Study, number: int) -> dict[str, Run]:
    runs = runs_of(one, POINTS[number])
    suggestion = Suggestion(
        suggestion_id=f"s-{number:06d}", point=POINTS[number], run_ids=tuple(runs)
    )
    store.add_suggestions(
        [suggestion], ((name, run.seed, as_columns(run)) for name, run in runs.items())
    )
    return runs


def end(store: Store, runs: dict[str, Run], *losses: float, status: str = "completed") -> None:
    found = [outcome(n, status, loss=x) for n, x in zip(runs, losses, strict=False)]
    store.record("pack", [], found)


def test_ended_suggestions_are_told_and_others_are_out(tmp_path: Path, store: Store) -> None:
    one = study(tmp_path, STUDY + "seeds: 2\n")
    end(store, suggest(store, one, 0), 1.0, 3.0)
    end(store, suggest(store, one, 1), 5.0)
    end(store, suggest(store, one, 2), 1.0, float("nan"), status="diverged")
    end(store, suggest(store, one, 3), 1.0, 2.0, status="failed")
    warm = warm_start(one, store, kept_suggestions(one, store))
    assert warm.evaluated == [(POINTS[0], [2.0]), (POINTS[2], [2.0])], "the worst of those known"
    assert dict(warm.pending) == {"s-000001": POINTS[1], "s-000003": POINTS[3]}
    assert warm.asked == asked_before(store) == 4


def test_more_seeds_make_suggestions_go_on(tmp_path: Path, store: Store) -> None:
    end(store, suggest(store, study(tmp_path), 0), 1.0)
    wider = study(tmp_path, STUDY + "seeds: 3\n")
    (kept,) = kept_suggestions(wider, store)
    assert [run.seed for run in kept.runs.values()] == [0, 1, 2]
    assert list(warm_start(wider, store, [kept]).pending) == ["s-000000"]
    searcher = Drawn("valid/loss", "min")
    source, _ = source_of(wider, searcher, known=[kept], outcomes=store.outcomes(), asked=1)
    first = source.take(2, None)
    assert first is not None
    assert [run.seed for run in first.values()] == [1, 2], "what was trained is not trained again"
    source.tell([outcome(name, "completed", loss=4.0) for name in first], [])
    assert searcher.told == [("s-000000", 3.0)]


def test_suggestions_that_left_the_space_do_not_count(tmp_path: Path, store: Store) -> None:
    one = study(tmp_path)
    for number in range(4):
        end(store, suggest(store, one, number), 1.0 + number)
    narrow = study(tmp_path, STUDY.replace("[1.0e-4, 1.0]", "[1.0e-4, 0.25]"))
    kept = kept_suggestions(narrow, store)
    assert [asked.name for asked in kept] == ["s-000000", "s-000001"]
    assert [values for _, values in warm_start(narrow, store, kept).evaluated] == [[1.0], [2.0]]
    longer = study(tmp_path, STUDY.replace("epochs: 3", "epochs: 4"))
    assert kept_suggestions(longer, store) == [], "another training is another study"


def test_the_grid_that_a_study_was_before_is_told_but_does_not_count(
    tmp_path: Path, store: Store
) -> None:
    text = STUDY.replace('search: {name: "tests.search.loop:Drawn", runs: 13}\n', "")
    text = text.replace("{log_uniform: [1.0e-4, 1.0]}", "[0.1, 0.2, 2.0]")
    grid = study(tmp_path, text.replace("{uniform: [0.0, 0.99]}", "[0.5]"))
    runs = unique_runs(grid.runs())
    store.plan_runs((name, run.seed, as_columns(run)) for name, run in runs.items())
    end(store, runs, 1.0, 2.0, 3.0)
    store.plan_runs([])
    one = study(tmp_path)
    assert kept_suggestions(one, store) == []
    warm = warm_start(one, store, [])
    assert warm.evaluated == [(POINTS[0], [1.0]), (POINTS[1], [2.0])], "2.0 is not in the space"
    assert dict(warm.pending) == {}


def test_first_points_are_suggested_once(tmp_path: Path, store: Store) -> None:
    text = STUDY.replace("runs: 13", "runs: 13, first: [{lr: 0.1}, {lr: 0.5}]")
    one = study(tmp_path, text)
    assert warm_start(one, store, []).first == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.5}]
    suggest(store, one, 0)
    warm = warm_start(one, store, kept_suggestions(one, store))
    assert warm.first == [{"optimizer.lr": 0.5}]


def test_ended_runs_count_among_the_studys(tmp_path: Path, store: Store) -> None:
    one = study(tmp_path, STUDY, "search.runs=3")
    for number in range(2):
        end(store, suggest(store, one, number), 1.0)
    kept = kept_suggestions(one, store)
    searcher = Drawn("valid/loss", "min")
    source, more = source_of(
        one, searcher, known=kept, outcomes=store.outcomes(), asked=asked_before(store)
    )
    assert len(source.take(8, None) or {}) == 1
    assert [asked.name for asked in more] == ["s-000002"]
    assert searcher.told == [], "what is known was told before"
