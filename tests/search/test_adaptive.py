"""A searcher as a source of runs: what it is asked, and what it is told."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.search.adaptive import MAX_TRIES
from tests.search.loop import STUDY, Drawn, basin, outcome, simulate, source_of, study
from trainables.configs.run import RunConfig, fusion_key

SEEDED = STUDY + "seeds: 3\n"


def test_every_suggestion_is_told_once_as_the_mean_of_its_seeds(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path, SEEDED), searcher)
    values = simulate(source, basin)
    assert Counter(name for name, _ in searcher.told) == Counter(one.name for one in kept)
    assert len(kept) == 13
    assert len(values) == 39
    for one in kept:
        mean = statistics.fmean(values[run][1] for run in one.runs)
        assert dict(searcher.told)[one.name] == pytest.approx(mean, rel=1e-12)
        assert {run.seed for run in one.runs.values()} == {0, 1, 2}


def test_the_seeds_of_a_suggestion_stay_in_one_pack(tmp_path: Path) -> None:
    source, kept = source_of(study(tmp_path, SEEDED), Drawn("valid/loss", "min"))
    taken = source.take(8, None)
    assert taken is not None
    assert len(taken) == 6
    assert set(taken) == {run for one in kept[:2] for run in one.runs}
    assert len(kept) == 2, "nothing is asked for before there is a lane for it"


def test_more_seeds_than_lanes_take_several_packs(tmp_path: Path) -> None:
    source, kept = source_of(
        study(tmp_path, STUDY + "seeds: 7\n"), Drawn("valid/loss", "min"), outstanding=1
    )
    sizes = [len(source.take(3, None) or {}) for _ in range(3)]
    assert sizes == [3, 3, 1]
    assert source.take(3, None) is None
    assert len(kept) == 1


def test_the_order_in_which_runs_end_does_not_matter(tmp_path: Path) -> None:
    told = []
    for shuffle in (1, 2):
        searcher = Drawn("valid/loss", "min")
        source, _ = source_of(study(tmp_path, SEEDED), searcher)
        simulate(source, basin, shuffle=shuffle)
        told.append(searcher.told)
    assert told[0] != told[1]
    assert {n: pytest.approx(v, rel=1e-12) for n, v in told[0]} == dict(told[1])


def test_a_suggestion_is_told_when_its_last_seed_ends_not_when_its_pack_does(
    tmp_path: Path,
) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path, SEEDED), searcher)
    source.take(6, None)
    first, second, third = kept[0].runs
    source.tell([outcome(first, "completed", loss=2.0), outcome(third, "running", loss=7.0)], [])
    source.tell([outcome(second, "stopped", loss=4.0)], [])
    assert searcher.told == []
    last = outcome(third, "completed", loss=9.0)
    source.tell([last], [])
    source.tell([last], [])
    assert searcher.told == [("s-000000", 5.0)]


@pytest.mark.parametrize(("mode", "worst"), [("min", 7.0), ("max", 3.0)])
def test_what_diverged_is_told_as_the_worst_so_far(tmp_path: Path, mode: str, worst: float) -> None:
    searcher = Drawn("valid/loss", mode)
    source, kept = source_of(study(tmp_path, STUDY, f"objective.mode={mode}"), searcher)
    source.take(5, None)
    a, b, c, d, e = (next(iter(one.runs)) for one in kept)
    source.tell([outcome(a, "diverged", loss=float("nan"))], [])
    for name, value in ((b, 3.0), (c, 7.0)):
        source.tell([outcome(name, "completed", loss=value)], [])
    source.tell([outcome(d, "diverged", loss=float("inf"))], [])
    source.tell([outcome(e, "failed", loss=5.0)], [])
    assert searcher.told == [
        ("s-000000", None),
        ("s-000001", 3.0),
        ("s-000002", 7.0),
        ("s-000003", worst),
        ("s-000004", None),
    ]


def test_a_seed_that_diverged_makes_its_suggestion_diverge(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path, STUDY + "seeds: 2\n"), searcher)
    source.take(4, None)
    a, b = kept[0].runs
    c, d = kept[1].runs
    source.tell([outcome(name, "completed", loss=3.0) for name in (a, b, c)], [])
    source.tell([outcome(d, "diverged", loss=0.1)], [])
    assert [value for _, value in searcher.told] == [3.0, 3.0]


def test_progress_is_the_mean_over_the_seeds_that_have_all_reached_it(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path, STUDY + "seeds: 2\n"), searcher)
    source.take(4, None)
    first, second = kept[0].runs

    def row(run: str, step: int, loss: float) -> dict[str, object]:
        return {"run_id": run, "step": step, "valid/loss": loss}

    source.tell([], [row(first, 11, 4.0)])
    source.tell([], [row(first, 22, 3.0), row(second, 11, 6.0)])
    source.tell([], [row(first, 22, 3.0), row(second, 22, float("nan"))])
    source.tell([], [row(first, 33, 1.0), row(second, 33, 2.0)])
    assert searcher.progress == [("s-000000", 1, 5.0), ("s-000000", 3, 1.5)]


TWO_KEYS = STUDY + "  train.batch_size: [32, 64]\n"


def test_packs_hold_one_fusion_key_and_nothing_waits_for_ever(tmp_path: Path) -> None:
    source, _ = source_of(study(tmp_path, TWO_KEYS, "search.runs=60"), Drawn("valid/loss", "min"))
    sizes = []

    def packed(lanes: int) -> dict[str, RunConfig] | None:
        taken = source.take(lanes, None)
        if taken:
            sizes.append(len(taken))
            assert len({fusion_key(run) for run in taken.values()}) == 1
        return taken

    source_take = source.take
    packs = []
    while True:
        while len(packs) < 2 and (taken := packed(8)):
            packs.append(taken)
        if not packs:
            break
        for name in packs.pop(0):
            source.tell([outcome(name, "completed", loss=1.0)], [])
    assert source_take(8, None) == {}
    assert sum(sizes) == 60
    assert statistics.fmean(sizes) > 4, "packs are filled where they can be"


def test_lanes_that_join_a_pack_have_its_key(tmp_path: Path) -> None:
    source, _ = source_of(study(tmp_path, TWO_KEYS, "search.runs=60"), Drawn("valid/loss", "min"))
    pack = source.take(8, None)
    assert pack
    key = fusion_key(next(iter(pack.values())))
    joined = source.take(3, key)
    assert joined
    assert {fusion_key(run) for run in joined.values()} == {key}


def test_no_more_is_out_than_the_searcher_may_have_pending(tmp_path: Path) -> None:
    source, kept = source_of(study(tmp_path), Drawn("valid/loss", "min"), outstanding=5)
    assert len(source.take(8, None) or {}) == 5, "a pack with free lanes, not one that waits"
    assert source.take(8, None) is None
    source.tell([outcome(next(iter(kept[2].runs)), "completed", loss=1.0)], [])
    assert len(source.take(8, None) or {}) == 1


SMALL = """\
study: searched
data: {name: digits}
model: {name: mlp, hidden: [5]}
optimizer: {name: sgd, lr: 0.1}
train: {epochs: 3}
search: {name: "tests.search.loop:Drawn", runs: 40}
sweep:
  optimizer.lr: [0.1, 0.2, 0.3]
  optimizer.momentum: [0.0, 0.9]
"""


def test_a_repeated_configuration_is_answered_without_training(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path, SMALL), searcher)
    values = simulate(source, basin)
    assert len(values) == len(kept) == 6
    assert source.ended is not None
    assert "known already" in source.ended
    told: dict[str, set[float]] = {}
    for name, value in searcher.told:
        told.setdefault(str(searcher.asked[name]), set()).add(value)
    assert len(told) == 6
    assert all(len(found) == 1 for found in told.values()), "the same point, the same answer"
    assert Counter(name for name, _ in searcher.told).most_common(1)[0][1] == 1
    assert len(searcher.told) == len(searcher.asked)


def test_refused_points_are_told_and_replaced(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    one = study(
        tmp_path, STUDY.replace("runs: 13", 'runs: 13, constraints: ["lr < 0.1 * momentum"]')
    )
    source, kept = source_of(one, searcher, outstanding=4)
    values = simulate(source, basin)
    assert len(values) == 13
    assert all(run.optimizer.lr < 0.1 * run.optimizer.momentum for run, _ in values.values())
    refused = set(searcher.asked) - {asked.name for asked in kept}
    assert len(refused) > 5
    assert len(searcher.told) == len(searcher.asked)
    finals = [value for _, value in values.values()]
    assert {v for name, v in searcher.told if name in refused} <= {None, *finals}
    assert any(v is not None for name, v in searcher.told if name in refused)


def test_a_search_whose_points_are_all_refused_ends(tmp_path: Path) -> None:
    searcher = Drawn("valid/loss", "min")
    source, kept = source_of(study(tmp_path), searcher, refuse=lambda run: "its data are too few")
    assert source.take(8, None) == {}
    assert len(searcher.told) == MAX_TRIES
    assert kept == []
    assert "refused" in str(source.ended)


class Shy(Drawn):
    """Gives points at some times only, and five in all."""

    def suggest(self, trial_id: str) -> object:
        if len(self.asked) == 5:
            return self.FINISHED
        if len(self.asked) == 3 and len(self.told) < 3:
            return None
        return super().suggest(trial_id)


def test_a_searcher_may_ask_for_patience_and_may_finish(tmp_path: Path) -> None:
    searcher = Shy("valid/loss", "min")
    source, kept = source_of(study(tmp_path), searcher)
    assert len(source.take(8, None) or {}) == 3
    assert source.take(8, None) is None
    for one in kept:
        source.tell([outcome(next(iter(one.runs)), "completed", loss=1.0)], [])
    assert len(source.take(8, None) or {}) == 2
    assert source.take(8, None) is None
    for one in kept:
        source.tell([outcome(next(iter(one.runs)), "completed", loss=1.0)], [])
    assert source.take(8, None) == {}
    assert source.ended == "the searcher has no more suggestions"


class Silent(Drawn):
    def suggest(self, trial_id: str) -> object:
        return None


def test_a_searcher_that_never_answers_does_not_hang_the_study(tmp_path: Path) -> None:
    source, _ = source_of(study(tmp_path), Silent("valid/loss", "min"))
    answers: Sequence[object] = [source.take(8, None) for _ in range(MAX_TRIES + 1)]
    assert answers[0] is None
    assert answers[-1] == {}
